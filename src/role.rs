//! What all long-running roles do alike: log, runtime, signals, admin endpoint, an orderly end.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gangplank_config::role::{Log, LogFormat};
use gangplank_proxy::audit;
use gangplank_tcp::Listener;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin, Observed};
use crate::certificate_metrics;
use crate::cli::{self, Overrides};
use crate::failure::{Failure, Outcome};
use crate::logging::{self, Format};
use crate::service_manager::ServiceManager;
use crate::status::CertificateStatus;

/// How long the end waits for tasks that were told to stop. They only have to notice.
const TIDY: Duration = Duration::from_secs(5);

/// What a role gets from here.
pub(crate) struct Stage {
    /// Counts every task, so that the end can wait for them.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the role is over and its helpers shall end.
    pub(crate) over: CancellationToken,
    /// Who started the role, if they want to hear of it.
    pub(crate) service_manager: Option<Arc<ServiceManager>>,
    /// What goes on writing until all tasks have ended.
    writers: Writers,
}

/// Writers of audit trails.
type Writers = Arc<Mutex<Vec<audit::Writer>>>;

impl Stage {
    /// Has `writer` end after everything that could write to it.
    pub(crate) fn write_last(&self, writer: audit::Writer) {
        self.writers.lock().push(writer);
    }
}

/// Starts the log as the file says, unless a flag or a variable says otherwise.
///
/// # Errors
///
/// When the filter cannot be understood.
pub(crate) fn start_log(written: Log, overrides: &Overrides) -> Outcome {
    let format = match overrides.log_format {
        Some(cli::LogFormat::Text) => Format::Text,
        Some(cli::LogFormat::Json) => Format::Json,
        Some(cli::LogFormat::Auto) => Format::fitting_stderr(),
        None => match written.format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
            LogFormat::Auto => Format::fitting_stderr(),
        },
    };
    logging::start(
        format,
        overrides
            .log_level
            .as_deref()
            .unwrap_or_else(|| written.level.as_str()),
    )
}

/// Threads that run tasks: one for two cores. A request is a chain of short steps, and waking a sleeping
/// thread for one of them costs more than the step: with a thread a core, small requests cost a third to
/// a half more CPU time and are slower (docs/performance.md). The kernel's share of the work, which is
/// as large, runs on the other half. A container's CPU limit counts as its cores.
fn workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    cores.div_ceil(2)
}

/// Runs a role on a runtime of its own and ends what it leaves behind.
///
/// # Errors
///
/// Those of the role, and when there is no runtime to be had.
pub(crate) fn run_on_runtime<F: Future<Output = Outcome>>(
    role: impl FnOnce(Stage) -> F,
) -> Outcome {
    let service_manager = ServiceManager::of(|name| std::env::var_os(name), std::process::id());
    let service_manager =
        service_manager.context("the service manager that started this cannot be told of it")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let writers = Writers::default();
    let stage = Stage {
        tasks: TaskTracker::new(),
        over: CancellationToken::new(),
        service_manager: service_manager.map(Arc::new),
        writers: Arc::clone(&writers),
    };
    let outcome = runtime.block_on(async {
        let (tasks, over) = (stage.tasks.clone(), stage.over.clone());
        let outcome = role(stage).await;
        over.cancel();
        tasks.close();
        if tokio::time::timeout(TIDY, tasks.wait()).await.is_err() {
            tracing::warn!(tasks = tasks.len(), "tasks abandoned at the end");
        }
        outcome
    });
    // With the runtime go the tasks that were abandoned, whose requests end with them.
    drop(runtime);
    let writers = std::mem::take(&mut *writers.lock());
    for writer in writers {
        if let Err(events) = writer.finish(TIDY) {
            tracing::error!(events, "audit events were not written before the end");
        }
    }
    outcome
}

/// The admin endpoint's listener, bound before anything is promised to anyone.
///
/// # Errors
///
/// When the port cannot be had.
pub(crate) fn bind_admin(wanted: Option<SocketAddr>) -> Result<Option<Listener>, Failure> {
    let Some(address) = wanted else {
        return Ok(None);
    };
    let listener = Listener::bind(address).with_context(|| {
        format!(
            "the admin endpoint cannot listen on {address}: choose another port with `admin.listen`"
        )
    })?;
    Ok(Some(listener))
}

/// How often own certificates are looked at: one whose successor is due has days left, and whoever can issue it
/// looks at the log once a day.
const CERTIFICATES: Duration = Duration::from_secs(12 * 60 * 60);

/// Says of each certificate of ours that it is over, or soon will be; of each once. Neither is a reason not to
/// start: it may be renewed any moment, and its file is followed.
async fn watch_own_certificates(role: Arc<dyn Observed>) {
    let mut told = HashSet::new();
    loop {
        for certificate in role.certificates() {
            if (certificate.expired || certificate.due)
                && told.insert((certificate.fingerprint.clone(), certificate.expired))
            {
                tell_of(&certificate);
            }
        }
        sleep(CERTIFICATES).await;
    }
}

fn tell_of(certificate: &CertificateStatus) {
    let CertificateStatus {
        name,
        fingerprint,
        not_after,
        remedy,
        ..
    } = certificate;
    if certificate.expired {
        let files = "replace its files, they are read again by themselves";
        let remedy = remedy.as_deref().unwrap_or(files);
        tracing::error!(
            fingerprint,
            "the {name} expired at {not_after}, so that others refuse it: {remedy}"
        );
    } else if remedy.is_some() {
        tracing::warn!(
            fingerprint,
            "the {name} ends at {not_after} and is not renewed yet: `gangplank status` says why"
        );
    } else {
        tracing::warn!(
            fingerprint,
            "the {name} ends at {not_after}: put the next into its files before, they are read again by themselves"
        );
    }
}

/// Serves the admin endpoint, if there is one, says that the role listens, and tells the service manager how it goes.
pub(crate) fn announce(
    stage: &Stage,
    listen: Option<SocketAddr>,
    admin: Option<Listener>,
    role: Arc<dyn Observed>,
    mut metrics: Registry,
) {
    let text = |address: Option<SocketAddr>| address.map(|address| address.to_string());
    let admin_address = admin
        .as_ref()
        .and_then(|listener| listener.local_address().ok());
    tracing::info!(
        listen.addr = text(listen),
        admin.addr = text(admin_address),
        version = env!("CARGO_PKG_VERSION"),
        "listening"
    );
    certificate_metrics::register(&mut metrics, Arc::clone(&role));
    if let Some(service_manager) = &stage.service_manager {
        let (service_manager, role) = (Arc::clone(service_manager), Arc::clone(&role));
        let attending = service_manager.attend(role, stage.tasks.clone(), stage.over.clone());
        stage.tasks.spawn(attending);
    }
    let (certificates, over) = (
        watch_own_certificates(Arc::clone(&role)),
        stage.over.clone(),
    );
    stage
        .tasks
        .spawn(over.run_until_cancelled_owned(certificates));
    if let Some(listener) = admin {
        let admin = Arc::new(Admin {
            role,
            metrics: Arc::new(metrics),
        });
        stage.tasks.spawn(admin::serve(
            admin,
            listener,
            stage.tasks.clone(),
            stage.over.clone(),
        ));
    }
}

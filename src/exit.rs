//! The exit as agent and proxy have it: trust, serving certificate, API server, joined.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gangplank_config::role;
use gangplank_config::{KeyPair, Reloaded, TrustDirectory, TrustObjects, TrustSource};
use gangplank_objects::follow::follow;
use gangplank_pki::WithCauses;
use gangplank_pki::clock::{Clock, SystemClock, rfc3339};
use gangplank_pki::inspect::inspect_der;
use gangplank_proxy::audit::{self, Trail};
use gangplank_proxy::authenticate::Trust;
use gangplank_proxy::upstream::Client;
use gangplank_proxy::{Exit, Parts};
use prometheus_client::registry::Registry;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::failure::Failure;
use crate::role::Stage;
use crate::status::{self, BundleStatus, CertificateStatus, ExitStatus, ProviderStatus};
use crate::trust_metrics;

/// A running exit and what can be seen of it.
#[derive(Debug, Clone)]
pub(crate) struct RunningExit {
    /// Takes connections.
    pub(crate) exit: Exit,
    trust: TrustSource,
    /// What is wrong when what is trusted cannot be read.
    trust_from: &'static str,
    serving: Reloaded<KeyPair>,
    reachability: watch::Receiver<Reachability>,
    server: String,
}

/// Whether the API server could be reached when it was last tried.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reachability {
    NotTried,
    Reached,
    Failed(String),
}

/// The serving certificate of the moment.
#[derive(Debug)]
struct ServingCertificate(Reloaded<KeyPair>);

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current().certified_key())
    }
}

/// How long the last good bundle counts as good enough for new callers when the trust directory itself is
/// gone: a volume that is mounted anew is back in seconds, and revocations cannot be heard meanwhile.
const VANISHED_LIMIT: Duration = Duration::from_secs(30);

/// Between two looks at the API server: an operator's probe period is ten seconds by default, and a look
/// costs nothing while a connection is there.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Looks at the API server from time to time; says once when it goes and when it is back.
fn watch_reachability(upstream: Client, stage: &Stage) -> watch::Receiver<Reachability> {
    let (writer, reader) = watch::channel(Reachability::NotTried);
    let over = stage.over.clone();
    stage.tasks.spawn(async move {
        loop {
            let Some(looked) = over.run_until_cancelled(upstream.reachable()).await else {
                return;
            };
            let now = match looked {
                Ok(()) => Reachability::Reached,
                Err(error) => Reachability::Failed(WithCauses(&error).to_string()),
            };
            let changed = *writer.borrow() != now;
            match &now {
                Reachability::Failed(why) if changed => {
                    tracing::warn!(error = %why, "the API server cannot be reached");
                }
                Reachability::Reached if changed => tracing::info!("the API server can be reached"),
                _ => {}
            }
            writer.send_replace(now);
            if over
                .run_until_cancelled(sleep(LOOK_INTERVAL))
                .await
                .is_none()
            {
                return;
            }
        }
    });
    reader
}

/// Reads what is trusted, and follows it while the role runs.
fn follow_trust(
    config: &role::exit::Exit,
    clock: Arc<dyn Clock>,
    stage: &Stage,
) -> Result<TrustSource, Failure> {
    let over = stage.over.clone();
    match &config.trust {
        role::exit::Trust::Directory(directory, rules) => {
            let opened = TrustDirectory::open_under(directory, rules.clone(), clock);
            let (trust, watcher) = opened?;
            stage.tasks.spawn(watcher.run(over));
            Ok(trust)
        }
        role::exit::Trust::Cluster(rules) => {
            let (trust, watcher, feed) = TrustObjects::open(rules.clone(), clock);
            stage.tasks.spawn(watcher.run(over.clone()));
            let client = gangplank_objects::client::client(&config.upstream, "default")
                .context("requests cannot be addressed to the configured API server")?;
            stage.tasks.spawn(async move {
                over.run_until_cancelled(follow(client, feed)).await;
            });
            Ok(trust)
        }
    }
}

/// Starts the audit trail, which ends after everything else.
fn start_trail(
    config: &role::audit::Audit,
    clock: Arc<dyn Clock>,
    stage: &Stage,
    metrics: &mut Registry,
) -> anyhow::Result<Trail> {
    let opened = audit::open(&config.sink);
    let Some(sink) = opened.with_context(|| {
        let file = match &config.sink {
            role::audit::Sink::File(file) => file.path.display().to_string(),
            _ => "its sink".to_owned(),
        };
        format!("the audit trail cannot be opened: look at `exit.audit` and at {file}")
    })?
    else {
        return Ok(Trail::off());
    };
    let (trail, writer) = Trail::start(sink, config.when_full, clock, metrics)
        .context("the audit trail's thread cannot be started")?;
    stage.write_last(writer);
    Ok(trail)
}

impl RunningExit {
    /// Opens what the file names and follows it while the role runs.
    ///
    /// # Errors
    ///
    /// When the trust directory or a certificate cannot be used.
    pub(crate) fn compose(
        config: &role::exit::Exit,
        stage: &Stage,
        metrics: &mut Registry,
    ) -> Result<Self, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let trust = follow_trust(config, Arc::clone(&clock), stage)?;
        let (serving, reloader) = config.serving.watch()?;
        stage.tasks.spawn(reloader.run(stage.over.clone()));
        trust_metrics::register(metrics, trust.clone(), serving.clone());
        let server = config.upstream.server.authority.clone();
        let counters = gangplank_proxy::upstream::Metrics::register(metrics);
        let upstream = Client::new(
            &config.upstream,
            stage.tasks.clone(),
            stage.over.clone(),
            counters,
        );
        let reachability = watch_reachability(upstream.clone(), stage);
        let audit = start_trail(&config.audit, Arc::clone(&clock), stage, metrics)?;
        let parts = Parts {
            trust: Trust::from(&trust),
            serving: Arc::new(ServingCertificate(serving.clone())),
            client_auth: config.client_auth,
            nested_impersonation: config.nested_impersonation,
            upstream,
            clock,
            tasks: stage.tasks.clone(),
            audit,
            limits: config.limits,
        };
        let exit = Exit::new(parts, metrics).context("TLS towards callers cannot be set up")?;
        Ok(Self {
            exit,
            trust,
            trust_from: match &config.trust {
                role::exit::Trust::Directory(..) => "the trust directory cannot be read",
                role::exit::Trust::Cluster(_) => {
                    "the API server's trust objects cannot be followed"
                }
            },
            serving,
            reachability,
            server,
        })
    }

    /// Why callers cannot be served.
    pub(crate) fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let report = self.trust.report();
        if report.awaited {
            let why = report.faults.first().map(ToString::to_string);
            let why = why.unwrap_or_default();
            reasons.push(format!("nobody can be let in yet: {why}"));
        } else if let Some(since) = report.vanished_since {
            let gone = SystemClock.now().as_secs().saturating_sub(since.as_secs());
            if gone >= VANISHED_LIMIT.as_secs() {
                let since = rfc3339(since);
                let what = self.trust_from;
                let why = report.faults.first().map(ToString::to_string);
                let why = why.unwrap_or_default();
                reasons.push(format!("{what} since {since}: {why}"));
            }
        }
        match &*self.reachability.borrow() {
            Reachability::Reached => {}
            Reachability::NotTried => {
                reasons.push(format!("the API server {} was not tried yet", self.server));
            }
            Reachability::Failed(why) => {
                reasons.push(format!(
                    "the API server {} cannot be reached: {why}",
                    self.server
                ));
            }
        }
        reasons
    }

    /// The exit's part of the status.
    pub(crate) fn status(&self) -> ExitStatus {
        let bundle = self.trust.current();
        let report = self.trust.report();
        let providers = bundle
            .providers()
            .iter()
            .map(|provider| ProviderStatus::from(provider.as_ref()));
        ExitStatus {
            upstream: self.server.clone(),
            bundle: BundleStatus {
                generation: bundle.generation(),
                providers: providers.collect(),
                faults: report.faults.iter().map(ToString::to_string).collect(),
            },
        }
    }

    /// Why callers of a tunnel would refuse the certificate that they see now: none of its names is an entrance
    /// of that tunnel, whatever the relay's domain is.
    pub(crate) fn misnamed_for(&self, tunnel: &str) -> Option<String> {
        let serving = self.serving.current();
        let names = serving
            .leaf()
            .and_then(|leaf| inspect_der(leaf))
            .map(|it| it.dns_names)?;
        let fits = names.iter().any(|name| {
            let below_label = name.split_once('.').map(|(_, rest)| rest);
            let account = tunnel.split_once('.').map(|(_, account)| account);
            let entrance = |name: &str| {
                name.strip_prefix(tunnel)
                    .is_some_and(|rest| rest.starts_with('.'))
            };
            let wildcard = name
                .strip_prefix("*.")
                .zip(account)
                .is_some_and(|(rest, account)| {
                    rest.strip_prefix(account)
                        .is_some_and(|rest| rest.starts_with('.'))
                });
            entrance(name) || below_label.is_some_and(entrance) || wildcard
        });
        (!fits).then(|| {
            format!(
                "callers ask for {tunnel}.<domain>, which the exit certificate ({}) is not valid for: issue one with \
                 `gangplank pki issue --for exit --cluster {tunnel} --domain …`",
                names.join(", ")
            )
        })
    }

    /// Until when the trust anchor that ends first is good, in seconds since 1970.
    pub(crate) fn authorities_end(&self) -> Option<u64> {
        let bundle = self.trust.current();
        let anchors = bundle.providers().iter().flat_map(|it| it.anchors());
        anchors.map(|anchor| anchor.not_after().as_secs()).min()
    }

    /// The certificate that callers see now.
    pub(crate) fn certificates(&self) -> Vec<CertificateStatus> {
        status::of_key_pair("exit certificate", &self.serving.current())
            .into_iter()
            .collect()
    }
}

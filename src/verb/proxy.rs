//! `gangplank proxy`: the exit on a TCP listener.

use std::sync::Arc;

use anyhow::Context as _;
use gangplank_config::role;
use gangplank_config::upstream::InCluster;
use gangplank_proxy::TcpProxy;
use gangplank_tcp::Listener;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::Observed;
use crate::cli::ListenerArguments;
use crate::exit::RunningExit;
use crate::failure::Outcome;
use crate::role::{Stage, announce, bind_admin, run_on_runtime, start_log};
use crate::signals;
use crate::status::{CertificateStatus, Status};

/// Loads the file and serves callers until it was told to end.
pub(crate) fn run(arguments: &ListenerArguments) -> Outcome {
    let mut config = role::proxy::load(&arguments.role.config, &InCluster::from_environment())?;
    config.listen = arguments.listen.unwrap_or(config.listen);
    config.admin = arguments.role.overrides.admin_listen.or(config.admin);
    start_log(config.log, &arguments.role.overrides)?;
    run_on_runtime(|stage| serve(config, stage))
}

async fn serve(config: role::proxy::Proxy, stage: Stage) -> Outcome {
    let shutdown = signals::listen(&stage)?;
    let admin = bind_admin(config.admin)?;
    let mut metrics = Registry::with_prefix("gangplank");
    let exit = RunningExit::compose(&config.exit, &stage, &mut metrics)?;
    let listener = Listener::bind(config.listen).with_context(|| {
        format!(
            "callers cannot be listened for on {}: choose another `listen`",
            config.listen
        )
    })?;
    let proxy = TcpProxy::new(listener, exit.exit.clone(), config.drain.limit);
    let address = proxy
        .local_address()
        .context("the listener has no address")?;
    let observed = ObservedProxy {
        exit,
        draining: shutdown.drain.clone(),
        since: Instant::now(),
    };
    announce(&stage, Some(address), admin, Arc::new(observed), metrics);
    let closing = shutdown.settled(config.drain.settle, &stage);
    proxy.run(closing, shutdown.abort.cancelled()).await;
    Ok(())
}

/// A running proxy for the admin endpoint.
struct ObservedProxy {
    exit: RunningExit,
    draining: CancellationToken,
    since: Instant,
}

impl Observed for ObservedProxy {
    fn unready(&self) -> Vec<String> {
        let mut reasons = self.exit.unready();
        if self.draining.is_cancelled() {
            reasons.push("draining: this proxy is about to end".to_owned());
        }
        reasons
    }

    fn summary(&self) -> String {
        "ready".to_owned()
    }

    fn certificates(&self) -> Vec<CertificateStatus> {
        self.exit.certificates()
    }

    fn callers_authorities_end(&self) -> Option<u64> {
        self.exit.authorities_end()
    }

    fn status(&self) -> Status {
        Status {
            exit: Some(self.exit.status()),
            certificates: self.certificates(),
            ..Status::of_role("proxy", self.since, self.unready())
        }
    }
}

//! Signals: the first SIGTERM or SIGINT asks for a drain, the second ends what still runs.

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::role::Stage;

/// What the signals ask for.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown {
    /// Finish what runs.
    pub(crate) drain: CancellationToken,
    /// End now.
    pub(crate) abort: CancellationToken,
}

impl Shutdown {
    /// Cancelled `settle` after the drain was asked for, or with the abort. Meanwhile readiness is gone
    /// and everything else goes on, so that load balancers look elsewhere first.
    pub(crate) fn settled(&self, settle: Duration, stage: &Stage) -> CancellationToken {
        let settled = CancellationToken::new();
        let (asked, done, over) = (self.clone(), settled.clone(), stage.over.clone());
        stage.tasks.spawn(async move {
            let settling = async {
                asked.drain.cancelled().await;
                sleep(settle).await;
            };
            tokio::select! {
                () = settling => {}
                () = asked.abort.cancelled() => {}
                () = over.cancelled() => {}
            }
            done.cancel();
        });
        settled
    }
}

/// Listens for both signals until the second has come.
///
/// # Errors
///
/// When the handlers cannot be installed.
pub(crate) fn listen(stage: &Stage) -> anyhow::Result<Shutdown> {
    let mut terminate =
        signal(SignalKind::terminate()).context("SIGTERM cannot be listened for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be listened for")?;
    let shutdown = Shutdown {
        drain: CancellationToken::new(),
        abort: CancellationToken::new(),
    };
    note_hangups(stage)?;
    let (told, over) = (shutdown.clone(), stage.over.clone());
    let service_manager = stage.service_manager.clone();
    stage.tasks.spawn(async move {
        for (token, meaning) in [
            (
                &told.drain,
                "draining: running requests may finish, a second signal ends them",
            ),
            (&told.abort, "second signal: ending now"),
        ] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = over.cancelled() => return,
            }
            tracing::info!("{meaning}");
            if let Some(service_manager) = &service_manager {
                service_manager.stopping();
            }
            token.cancel();
        }
    });
    Ok(shutdown)
}

/// SIGHUP ends nothing: it is what people send to have files read again, and that needs no signal here.
fn note_hangups(stage: &Stage) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be listened for")?;
    let (over, service_manager) = (stage.over.clone(), stage.service_manager.clone());
    stage.tasks.spawn(async move {
        while over.run_until_cancelled(hangup.recv()).await.flatten().is_some() {
            tracing::info!(
                "SIGHUP: trust, certificates and tokens are read again by themselves when they change; \
                 the role's own file is read at the start alone"
            );
            if let Some(service_manager) = &service_manager {
                service_manager.reloaded();
            }
        }
    });
    Ok(())
}

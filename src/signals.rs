//! Signals: the first SIGTERM or SIGINT asks for a drain, the second ends what still runs.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
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
    let (told, over) = (shutdown.clone(), stage.over.clone());
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
            token.cancel();
        }
    });
    Ok(shutdown)
}

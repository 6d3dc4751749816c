//! The writer half: looks at the directory whenever it is due.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::fault::Fault;
use crate::trust::state::{Look, State};
use crate::trust::{TrustReport, TrustSource};
use crate::wake::Wake;

/// The writer half: follows the directory until it is told to stop.
#[must_use = "nothing is followed unless this runs"]
pub struct TrustWatcher {
    source: TrustSource,
    /// Locked by one look at a time, on a thread where reading files may block. A look that panicked
    /// leaves a state behind that the next one completes.
    state: Arc<Mutex<State>>,
}

impl TrustWatcher {
    pub(super) fn new(source: TrustSource, state: State) -> Self {
        warn_if_empty(&source.report());
        source.report().faults.iter().for_each(log_refused);
        Self {
            source,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Follows the directory until `shutdown`. Spawn it on the role's task tracker.
    pub async fn run(self, shutdown: CancellationToken) {
        let directory = self.state.lock().directory().to_owned();
        let wake = Wake::new([directory]);
        self.follow(wake, shutdown).await;
    }

    pub(super) async fn follow(self, mut wake: Wake, shutdown: CancellationToken) {
        // A change between the first look and the watch would otherwise wait for the poll.
        self.look().await;
        while shutdown.run_until_cancelled(wake.due()).await.is_some() {
            self.look().await;
        }
    }

    async fn look(&self) {
        let state = Arc::clone(&self.state);
        let source = self.source.clone();
        let looked = spawn_blocking(move || {
            let mut state = state.lock();
            let Look {
                vanished,
                faults,
                notices,
            } = state.look();
            let mut all = match vanished {
                // What was wrong before still is, as far as anyone can tell.
                Some(fault) => vec![fault],
                None => faults,
            };
            all.extend(notices);
            all.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
            let report = state.report(all);
            log_changes(&source.report(), &report);
            source.publish(state.bundle(), report);
        });
        if let Err(error) = looked.await {
            tracing::error!(%error, "looking at the trust directory failed; the last good bundle stays in use");
        }
    }
}

/// Each fault is logged when it comes up and when it is gone, not at every look.
fn log_changes(before: &TrustReport, now: &TrustReport) {
    now.faults
        .iter()
        .filter(|fault| !before.faults.contains(fault))
        .for_each(log_refused);
    for fault in before
        .faults
        .iter()
        .filter(|fault| !now.faults.contains(fault))
    {
        tracing::info!(file = %fault.file.display(), reason = fault.reason(), "trust object mended");
    }
    if before.generation != now.generation {
        tracing::info!(
            generation = now.generation,
            providers = now.providers,
            "trust reloaded"
        );
        warn_if_empty(now);
    }
}

fn log_refused(fault: &Fault) {
    tracing::error!(
        file = %fault.file.display(),
        reason = fault.reason(),
        "fault in the trust directory: {fault}"
    );
}

fn warn_if_empty(report: &TrustReport) {
    if report.providers == 0 {
        tracing::warn!("the trust directory has no provider: everyone is refused");
    }
}

impl fmt::Debug for TrustWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustWatcher")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

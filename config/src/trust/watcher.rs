//! The writer half: looks at the objects whenever it is due.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::fault::Fault;
use crate::trust::state::{Look, State};
use crate::trust::{TrustReport, TrustSource};
use crate::wake::Wake;

/// What says that it is time to look.
#[derive(Debug)]
pub(super) enum Cause {
    /// Changes of a directory.
    Directory(PathBuf),
    /// Whoever hands objects in.
    Feed(mpsc::Receiver<()>),
}

/// The writer half: follows the objects until it is told to stop.
#[must_use = "nothing is followed unless this runs"]
pub struct TrustWatcher {
    source: TrustSource,
    /// Locked by one look at a time, on a thread where reading files may block. A look that panicked
    /// leaves a state behind that the next one completes.
    state: Arc<Mutex<State>>,
    cause: Cause,
}

impl TrustWatcher {
    pub(super) fn new(source: TrustSource, state: State, cause: Cause) -> Self {
        warn_if_empty(&source.report());
        if !source.report().awaited {
            source.report().faults.iter().for_each(log_refused);
        }
        Self {
            source,
            state: Arc::new(Mutex::new(state)),
            cause,
        }
    }

    /// Follows the objects until `shutdown`. Spawn it on the role's task tracker.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self {
            source,
            state,
            cause,
        } = self;
        let wake = match cause {
            Cause::Directory(directory) => Wake::new([directory]),
            Cause::Feed(woken) => Wake::told_by(woken),
        };
        Looking { source, state }.follow(wake, shutdown).await;
    }

    /// The same at another wake.
    #[cfg(test)]
    pub(super) async fn follow(self, wake: Wake, shutdown: CancellationToken) {
        let Self { source, state, .. } = self;
        Looking { source, state }.follow(wake, shutdown).await;
    }
}

/// The writer half at work.
struct Looking {
    source: TrustSource,
    state: Arc<Mutex<State>>,
}

impl Looking {
    async fn follow(self, mut wake: Wake, shutdown: CancellationToken) {
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
                changed,
                vanished,
                faults,
                notices,
            } = state.look();
            let is_whole = vanished.is_none();
            let mut all = match vanished {
                // What was wrong before still is, as far as anyone can tell.
                Some(fault) => vec![fault],
                None => faults,
            };
            all.extend(notices);
            all.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
            let report = state.report(all);
            let before = source.report();
            log_changes(&before, &report);
            if is_whole
                && (changed || before.faults != report.faults)
                && let Some(standings) = state.standings(&report.faults)
            {
                source.tell(standings);
            }
            source.publish(state.bundle(), report);
        });
        if let Err(error) = looked.await {
            tracing::error!(%error, "looking at the trust objects failed; the last good bundle stays in use");
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
    } else if before.awaited && !now.awaited {
        warn_if_empty(now);
    }
}

fn log_refused(fault: &Fault) {
    tracing::error!(
        file = %fault.file.display(),
        reason = fault.reason(),
        "fault in what is to be trusted: {fault}"
    );
}

fn warn_if_empty(report: &TrustReport) {
    if report.providers == 0 && !report.awaited {
        tracing::warn!("there is no provider: everyone is refused");
    }
}

impl fmt::Debug for TrustWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustWatcher")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

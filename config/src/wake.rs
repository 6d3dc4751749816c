//! When to look at files again: shortly after the system says that something changed, and every two
//! seconds anyway.
//!
//! Directories are watched, not files: editors and Kubernetes replace files, and a watch on a replaced
//! file hears nothing of its successor. The poll covers what no event tells: targets of links that lie
//! elsewhere, network file systems, directories that came back, exhausted inotify limits.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// How long it must be quiet after an event: an editor or a kubelet is done with its renames by then.
const QUIET: Duration = Duration::from_millis(50);
/// The longest that a stream of events may put a look off; a removed provider must be gone a second
/// after the change, and most of that second belongs to ending its connections.
const LONGEST_DELAY: Duration = Duration::from_millis(200);
/// How often to look without any event. Reading a few hundred small files costs about a millisecond.
const POLL: Duration = Duration::from_secs(2);

/// Says when to look again.
pub(crate) struct Wake {
    directories: BTreeMap<PathBuf, Option<Identity>>,
    /// `None` when the system gives no watches; then only the poll is left.
    watcher: Option<RecommendedWatcher>,
    /// One place: an event that waits already says everything, further ones are dropped.
    events: mpsc::Receiver<()>,
    poll: Duration,
    /// Whether it was said that some directory is only polled.
    warned: bool,
}

/// Which directory a path led to, so that a successor of the same name is noticed.
type Identity = (u64, u64);

impl Wake {
    /// Watches `directories`; those that do not exist yet are taken up when they appear.
    pub(crate) fn new(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        let (sender, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may stand for events that were lost.
            if event.is_ok_and(|event| tells_of_reading(event.kind)) {
                return;
            }
            match sender.try_send(()) {
                Ok(()) => {}
                // Full: a look is due already. Closed: nobody looks any more.
                Err(TrySendError::Full(()) | TrySendError::Closed(())) => {}
            }
        });
        let watcher = watcher
            .inspect_err(|error| {
                tracing::warn!(%error, poll = ?POLL, "no file events; files are polled instead");
            })
            .ok();
        Self::with(watcher, events, directories)
    }

    /// Listens to somebody who says so.
    pub(crate) fn told_by(events: mpsc::Receiver<()>) -> Self {
        Self::with(None, events, [])
    }

    /// Only polls, as when the system gives no watches.
    #[cfg(test)]
    pub(crate) fn polling_only(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        let (_sender, events) = mpsc::channel(1);
        Self::with(None, events, directories)
    }

    /// Never polls, so that nothing but events can have told.
    #[cfg(test)]
    pub(crate) fn events_only(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        let poll = Duration::from_secs(24 * 60 * 60);
        Self {
            poll,
            ..Self::new(directories)
        }
    }

    fn with(
        watcher: Option<RecommendedWatcher>,
        events: mpsc::Receiver<()>,
        directories: impl IntoIterator<Item = PathBuf>,
    ) -> Self {
        let directories = directories
            .into_iter()
            .map(|directory| (directory, None))
            .collect();
        let mut wake = Self {
            directories,
            watcher,
            events,
            poll: POLL,
            warned: false,
        };
        wake.watch_successors();
        wake
    }

    /// Waits until it is time to look again. Cancel safe: an event that is lost is made up for by the
    /// next poll.
    pub(crate) async fn due(&mut self) {
        let heard = tokio::select! {
            Some(()) = self.events.recv() => true,
            () = sleep(self.poll) => false,
        };
        if heard {
            self.wait_until_quiet().await;
        }
        self.watch_successors();
    }

    async fn wait_until_quiet(&mut self) {
        let latest = Instant::now() + LONGEST_DELAY;
        loop {
            let quiet = (Instant::now() + QUIET).min(latest);
            match timeout_at(quiet, self.events.recv()).await {
                Ok(Some(())) if Instant::now() < latest => {}
                // The channel closed: nothing will come, but the time is to be kept.
                Ok(None) => return sleep_until(quiet).await,
                Ok(Some(())) | Err(_) => return,
            }
        }
    }

    /// Watches anew each directory that is not the one watched so far.
    fn watch_successors(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for (directory, watched) in &mut self.directories {
            let present = identity(directory);
            if present == *watched {
                continue;
            }
            if watched.is_some() {
                // Fails when the system removed the watch together with the directory, as it should.
                drop(watcher.unwatch(directory));
            }
            *watched = present.filter(|_| {
                let watching = watcher.watch(directory, RecursiveMode::NonRecursive);
                if let (Err(error), false) = (&watching, self.warned) {
                    self.warned = true;
                    let directory = directory.display();
                    tracing::warn!(%error, %directory, poll = ?POLL, "no file events; polled instead");
                }
                watching.is_ok()
            });
        }
    }
}

/// Reading causes events as well; to follow those would be to wake oneself for ever.
fn tells_of_reading(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

#[cfg(unix)]
fn identity(directory: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(directory).ok()?;
    metadata.is_dir().then(|| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(directory: &Path) -> Option<Identity> {
    fs::metadata(directory)
        .is_ok_and(|metadata| metadata.is_dir())
        .then_some((0, 0))
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, Flag, ModifyKind, RemoveKind, RenameMode};

    use super::*;

    #[test]
    fn reading_does_not_wake_and_writing_does() {
        for reading in [
            AccessKind::Any,
            AccessKind::Read,
            AccessKind::Open(AccessMode::Any),
            AccessKind::Open(AccessMode::Write),
            AccessKind::Close(AccessMode::Read),
        ] {
            assert!(tells_of_reading(EventKind::Access(reading)), "{reading:?}");
        }
        for writing in [
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            EventKind::Create(CreateKind::File),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)),
            EventKind::Remove(RemoveKind::File),
            EventKind::Other,
            EventKind::Any,
        ] {
            assert!(!tells_of_reading(writing), "{writing:?}");
        }
    }

    #[test]
    fn an_overflow_of_the_queue_wakes() {
        let event = notify::Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(!tells_of_reading(event.kind));
    }

    /// A watch stays with the directory it was put on, wherever that is moved to.
    #[tokio::test]
    async fn a_directory_in_place_of_another_is_watched_in_its_turn() {
        let bound = Duration::from_secs(20);
        let folder = tempfile::tempdir().unwrap();
        let (watched, elsewhere) = (
            folder.path().join("watched"),
            folder.path().join("elsewhere"),
        );
        fs::create_dir(&watched).unwrap();
        let mut wake = Wake::new([watched.clone()]);
        fs::rename(&watched, &elsewhere).unwrap();
        fs::create_dir(&watched).unwrap();
        // The poll finds that it is another one.
        wake.poll = Duration::from_millis(1);
        wake.due().await;
        // From here on only events can tell.
        wake.poll = Duration::from_secs(24 * 60 * 60);
        fs::write(watched.join("a.yaml"), "").unwrap();
        tokio::time::timeout(bound, wake.due())
            .await
            .expect("the new directory is not watched");
    }
}

//! The trust objects, of a directory or of an API server, followed while the program runs.
//!
//! One task ([`TrustWatcher`]) reads and writes; everybody else holds a [`TrustSource`]. Bad input never
//! takes away trust that was good, deletion always does:
//!
//! * an object that turned bad keeps its last good version, and costs nothing but itself;
//! * a file that cannot be read, is not what its name says, is empty, holds a document of which nobody can tell which
//!   object it is, or ends in a faulty one (as if cut off), keeps what it held before;
//! * a revocation list counts from when its authority's key has proven it, and never gives way to an older
//!   one of the same authority;
//! * an object or list that is in no file any more, or was taken out of a readable one, is gone at once;
//! * a directory that vanished keeps everything, and the report says since when; so does an API server that is
//!   away.
//!
//! Nothing of this outlives the process: at the start every fault of a directory is an error, except conflicts
//! between providers, of which all are refused while the others serve. An API server's faulty objects, which others
//! write, are told and cost only themselves; of those that conflict its own record of age and acceptance decides.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use gangplank_pki::clock::Clock;
use gangplank_pki::{ProviderId, TrustBundle};
use rustls_pki_types::UnixTime;
use tokio::sync::watch;

use crate::fault::{Fault, Faults, Place};

pub use feed::TrustFeed;
pub use rules::{AllowedPrefix, TrustRules};
pub use standing::{Standing, Standings};
pub use watcher::TrustWatcher;

mod feed;
mod folder;
mod holding;
mod lists;
mod notices;
mod objects;
mod origin;
mod pins;
mod rules;
mod standing;
mod state;
mod watcher;

use folder::Folder;
use objects::Objects;
use origin::Origin;
use state::State;
use watcher::Cause;

/// Opens directories of trust objects.
#[derive(Debug)]
pub struct TrustDirectory;

impl TrustDirectory {
    /// Reads `directory` and gives out the reader half and the writer half.
    ///
    /// An empty directory is legal: it refuses everyone, and the report warns.
    ///
    /// # Errors
    /// When the directory cannot be read, or any file or object in it is faulty: at the start there is no
    /// last good version to fall back to. Conflicts and expired CAs are no error; see [`TrustReport::faults`].
    pub fn open(
        directory: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<(TrustSource, TrustWatcher), Faults> {
        Self::open_under(directory, TrustRules::default(), clock)
    }

    /// The same where an administrator laid something down beside the objects.
    ///
    /// # Errors
    /// See [`TrustDirectory::open`].
    pub fn open_under(
        directory: &Path,
        rules: TrustRules,
        clock: Arc<dyn Clock>,
    ) -> Result<(TrustSource, TrustWatcher), Faults> {
        let origin = Origin::Folder(Folder::new(directory));
        let mut state = State::new(origin, rules, clock);
        let look = state.look();
        if let Some(fault) = look.vanished {
            return Err(fault.into());
        }
        Faults::none_of(look.faults)?;
        let report = state.report(look.notices);
        let source = TrustSource::holding(state.bundle().clone(), report);
        let cause = Cause::Directory(directory.to_owned());
        let watcher = TrustWatcher::new(source.clone(), state, cause);
        Ok((source, watcher))
    }
}

/// Trust objects that are handed in as an API server tells of them.
#[derive(Debug)]
pub struct TrustObjects;

impl TrustObjects {
    /// Gives out the reader half, the writer half, and where objects are handed in. Everyone is refused until each
    /// kind was given as a whole once.
    pub fn open(
        rules: TrustRules,
        clock: Arc<dyn Clock>,
    ) -> (TrustSource, TrustWatcher, TrustFeed) {
        let (feed, woken) = TrustFeed::new();
        let origin = Origin::Objects(Objects::new(feed.clone()));
        let mut state = State::new(origin, rules, clock);
        let look = state.look();
        let report = state.report(look.vanished.into_iter().collect());
        let source = TrustSource::holding(state.bundle().clone(), report);
        let watcher = TrustWatcher::new(source.clone(), state, Cause::Feed(woken));
        (source, watcher, feed)
    }
}

/// The reader half: what is trusted now. Cheap to clone, cheap to read.
#[derive(Clone)]
pub struct TrustSource {
    shared: Arc<Shared>,
}

struct Shared {
    bundle: ArcSwap<TrustBundle>,
    generation: watch::Sender<u64>,
    report: watch::Sender<Arc<TrustReport>>,
    standings: watch::Sender<Arc<Standings>>,
}

/// How following the objects goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustReport {
    /// The generation of the bundle in use.
    pub generation: u64,
    /// How many providers it has. None: everyone is refused.
    pub providers: usize,
    /// What is wrong with the objects now; empty when all of them are in use.
    pub faults: Vec<Fault>,
    /// Providers of which an older, good version is in use, and since when the newest one is not.
    pub kept: Vec<Kept>,
    /// Since when the directory itself cannot be read, or the API server not be heard; the last good bundle stays
    /// in use.
    pub vanished_since: Option<UnixTime>,
    /// Whether nothing has been read yet: everyone is refused meanwhile.
    pub awaited: bool,
}

/// A provider whose newest version is not in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which provider.
    pub provider: ProviderId,
    /// When that was first seen.
    pub since: UnixTime,
}

impl TrustSource {
    /// A bundle that never changes.
    pub fn fixed(bundle: TrustBundle) -> Self {
        let report = TrustReport {
            generation: bundle.generation(),
            providers: bundle.providers().len(),
            ..TrustReport::default()
        };
        Self::holding(bundle, report)
    }

    fn holding(bundle: TrustBundle, report: TrustReport) -> Self {
        let shared = Shared {
            generation: watch::Sender::new(bundle.generation()),
            bundle: ArcSwap::from_pointee(bundle),
            report: watch::Sender::new(Arc::new(report)),
            standings: watch::Sender::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The bundle in use now.
    pub fn current(&self) -> Arc<TrustBundle> {
        self.shared.bundle.load_full()
    }

    /// Wakes whenever another bundle came into use; holds its generation. The bundle is there before the
    /// generation is told.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.generation.subscribe()
    }

    /// How following the objects goes.
    pub fn report(&self) -> Arc<TrustReport> {
        Arc::clone(&self.shared.report.borrow())
    }

    /// Wakes whenever the report changed.
    pub fn reports(&self) -> watch::Receiver<Arc<TrustReport>> {
        self.shared.report.subscribe()
    }

    /// What is to be said about each provider; wakes whenever that changed. Of a directory nothing is.
    pub fn standings(&self) -> watch::Receiver<Arc<Standings>> {
        self.shared.standings.subscribe()
    }

    fn tell(&self, standings: Standings) {
        self.shared.standings.send_if_modified(|current| {
            let differs = **current != standings;
            if differs {
                *current = Arc::new(standings);
            }
            differs
        });
    }

    /// Puts another bundle into use, unless it is the same.
    fn publish(&self, bundle: &TrustBundle, report: TrustReport) {
        let generation = bundle.generation();
        if *self.shared.generation.borrow() != generation {
            self.shared.bundle.store(Arc::new(bundle.clone()));
            self.shared.generation.send_replace(generation);
        }
        self.shared.report.send_if_modified(|current| {
            let differs = **current != report;
            if differs {
                *current = Arc::new(report);
            }
            differs
        });
    }
}

impl fmt::Debug for TrustSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustSource")
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}

/// A fault of the directory as a whole.
fn directory_fault(directory: &Path, reason: &'static str, message: &str, remedy: &str) -> Fault {
    Fault::new(directory, Place::WHOLE_FILE, reason, message, remedy)
}

#[cfg(test)]
mod tests;

//! What the load saw of each thing that it asked for, and what nobody may ever see.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::support::fake_api_server::Arrived;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// A small answer, on a connection that is kept.
    Get,
    /// The same with a body and an effect.
    Post,
    /// A large answer that takes a third of a second.
    Body,
    /// Numbered events without an end.
    Watch,
    /// A small answer, on a connection of its own.
    New,
}

impl Kind {
    /// As it stands in the target.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Body => "body",
            Self::Watch => "watch",
            Self::New => "new",
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    /// Whole; a watch: it went on until nobody wanted it any more, or ended in order between two events.
    Served,
    /// With this status.
    Refused(u16),
    /// With an error that the caller sees.
    Broken(String),
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    pub(super) how: How,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Mutex<Vec<Entry>>,
    /// When each line of the load was last served what it had asked for at which time.
    served: Mutex<HashMap<String, Instant>>,
    /// Targets of POSTs that were answered.
    posted: Mutex<Vec<String>>,
    /// What must not be.
    wrongs: Mutex<Vec<String>>,
}

fn open<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock()
}

impl Ledger {
    /// Notes the end of something.
    pub(super) fn note(&self, kind: Kind, begun: Instant, how: How) {
        let ended = Instant::now();
        open(&self.entries).push(Entry {
            kind,
            begun,
            ended,
            how,
        });
    }

    /// A line of the load got what it had asked for at this moment.
    pub(super) fn served(&self, line: &str, asked: Instant) {
        open(&self.served).insert(line.to_owned(), asked);
    }

    /// A POST was answered.
    pub(super) fn posted(&self, target: &str) {
        open(&self.posted).push(target.to_owned());
    }

    /// Something that must not be.
    pub(super) fn wrong(&self, what: String) {
        open(&self.wrongs).push(what);
    }

    /// How many lines have got something that they asked for since then.
    pub(super) fn lines_served_since(&self, moment: Instant) -> usize {
        let served = open(&self.served);
        served.values().filter(|asked| **asked >= moment).count()
    }

    /// Everything that has ended.
    pub(super) fn entries(&self) -> Vec<Entry> {
        open(&self.entries).clone()
    }

    /// The ends of the watches that had begun before a moment and were still there then.
    pub(super) fn ends_of_watches(&self, moment: Instant) -> Vec<Instant> {
        let entries = self.entries();
        let hit = entries.iter().filter(|it| it.kind == Kind::Watch);
        let hit = hit.filter(|it| it.begun < moment && it.ended >= moment);
        hit.map(|it| it.ended).collect()
    }

    /// What is wrong with what was seen here, and with what arrived at the API server from these users, by tag.
    pub(super) fn wrongs(
        &self,
        arrived: &[Arrived],
        users: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let mut wrongs = open(&self.wrongs).clone();
        let mut posts: HashMap<&str, usize> = HashMap::new();
        for request in arrived {
            let tag = request.target.split('/').nth(3).unwrap_or_default();
            let named = request.values("impersonate-user");
            if users.get(tag).map(std::slice::from_ref) != Some(&named) {
                wrongs.push(format!("{} arrived as {named:?}", request.target));
            }
            if request.method == "POST" {
                *posts.entry(&request.target).or_default() += 1;
            }
        }
        let twice = posts.iter().filter(|(_, count)| **count > 1);
        wrongs.extend(twice.map(|(target, count)| format!("{target} arrived {count} times")));
        for target in open(&self.posted).iter() {
            if !posts.contains_key(target.as_str()) {
                wrongs.push(format!("{target} was answered and never arrived"));
            }
        }
        wrongs
    }
}

/// As it stands in the table.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

//! Load balancers that do otherwise than the relay's file says. All callers behind one are refused, and nobody but a person can
//! mend it: so it is told, and not only counted.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::ForwardFault;

/// How often the log has a line of one address, and how long status warns of it.
const LATELY: Duration = Duration::from_secs(60);

/// Addresses of one kind that status shows, and of which the log has a line: more than load balancers have before one relay. Any
/// stranger can send a PROXY header, and a crowd of them is not to fill log and status.
const MOST: usize = 16;

/// Addresses of one kind that are remembered. A balancer is refused again and again, and is found among so many strangers who are refused once.
const REMEMBERED: usize = 256;

/// What is the matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mismatch {
    /// Connections from a listed network do not begin with a PROXY header of version 2 that makes sense.
    Missing,
    /// Connections from a network that is not listed begin with one.
    Unlisted,
}

const KINDS: [Mismatch; 2] = [Mismatch::Missing, Mismatch::Unlisted];

/// Connections that were refused for it lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MismatchView {
    /// What is the matter.
    pub mismatch: Mismatch,
    /// Whose connections.
    pub address: IpAddr,
    /// How many since it began.
    pub refused: u64,
}

/// The addresses beside those that are shown, each of which was refused as seldom as those or less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MismatchCrowd {
    /// What is the matter.
    pub mismatch: Mismatch,
    /// How many they are, at least: beyond some hundred nobody counts.
    pub addresses: usize,
}

/// What was seen of late. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Mismatches(Arc<Mutex<ByAddress>>);

type ByAddress = BTreeMap<(Mismatch, IpAddr), Seen>;

#[derive(Debug)]
struct Seen {
    refused: u64,
    told: Option<Instant>,
    last: Instant,
}

impl Seen {
    fn is_late(&self, now: Instant) -> bool {
        is_late(self.last, now)
    }

    /// Whether the log had a line of it lately.
    fn is_told(&self, now: Instant) -> bool {
        self.told.is_some_and(|told| is_late(told, now))
    }
}

impl From<ForwardFault> for Mismatch {
    fn from(fault: ForwardFault) -> Self {
        match fault {
            ForwardFault::Missing | ForwardFault::Malformed(_) => Self::Missing,
            ForwardFault::Unlisted => Self::Unlisted,
        }
    }
}

impl Mismatches {
    /// Notes one connection; true when the log is to have a line of it.
    pub(super) fn note(&self, mismatch: Mismatch, address: IpAddr, now: Instant) -> bool {
        note(&mut self.0.lock(), (mismatch, address), now)
    }

    /// Those of late: of each kind the ones that were refused most.
    pub(super) fn of_late(&self, now: Instant) -> Vec<MismatchView> {
        let mut shown = Vec::new();
        for mismatch in KINDS {
            shown.extend(self.of_kind(mismatch, now).into_iter().take(MOST));
        }
        shown
    }

    /// Those beside them.
    pub(super) fn crowds(&self, now: Instant) -> Vec<MismatchCrowd> {
        let crowd = |mismatch| MismatchCrowd {
            mismatch,
            addresses: self.of_kind(mismatch, now).len().saturating_sub(MOST),
        };
        let crowds = KINDS.into_iter().map(crowd);
        crowds.filter(|crowd| crowd.addresses > 0).collect()
    }

    fn of_kind(&self, mismatch: Mismatch, now: Instant) -> Vec<MismatchView> {
        let seen = self.0.lock();
        let of_late = seen
            .iter()
            .filter(|((of, _), seen)| *of == mismatch && seen.is_late(now));
        let view = |((_, address), seen): (&(Mismatch, IpAddr), &Seen)| MismatchView {
            mismatch,
            address: *address,
            refused: seen.refused,
        };
        let mut views: Vec<_> = of_late.map(view).collect();
        drop(seen);
        views.sort_by_key(|view| Reverse(view.refused));
        views
    }
}

/// Whether the moment is less than [`LATELY`] ago.
fn is_late(moment: Instant, now: Instant) -> bool {
    now.saturating_duration_since(moment) < LATELY
}

/// As [`Mismatches::note`].
fn note(seen: &mut ByAddress, key: (Mismatch, IpAddr), now: Instant) -> bool {
    let (mismatch, _) = key;
    seen.retain(|_, seen| seen.is_late(now));
    let of_kind = |seen: &ByAddress| seen.keys().filter(|(of, _)| *of == mismatch).count();
    let told = seen
        .iter()
        .filter(|((of, _), seen)| *of == mismatch && seen.is_told(now));
    let room_in_log = told.count() < MOST;
    if !seen.contains_key(&key) && of_kind(seen) >= REMEMBERED {
        forget_least(seen, mismatch, now);
    }
    let known = seen.entry(key).or_insert(Seen {
        refused: 0,
        told: None,
        last: now,
    });
    known.refused = known.refused.saturating_add(1);
    known.last = now;
    let due = !known.is_told(now) && room_in_log;
    if due {
        known.told = Some(now);
    }
    due
}

/// Makes room: the address that was refused least goes, and of several the one that is longest ago. Of those in the log none goes: it
/// would make room there as well.
fn forget_least(seen: &mut ByAddress, mismatch: Mismatch, now: Instant) {
    let untold = seen
        .iter()
        .filter(|((of, _), seen)| *of == mismatch && !seen.is_told(now));
    let least = untold.min_by_key(|(_, seen)| (seen.refused, seen.last));
    if let Some(least) = least.map(|(key, _)| *key) {
        seen.remove(&least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_once_a_minute() {
        let (mismatches, begun) = (Mismatches::default(), Instant::now());
        let one = IpAddr::from([10, 0, 0, 7]);
        let note = |kind, seconds| mismatches.note(kind, one, begun + Duration::from_secs(seconds));
        let told: Vec<_> = (0..180)
            .filter(|second| note(Mismatch::Missing, *second))
            .collect();
        assert_eq!(told, [0, 60, 120]);
        assert!(note(Mismatch::Unlisted, 180), "that is something else");
        let of_late = mismatches.of_late(begun + Duration::from_secs(181));
        let refused: Vec<_> = of_late.iter().map(|seen| seen.refused).collect();
        assert_eq!(refused, [180, 1]);
        let later = begun + Duration::from_secs(240);
        assert_eq!(mismatches.of_late(later), []);
        assert!(note(Mismatch::Missing, 300), "it is new again");
    }

    #[test]
    fn a_crowd_of_strangers_neither_fills_the_log_nor_hides_a_balancer() {
        let (mismatches, now) = (Mismatches::default(), Instant::now());
        let strangers = (0..=255).map(|last| IpAddr::from([192, 0, 2, last]));
        let told = strangers.filter(|one| mismatches.note(Mismatch::Unlisted, *one, now));
        assert_eq!(told.count(), MOST);
        assert!(mismatches.note(Mismatch::Missing, [10, 0, 0, 7].into(), now));
        assert_eq!(mismatches.of_late(now).len(), MOST + 1);
    }

    #[test]
    fn a_balancer_is_found_in_a_crowd_that_was_there_first() {
        let (mismatches, now) = (Mismatches::default(), Instant::now());
        let crowd = |from: u16| {
            let numbers = (from..from + 1000).map(u16::to_be_bytes);
            let told = numbers.filter(|[high, low]| {
                mismatches.note(Mismatch::Unlisted, [10, 9, *high, *low].into(), now)
            });
            told.count()
        };
        let balancer = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(crowd(0), MOST);
        for from in 1..4 {
            for _ in 0..2 {
                mismatches.note(Mismatch::Unlisted, balancer, now);
            }
            assert_eq!(crowd(1000 * from), 0, "the log has its lines");
        }
        let shown = mismatches.of_late(now);
        assert_eq!((shown[0].address, shown[0].refused), (balancer, 6));
        assert_eq!(shown.len(), MOST);
        let crowds = mismatches.crowds(now);
        let addresses = REMEMBERED - MOST;
        let mismatch = Mismatch::Unlisted;
        assert_eq!(
            crowds,
            [MismatchCrowd {
                mismatch,
                addresses
            }]
        );
        assert_eq!(mismatches.crowds(now + LATELY), []);
    }
}

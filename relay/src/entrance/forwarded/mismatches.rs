//! Load balancers that do otherwise than the relay's file says. All callers behind one are refused, and nobody but a person can
//! mend it: so it is told, and not only counted.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::ForwardFault;

/// How often the log has a line of one address, and how long status warns of it.
const LATELY: Duration = Duration::from_secs(60);

/// Addresses of one kind that are remembered: more than load balancers have before one relay. Any stranger can send a PROXY header,
/// and a crowd of them is not to fill log and status.
const MOST: usize = 16;

/// What is the matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mismatch {
    /// Connections from a listed network do not begin with a PROXY header of version 2 that makes sense.
    Missing,
    /// Connections from a network that is not listed begin with one.
    Unlisted,
}

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

/// What was seen of late. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Mismatches(Arc<Mutex<ByAddress>>);

type ByAddress = BTreeMap<(Mismatch, IpAddr), Seen>;

#[derive(Debug)]
struct Seen {
    refused: u64,
    told: Instant,
    last: Instant,
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
        let mut seen = self.0.lock();
        seen.retain(|_, seen| now.saturating_duration_since(seen.last) < LATELY);
        let room = seen.keys().filter(|(of, _)| *of == mismatch).count() < MOST;
        if let Some(known) = seen.get_mut(&(mismatch, address)) {
            known.refused = known.refused.saturating_add(1);
            known.last = now;
            let due = now.saturating_duration_since(known.told) >= LATELY;
            if due {
                known.told = now;
            }
            return due;
        }
        if room {
            let first = Seen {
                refused: 1,
                told: now,
                last: now,
            };
            seen.insert((mismatch, address), first);
        }
        room
    }

    /// Those of late.
    pub(super) fn of_late(&self, now: Instant) -> Vec<MismatchView> {
        let view = |((mismatch, address), seen): (&(Mismatch, IpAddr), &Seen)| MismatchView {
            mismatch: *mismatch,
            address: *address,
            refused: seen.refused,
        };
        let is_late = |seen: &Seen| now.saturating_duration_since(seen.last) < LATELY;
        let of_late = |(_, seen): &(&(Mismatch, IpAddr), &Seen)| is_late(seen);
        self.0.lock().iter().filter(of_late).map(view).collect()
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
}

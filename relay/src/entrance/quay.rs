//! The quay: callers that have connected and not yet said where to. Bounded in number, globally and
//! a source, because until the name is read nothing is known of them.
//!
//! When it is full the one that has waited longest *leaves*, not the one that arrives. An honest
//! caller says its name within a round trip; whoever has been silent the longest is the likeliest to
//! be silent for ever. So a crowd of mute connections cannot keep others out, not even others behind
//! the same address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Most callers on the quay. At the most bytes that are kept of one
/// ([`MOST_PEEKED`](super::hello::MOST_PEEKED), 24 KiB) they hold 96 MiB, at the usual 2 KiB only 8 MiB.
const MOST_WAITING: usize = 4096;

/// Most callers of one source on the quay: a quarter, so that one source alone never fills it. A large
/// office behind one address that reconnects all at once fits.
const MOST_OF_ONE_SOURCE: usize = 1024;

/// Who counts as one: an IPv4 address, or an IPv6 /64, the smallest piece a customer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// A /32.
    V4(Ipv4Addr),
    /// The upper half of the address.
    V6([u8; 8]),
}

impl Source {
    /// The source of a caller. An IPv4 caller on a dual-stack socket counts as IPv4.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(upper_half(address)),
        }
    }
}

fn upper_half(address: Ipv6Addr) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = address.octets();
    [a, b, c, d, e, f, g, h]
}

/// Bounds of a [`Quay`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Callers in all.
    pub(crate) everyone: usize,
    /// Callers of one source.
    pub(crate) one_source: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            everyone: MOST_WAITING,
            one_source: MOST_OF_ONE_SOURCE,
        }
    }
}

/// Who is waiting. Cheap to clone; all clones are the same quay.
#[derive(Debug, Clone, Default)]
pub(crate) struct Quay {
    room: Room,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// In order of arrival, as the numbers rise.
    everyone: BTreeMap<u64, (Source, CancellationToken)>,
    by_source: HashMap<Source, BTreeSet<u64>>,
}

/// A place on the quay, given up when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    room: Room,
    sent_away: CancellationToken,
    waiting: Arc<Mutex<Waiting>>,
}

impl Quay {
    /// One with other bounds than the usual.
    pub(crate) fn with_room(room: Room) -> Self {
        Self {
            room,
            waiting: Arc::default(),
        }
    }

    /// Takes the caller in, and sends away the longest waiting when there are too many.
    pub(crate) fn arrive(&self, source: Source) -> Place {
        let sent_away = CancellationToken::new();
        let mut waiting = self.waiting.lock();
        waiting.make_room(source, self.room);
        let number = waiting.next;
        waiting.next += 1;
        waiting.insert(number, source, sent_away.clone());
        drop(waiting);
        Place {
            number,
            room: self.room,
            sent_away,
            waiting: Arc::clone(&self.waiting),
        }
    }

    /// How many are waiting.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.lock().everyone.len()
    }
}

impl Waiting {
    fn insert(&mut self, number: u64, source: Source, token: CancellationToken) {
        self.everyone.insert(number, (source, token));
        self.by_source.entry(source).or_default().insert(number);
    }

    fn make_room(&mut self, source: Source, room: Room) {
        self.make_room_of(source, room);
        if self.everyone.len() >= room.everyone
            && let Some(&number) = self.everyone.keys().next()
        {
            self.send_away(number);
        }
    }

    fn make_room_of(&mut self, source: Source, room: Room) {
        let oldest_of_source = self
            .by_source
            .get(&source)
            .filter(|numbers| numbers.len() >= room.one_source)
            .and_then(|numbers| numbers.first().copied());
        if let Some(number) = oldest_of_source {
            self.send_away(number);
        }
    }

    fn send_away(&mut self, number: u64) {
        if let Some(token) = self.forget(number) {
            token.cancel();
        }
    }

    fn forget(&mut self, number: u64) -> Option<CancellationToken> {
        let (source, token) = self.everyone.remove(&number)?;
        if let Some(numbers) = self.by_source.get_mut(&source) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_source.remove(&source);
            }
        }
        Some(token)
    }
}

impl Place {
    /// Counts the caller as one of `source` from now on, where it turns out to have been forwarded. It keeps its
    /// turn, and what that source may have waiting holds for it too.
    pub(crate) fn belongs_to(&self, source: Source) {
        let mut waiting = self.waiting.lock();
        if let Some(token) = waiting.forget(self.number) {
            waiting.make_room_of(source, self.room);
            waiting.insert(self.number, source, token);
        }
    }

    /// Resolves when this caller has to make room for another.
    pub(crate) async fn sent_away(&self) {
        self.sent_away.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.waiting.lock().forget(self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
    }

    fn gone(place: &Place) -> bool {
        place.sent_away.is_cancelled()
    }

    #[test]
    fn longest_waiting_of_a_source_leaves_for_a_newcomer_of_the_same_source() {
        let quay = Quay::with_room(Room {
            everyone: 10,
            one_source: 2,
        });
        let other = quay.arrive(source(9));
        let first = quay.arrive(source(1));
        let second = quay.arrive(source(1));
        assert!(!gone(&first));
        let third = quay.arrive(source(1));
        assert!(gone(&first) && !gone(&second) && !gone(&third) && !gone(&other));
        assert_eq!(quay.waiting(), 3);
    }

    #[test]
    fn longest_waiting_of_all_leaves_when_the_quay_is_full() {
        let quay = Quay::with_room(Room {
            everyone: 2,
            one_source: 2,
        });
        let first = quay.arrive(source(1));
        let second = quay.arrive(source(2));
        let third = quay.arrive(source(3));
        assert!(gone(&first) && !gone(&second) && !gone(&third));
    }

    #[test]
    fn who_has_left_takes_no_room_and_leaves_nothing_behind() {
        let quay = Quay::with_room(Room {
            everyone: 2,
            one_source: 1,
        });
        for _ in 0..5 {
            let place = quay.arrive(source(1));
            assert!(!gone(&place));
        }
        let evicted = quay.arrive(source(1));
        let stays = quay.arrive(source(1));
        drop(evicted);
        assert_eq!(
            quay.waiting(),
            1,
            "leaving after being sent away takes nobody else along"
        );
        assert!(!gone(&stays));
        drop(stays);
        assert!(quay.waiting.lock().by_source.is_empty());
    }

    #[test]
    fn source_is_a_v4_address_or_a_v6_half() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn forwarded_caller_counts_as_one_of_its_own_source() {
        let quay = Quay::with_room(Room {
            everyone: 10,
            one_source: 2,
        });
        let balancer = source(9);
        let first = quay.arrive(balancer);
        first.belongs_to(source(1));
        let second = quay.arrive(balancer);
        second.belongs_to(source(1));
        let others = [quay.arrive(balancer), quay.arrive(balancer)];
        assert!(!gone(&first), "the balancer's own places are free again");
        let third = quay.arrive(source(2));
        third.belongs_to(source(1));
        assert!(gone(&first), "the longest waiting of that source");
        assert!(!gone(&second) && !gone(&third) && !others.iter().any(gone));
        assert_eq!(quay.waiting(), 4);
        first.belongs_to(source(3));
        assert_eq!(quay.waiting(), 4, "who was sent away does not come back");
    }
}

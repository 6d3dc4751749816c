//! Places for handshakes: so many at a time of each relay, and some only for those who are known.
//!
//! Who a caller is shows at the end of a handshake, so until then there is only the address that they come
//! from, by the relay's word. A relay that lies about it lies about its own callers: each relay, and the own
//! port, has places of its own.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::exit::Caller;

/// Handshakes at the same time that came by one relay, or the own port. Each holds at most some 40 KiB (a
/// ClientHello and a chain of certificates in parts), so all of them 40 MiB; one takes 0.4 ms of CPU, so a
/// core that does nothing else works this off in half a second.
pub const HANDSHAKES_AT_ONCE: usize = 1024;

/// Of these, places that only callers get from whose address an accepted certificate has come: a quarter, so
/// that strangers who fill the others keep out nobody who was here before.
const FOR_THE_KNOWN: usize = HANDSHAKES_AT_ONCE / 4;

/// Addresses that are remembered at most; the older half is forgotten at once. A few hundred KiB, and an exit
/// with more callers than that still knows those who came last.
const MOST_KNOWN: usize = 8192;

/// Everybody's places.
#[derive(Debug, Default)]
pub(super) struct Places {
    ways: Mutex<Ways>,
    known: Mutex<Known>,
}

/// By relay. They stand in the exit's own file, so these are few.
type Ways = HashMap<Option<Arc<str>>, Arc<Way>>;

/// The places of one relay, or of the own port.
#[derive(Debug)]
pub(super) struct Way {
    for_anyone: Arc<Semaphore>,
    for_the_known: Arc<Semaphore>,
    /// How many wait for a place.
    waiting: watch::Sender<usize>,
}

/// Where accepted certificates came from of late.
#[derive(Debug, Default)]
struct Known {
    newer: HashSet<IpAddr>,
    older: HashSet<IpAddr>,
}

impl Places {
    /// Those of the way that a caller came.
    pub(super) fn of(&self, caller: &Caller) -> Arc<Way> {
        Arc::clone(self.ways.lock().entry(caller.relay.clone()).or_default())
    }

    /// A caller's certificate was accepted.
    pub(super) fn remember(&self, caller: &Caller) {
        self.known.lock().remember(source(caller));
    }

    /// Whether one from the same address was accepted.
    pub(super) fn knows(&self, caller: &Caller) -> bool {
        self.known.lock().has(source(caller))
    }
}

impl Known {
    fn remember(&mut self, source: IpAddr) {
        if self.newer.insert(source) && self.newer.len() >= MOST_KNOWN / 2 {
            self.older = mem::take(&mut self.newer);
        }
    }

    fn has(&self, source: IpAddr) -> bool {
        self.newer.contains(&source) || self.older.contains(&source)
    }
}

/// An IPv4 address, or an IPv6 /64, the smallest piece a customer is given.
fn source(caller: &Caller) -> IpAddr {
    match caller.address.ip().to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

impl Default for Way {
    fn default() -> Self {
        Self {
            for_anyone: Arc::new(Semaphore::new(HANDSHAKES_AT_ONCE - FOR_THE_KNOWN)),
            for_the_known: Arc::new(Semaphore::new(FOR_THE_KNOWN)),
            waiting: watch::Sender::new(0),
        }
    }
}

impl Way {
    /// A place, as soon as there is one.
    pub(super) async fn place(&self, is_known: bool) -> Option<OwnedSemaphorePermit> {
        let (anyone, known) = (&self.for_anyone, &self.for_the_known);
        if let Ok(place) = Arc::clone(anyone).try_acquire_owned() {
            return Some(place);
        }
        if is_known && let Ok(place) = Arc::clone(known).try_acquire_owned() {
            return Some(place);
        }
        let _waiting = Waiting::among(&self.waiting);
        tokio::select! {
            place = Arc::clone(anyone).acquire_owned() => place.ok(),
            place = Arc::clone(known).acquire_owned(), if is_known => place.ok(),
        }
    }

    /// Resolves as soon as somebody waits for a place.
    pub(super) async fn is_awaited(&self) {
        let mut waiting = self.waiting.subscribe();
        // Its sender is ours.
        drop(waiting.wait_for(|waiting| *waiting > 0).await);
    }
}

/// One who waits for a place.
struct Waiting<'w>(&'w watch::Sender<usize>);

impl<'w> Waiting<'w> {
    fn among(waiting: &'w watch::Sender<usize>) -> Self {
        waiting.send_modify(|count| *count += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use super::*;
    use crate::exit::Witness;

    fn caller(relay: &str, address: &str) -> Caller {
        Caller {
            address: SocketAddr::new(address.parse().unwrap(), 4711),
            said_by: Witness::Relay,
            connection: 7,
            tunnel: None,
            relay: Some(Arc::from(relay)),
        }
    }

    async fn fill(way: &Way) -> Vec<OwnedSemaphorePermit> {
        let mut taken = Vec::new();
        for _ in 0..HANDSHAKES_AT_ONCE - FOR_THE_KNOWN {
            taken.push(way.place(false).await.unwrap());
        }
        taken
    }

    async fn is_full(way: &Way, is_known: bool) -> bool {
        let moment = Duration::from_secs(1);
        let place = tokio::time::timeout(moment, way.place(is_known)).await;
        place.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_leave_places_to_the_known_and_to_other_relays() {
        let places = Places::default();
        let (stranger, regular) = (caller("one", "192.0.2.1"), caller("one", "192.0.2.2"));
        places.remember(&regular);
        assert!(places.knows(&regular) && !places.knows(&stranger));
        let way = places.of(&stranger);
        let strangers = fill(&way).await;
        assert!(is_full(&way, false).await);
        assert!(!is_full(&places.of(&regular), true).await);
        let other = places.of(&caller("other", "192.0.2.1"));
        assert!(!is_full(&other, false).await);
        drop(strangers);
        assert!(!is_full(&way, false).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_seen_to_wait_and_gets_the_first_place_that_comes_free() {
        let places = Places::default();
        let way = places.of(&caller("one", "192.0.2.1"));
        let mut taken = fill(&way).await;
        let moment = Duration::from_secs(1);
        let awaited = tokio::time::timeout(moment, way.is_awaited()).await;
        assert!(awaited.is_err(), "nobody waits");
        let ((), place) = tokio::join!(
            async {
                way.is_awaited().await;
                taken.pop();
            },
            way.place(false)
        );
        assert!(place.is_some());
    }

    #[test]
    fn half_of_an_ipv6_address_counts() {
        let places = Places::default();
        places.remember(&caller("one", "2001:db8:0:1::1"));
        assert!(places.knows(&caller("one", "2001:db8:0:1:ffff::2")));
        assert!(!places.knows(&caller("one", "2001:db8:0:2::1")));
        places.remember(&caller("one", "::ffff:192.0.2.1"));
        assert!(places.knows(&caller("one", "192.0.2.1")));
    }

    #[test]
    fn who_is_known_does_not_grow_without_bound() {
        let places = Places::default();
        for number in 0..5 * MOST_KNOWN {
            let address = Ipv4Addr::from(u32::try_from(number).unwrap());
            places.remember(&caller("one", &address.to_string()));
        }
        let known = places.known.lock();
        assert!(known.newer.len() + known.older.len() <= MOST_KNOWN);
        drop(known);
        let last = Ipv4Addr::from(u32::try_from(5 * MOST_KNOWN - 1).unwrap());
        assert!(places.knows(&caller("one", &last.to_string())));
    }
}

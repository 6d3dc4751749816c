//! What sessions have carried, those that have ended included: counts that only grow, whoever comes and goes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::session::{Session, Traffic};

mod encoding;

pub use encoding::encode_accounts;

/// The books of one side, a page for each peer: at the relay a cluster, at the agent a relay. Cheap to clone; all
/// clones are the same.
pub struct Ledger<K> {
    pages: Arc<Mutex<Pages<K>>>,
    /// Most pages. Beyond it those without a session are forgotten, with their counts.
    most: usize,
}

/// Each page has a lock of its own: asking a session takes the transport's lock, and for as long as thousands are
/// asked at a scrape nobody else could come or go.
type Pages<K> = BTreeMap<K, Arc<Mutex<Page>>>;

#[derive(Debug, Default)]
struct Page {
    sessions: Vec<Arc<dyn Session>>,
    ended: Traffic,
    last_end: Option<End>,
}

/// How a session ended, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// In a word.
    pub reason: &'static str,
    /// The moment.
    pub at: Instant,
}

/// One page at one moment.
#[derive(Debug, Clone)]
pub struct Account<K> {
    /// Whose.
    pub peer: K,
    /// Sessions that stand, by what carries them.
    pub sessions: BTreeMap<&'static str, usize>,
    /// Callers on board.
    pub open_streams: usize,
    /// What all sessions have moved, those that have ended included.
    pub traffic: Traffic,
    /// The longest round trip of the sessions that stand.
    pub round_trip: Option<Duration>,
    /// How the last session that ended did.
    pub last_end: Option<End>,
}

/// A session's entry; ended by [`close`](Self::close), or when dropped.
#[derive(Debug)]
pub struct Entry {
    /// Stays in the books while it has this session.
    page: Arc<Mutex<Page>>,
    session: Arc<dyn Session>,
    reason: &'static str,
}

impl<K: Ord + Clone> Ledger<K> {
    /// Empty books.
    pub fn new(most: usize) -> Self {
        Self {
            pages: Arc::default(),
            most,
        }
    }

    /// Enters a session that stands.
    pub fn enter(&self, peer: K, session: Arc<dyn Session>) -> Entry {
        let mut pages = self.pages.lock();
        if pages.len() >= self.most && !pages.contains_key(&peer) {
            pages.retain(|_, page| !page.lock().sessions.is_empty());
        }
        let page = Arc::clone(pages.entry(peer).or_default());
        // Before the books are given back, so that nobody forgets the page in between.
        page.lock().sessions.push(Arc::clone(&session));
        drop(pages);
        Entry {
            page,
            session,
            reason: "Abandoned",
        }
    }

    /// All pages, by peer.
    pub fn accounts(&self) -> Vec<Account<K>> {
        let pages = self.pages.lock().clone();
        pages
            .into_iter()
            .map(|(peer, page)| page.lock().account(peer))
            .collect()
    }
}

impl Page {
    fn account<K>(&self, peer: K) -> Account<K> {
        let mut account = Account {
            peer,
            sessions: BTreeMap::new(),
            open_streams: 0,
            traffic: self.ended,
            round_trip: None,
            last_end: self.last_end,
        };
        for session in &self.sessions {
            *account.sessions.entry(session.transport()).or_default() += 1;
            account.open_streams = account.open_streams.saturating_add(session.open_streams());
            account.traffic = account.traffic.and(session.traffic());
            account.round_trip = account.round_trip.max(Some(session.round_trip_time()));
        }
        account
    }
}

impl Page {
    /// Moves what a session has moved to what is past. Under the page's lock, so that nobody sees a count without it.
    fn close(&mut self, session: &Arc<dyn Session>, reason: &'static str) {
        self.sessions.retain(|other| !Arc::ptr_eq(other, session));
        self.ended = self.ended.and(session.traffic());
        let at = Instant::now();
        self.last_end = Some(End { reason, at });
    }
}

impl Entry {
    /// The session is over; this is why, in a word.
    pub fn close(mut self, reason: &'static str) {
        self.reason = reason;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.page.lock().close(&self.session, self.reason);
    }
}

impl<K> Clone for Ledger<K> {
    fn clone(&self) -> Self {
        Self {
            pages: Arc::clone(&self.pages),
            most: self.most,
        }
    }
}

impl<K> fmt::Debug for Ledger<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("pages", &self.pages.lock().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustls_pki_types::CertificateDer;

    use super::*;
    use crate::session::{BoxFuture, Closed, SessionError};
    use crate::stream::Stream;
    use crate::wire::CloseCode;

    /// A session that has moved so many bytes, and may know the books that it is in.
    #[derive(Debug)]
    struct Counting(&'static str, AtomicU64, Option<Ledger<&'static str>>);

    impl Session for Counting {
        fn open(&self) -> BoxFuture<'_, Result<Stream, SessionError>> {
            Box::pin(async { Err(SessionError(Closed::Here)) })
        }

        fn accept(&self) -> BoxFuture<'_, Result<Stream, SessionError>> {
            self.open()
        }

        fn closed(&self) -> BoxFuture<'_, Closed> {
            Box::pin(async { Closed::Here })
        }

        fn close(&self, _code: CloseCode, _reason: &str) {}

        fn remote_address(&self) -> SocketAddr {
            (Ipv4Addr::LOCALHOST, 1).into()
        }

        fn peer_certificates(&self) -> &[CertificateDer<'static>] {
            &[]
        }

        fn round_trip_time(&self) -> Duration {
            Duration::from_millis(self.1.load(Ordering::Relaxed))
        }

        fn transport(&self) -> &'static str {
            self.0
        }

        fn grow_stream_credit(&self, _streams: u32) {}

        fn open_streams(&self) -> usize {
            let books = self.2.as_ref();
            let free = books.is_none_or(|ledger| ledger.pages.try_lock().is_some());
            assert!(free, "held meanwhile");
            1
        }

        fn traffic(&self) -> Traffic {
            let bytes = self.1.load(Ordering::Relaxed);
            Traffic {
                sent: bytes,
                received: bytes * 2,
                datagrams_sent: bytes,
                datagrams_received: bytes,
                datagrams_lost: bytes / 10,
            }
        }
    }

    fn session(transport: &'static str, bytes: u64) -> Arc<Counting> {
        Arc::new(Counting(transport, AtomicU64::new(bytes), None))
    }

    #[tokio::test(start_paused = true)]
    async fn counts_never_fall() {
        let ledger = Ledger::new(10);
        let (first, second) = (session("quic", 10), session("tcp", 30));
        let one = ledger.enter("a", Arc::<Counting>::clone(&first));
        let two = ledger.enter("a", Arc::<Counting>::clone(&second));
        let other = ledger.enter("b", session("quic", 7));
        let account = ledger.accounts().remove(0);
        assert_eq!((account.traffic.sent, account.traffic.received), (40, 80));
        assert_eq!(account.sessions, [("quic", 1), ("tcp", 1)].into());
        assert_eq!(account.round_trip, Some(Duration::from_millis(30)));
        assert_eq!((account.open_streams, account.last_end), (2, None));
        first.1.store(11, Ordering::Relaxed);
        one.close("Silent");
        drop(two);
        let account = ledger.accounts().remove(0);
        assert_eq!(
            (account.traffic.sent, account.traffic.datagrams_lost),
            (41, 4)
        );
        assert_eq!(account.sessions, BTreeMap::new());
        assert_eq!(account.round_trip, None);
        assert_eq!(account.last_end.map(|end| end.reason), Some("Abandoned"));
        let again = ledger.enter("a", session("quic", 1));
        again.close("Silent");
        let account = ledger.accounts().remove(0);
        assert_eq!(account.traffic.sent, 42);
        assert_eq!(account.last_end.map(|end| end.reason), Some("Silent"));
        drop(other);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_there_is_never_forgotten() {
        let ledger = Ledger::new(3);
        let stays = ledger.enter(0, session("quic", 1));
        for peer in 1..100 {
            ledger.enter(peer, session("quic", 1)).close("Silent");
            assert!(ledger.accounts().len() <= 3, "{peer}");
        }
        assert_eq!(ledger.accounts()[0].peer, 0);
        drop(stays);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_to_full_books_finds_their_page() {
        let ledger = Ledger::new(1);
        for visit in 1..=3 {
            ledger.enter("a", session("quic", 10)).close("Silent");
            assert_eq!(ledger.accounts()[0].traffic.sent, visit * 10);
        }
        ledger.enter("b", session("quic", 1)).close("Silent");
        assert_eq!(ledger.accounts().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_books_are_free_while_sessions_are_asked() {
        let ledger = Ledger::new(10);
        let asked = Counting("quic", AtomicU64::new(1), Some(ledger.clone()));
        let entry = ledger.enter("a", Arc::new(asked));
        assert_eq!(ledger.accounts()[0].open_streams, 1);
        drop(entry);
    }
}

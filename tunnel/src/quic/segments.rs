//! How many datagrams are made at a time, for the kernel to cut apart.
//!
//! Without segmentation offload bulk is three times dearer. But quinn keeps a buffer for each connection that has
//! once made two datagrams at a time, as long as all that it might ever make; in ten thousand idle tunnels, whose
//! handshake took three datagrams, that would be a quarter of a relay's memory. So datagrams are made one by one
//! until some peer is sent many in a row: then there is bulk, and what is saved is worth a buffer.
//!
//! quinn asks the socket, and does not say for which connection. So while one peer has bulk this holds for all of the socket:
//! whose handshake comes then, or who is sent two datagrams at once, keeps such a buffer until its connection ends.

use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Datagrams in a row to one peer from which on there is bulk: a handshake's flight is three, with long chains five.
const BULK: u32 = 6;

/// Datagrams shorter than this end a row: a full one is never shorter (RFC 9000 §14).
const FULL: usize = 1200;

/// How long after the last bulk there is thought to be more.
const MEMORY: Duration = Duration::from_secs(1);

/// What was sent lately through a socket.
#[derive(Debug, Default)]
pub(super) struct Segments {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// To whom the last datagrams went, and how many in a row.
    peer: Option<SocketAddr>,
    row: u32,
    bulk: Option<Instant>,
}

impl Segments {
    /// How many of `most` may be made at a time.
    pub(super) fn allowed(&self, most: usize, now: Instant) -> usize {
        let seen = self.seen.lock();
        let lately = |bulk: Instant| now.saturating_duration_since(bulk) < MEMORY;
        if seen.bulk.is_some_and(lately) {
            most
        } else {
            1
        }
    }

    /// So many bytes were sent to a peer in one call.
    pub(super) fn sent(&self, peer: SocketAddr, bytes: usize, now: Instant) {
        let mut seen = self.seen.lock();
        if bytes < FULL {
            (seen.peer, seen.row) = (None, 0);
            return;
        }
        if seen.peer != Some(peer) {
            (seen.peer, seen.row) = (Some(peer), 0);
        }
        let datagrams = u32::try_from(bytes / FULL).unwrap_or(BULK);
        seen.row = seen.row.saturating_add(datagrams).min(BULK);
        if seen.row >= BULK {
            seen.bulk = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const MOST: usize = 10;

    fn peer(number: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, number).into()
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_and_small_datagrams_are_no_bulk() {
        let segments = Segments::default();
        for number in 1..2_000 {
            for bytes in [1200, 1200, 1200, 1200, 900, 40] {
                segments.sent(peer(number), bytes, Instant::now());
                assert_eq!(segments.allowed(MOST, Instant::now()), 1);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn turns_between_peers_are_no_bulk() {
        let segments = Segments::default();
        for number in 0..2_000 {
            segments.sent(peer(number % 3), 1452, Instant::now());
        }
        assert_eq!(segments.allowed(MOST, Instant::now()), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn many_in_a_row_to_one_peer_are_bulk_for_a_while() {
        let segments = Segments::default();
        for _ in 0..BULK {
            assert_eq!(segments.allowed(MOST, Instant::now()), 1);
            segments.sent(peer(1), 1452, Instant::now());
        }
        assert_eq!(segments.allowed(MOST, Instant::now()), MOST);
        // What is sent beside it changes nothing.
        segments.sent(peer(2), 40, Instant::now());
        tokio::time::advance(MEMORY / 2).await;
        assert_eq!(segments.allowed(MOST, Instant::now()), MOST);
        segments.sent(peer(1), 14_520, Instant::now());
        tokio::time::advance(MEMORY / 2).await;
        assert_eq!(segments.allowed(MOST, Instant::now()), MOST);
        tokio::time::advance(MEMORY / 2).await;
        assert_eq!(segments.allowed(MOST, Instant::now()), 1);
    }
}

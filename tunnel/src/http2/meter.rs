//! What went over a session's socket, and when something was heard last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::session::Traffic;

#[derive(Debug)]
struct Readings {
    since: Instant,
    heard_ms: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    round_trip_us: AtomicU64,
    blocked: AtomicBool,
}

/// A session's meter. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Meter(Arc<Readings>);

impl Meter {
    pub(super) fn new() -> Self {
        Self(Arc::new(Readings {
            since: Instant::now(),
            heard_ms: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            round_trip_us: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
        }))
    }

    /// So much was read; nothing is the end, and no sign of life.
    pub(super) fn received(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.0.received.fetch_add(count(bytes), Ordering::Relaxed);
        let elapsed = self.0.since.elapsed().as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.0.heard_ms.store(elapsed, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.0.sent.fetch_add(count(bytes), Ordering::Relaxed);
        self.0.blocked.store(false, Ordering::Relaxed);
    }

    /// The kernel takes no more for the moment.
    pub(super) fn blocked(&self) {
        self.0.blocked.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.0.blocked.load(Ordering::Relaxed)
    }

    /// When something was heard last; the beginning counts.
    pub(super) fn heard(&self) -> Instant {
        self.0.since + Duration::from_millis(self.0.heard_ms.load(Ordering::Relaxed))
    }

    pub(super) fn measured(&self, round_trip: Duration) {
        let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        self.0.round_trip_us.store(micros, Ordering::Relaxed);
    }

    pub(super) fn round_trip(&self) -> Duration {
        Duration::from_micros(self.0.round_trip_us.load(Ordering::Relaxed))
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            sent: self.0.sent.load(Ordering::Relaxed),
            received: self.0.received.load(Ordering::Relaxed),
            ..Traffic::default()
        }
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

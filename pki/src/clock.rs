//! What time it is, as an argument: every verdict about a certificate is given for a moment.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustls_pki_types::UnixTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Tells the time. Handed to everything that judges validity, so that tests can move it.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The current time, in whole seconds: certificates know no finer unit.
    fn now(&self) -> UnixTime;

    /// The same as a time since 1970 began, finer where the clock is: for what is written down, not for
    /// what is judged.
    fn since_1970(&self) -> Duration {
        Duration::from_secs(self.now().as_secs())
    }
}

/// The clock of the machine; the only place in the program that reads it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        UnixTime::now()
    }

    fn since_1970(&self) -> Duration {
        // A clock that stands before 1970 is as wrong as one that stands there.
        SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
    }
}

/// A clock that stands still until it is set, for tests and rehearsals.
#[derive(Debug)]
pub struct ManualClock {
    seconds: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `now` until it is moved.
    pub fn new(now: UnixTime) -> Self {
        Self {
            seconds: AtomicU64::new(now.as_secs()),
        }
    }

    /// Shows `now` from here on.
    pub fn set(&self, now: UnixTime) {
        self.seconds.store(now.as_secs(), Ordering::SeqCst);
    }

    /// Moves the clock forward; parts of a second are dropped.
    pub fn advance(&self, by: Duration) {
        self.seconds.fetch_add(by.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixTime {
        at(self.seconds.load(Ordering::SeqCst))
    }
}

/// The moment that many seconds after 1970-01-01T00:00:00Z.
pub fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// A moment as people and Kubernetes write it, in UTC: `2026-01-31T00:00:00Z` (RFC 3339).
///
/// What RFC 3339 cannot say (after the year 9999) is given as seconds since 1970.
pub fn rfc3339(moment: UnixTime) -> String {
    i64::try_from(moment.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{} s after 1970", moment.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_rfc_3339_in_utc() {
        assert_eq!(rfc3339(at(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(at(253_402_300_799)), "9999-12-31T23:59:59Z");
        assert_eq!(rfc3339(at(u64::MAX)), "18446744073709551615 s after 1970");
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(at(10));
        clock.advance(Duration::from_millis(5_900));
        assert_eq!(clock.now(), at(15));
        clock.set(at(3));
        assert_eq!(clock.now(), at(3));
    }
}

//! A token bucket that is one number: the time at which it would be full again.
//!
//! What is taken moves that time on; nothing has to fill it, so that it costs nothing while nobody
//! takes (the generic cell rate algorithm, ITU-T I.371).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A token bucket. Times are since a moment that its owner chose.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// In nanoseconds: 584 years until it overflows.
    full_at: AtomicU64,
    /// Nanoseconds in which one token comes back. None where the rate is beyond a billion.
    each: u64,
    /// What all tokens together take to come back.
    all: u64,
}

impl Bucket {
    /// A full one of `burst` tokens, of which `rate` come back in a second.
    pub(crate) fn new(rate: u64, burst: u64) -> Self {
        let each = 1_000_000_000 / rate.max(1);
        Self {
            full_at: AtomicU64::new(0),
            each,
            all: each.saturating_mul(burst.max(1)),
        }
    }

    /// Takes a token, or says how long it is until there is one.
    pub(crate) fn take(&self, now: Duration) -> Result<(), Duration> {
        let now = nanoseconds(now);
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let after = full_at.max(now).saturating_add(self.each);
            let missing = after.saturating_sub(now).saturating_sub(self.all);
            if missing > 0 {
                return Err(Duration::from_nanos(missing));
            }
            let taken = self.full_at.compare_exchange_weak(
                full_at,
                after,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match taken {
                Ok(_) => return Ok(()),
                Err(moved) => full_at = moved,
            }
        }
    }

    /// Whether all tokens are there.
    pub(crate) fn is_full(&self, now: Duration) -> bool {
        self.full_at.load(Ordering::Relaxed) <= nanoseconds(now)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1000);

    fn taken(bucket: &Bucket, now: Duration, tries: usize) -> usize {
        (0..tries).filter(|_| bucket.take(now).is_ok()).count()
    }

    #[test]
    fn a_burst_at_once_and_then_the_rate() {
        let bucket = Bucket::new(10, 25);
        assert_eq!(taken(&bucket, START, 100), 25);
        assert_eq!(taken(&bucket, START + Duration::from_millis(99), 100), 0);
        assert_eq!(taken(&bucket, START + Duration::from_millis(100), 100), 1);
        assert_eq!(taken(&bucket, START + Duration::from_secs(1), 100), 9);
        assert_eq!(taken(&bucket, START + Duration::from_secs(3600), 100), 25);
    }

    #[test]
    fn it_says_how_long_to_wait_and_that_is_long_enough() {
        let bucket = Bucket::new(3, 1);
        assert_eq!(taken(&bucket, START, 2), 1);
        let wait = bucket.take(START).unwrap_err();
        assert!(wait <= Duration::from_millis(334), "{wait:?}");
        assert!(bucket.take(START + wait / 2).is_err());
        assert!(bucket.take(START + wait).is_ok());
    }

    #[test]
    fn it_is_full_when_nothing_is_missing() {
        let bucket = Bucket::new(2, 2);
        assert!(bucket.is_full(START));
        assert_eq!(taken(&bucket, START, 2), 2);
        assert!(!bucket.is_full(START + Duration::from_millis(999)));
        assert!(bucket.is_full(START + Duration::from_secs(1)));
    }

    #[test]
    fn a_rate_that_is_off_refuses_nothing() {
        let bucket = Bucket::new(u64::MAX, u64::MAX);
        assert_eq!(taken(&bucket, START, 100_000), 100_000);
        assert!(bucket.is_full(START));
    }

    #[test]
    fn many_takers_at_once_get_no_more_than_there_is() {
        let bucket = Bucket::new(1, 1000);
        let sum: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| taken(&bucket, START, 500)))
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(sum, 1000);
    }
}

//! Telling of keys that are not understood, without filling the log: whoever writes to etcd decides how many there are.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::record::RecordFault;

/// How often one of them is told: often enough for who mends them one by one.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct LeftOut(Mutex<Told>);

#[derive(Debug)]
struct Told {
    last: Option<Instant>,
    /// How many since then were not.
    silent: u64,
}

impl LeftOut {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Told {
            last: None,
            silent: 0,
        }))
    }

    pub(super) fn tell(&self, fault: &RecordFault) {
        if let Some(others) = self.count() {
            tracing::error!(error = %fault, others, "a key of the register is left out");
        }
    }

    /// Counts one; answers how many were counted before it and not told, when it is to be told.
    fn count(&self) -> Option<u64> {
        let mut told = self.0.lock();
        let now = Instant::now();
        if told.last.is_some_and(|last| now < last + PAUSE) {
            told.silent = told.silent.saturating_add(1);
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.silent))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_a_minute_is_told_and_the_others_are_counted() {
        let left_out = LeftOut::new();
        assert_eq!(left_out.count(), Some(0));
        for _ in 0..1000 {
            assert_eq!(left_out.count(), None);
        }
        advance(PAUSE - Duration::from_millis(1)).await;
        assert_eq!(left_out.count(), None);
        advance(Duration::from_millis(1)).await;
        assert_eq!(left_out.count(), Some(1001));
        assert_eq!(left_out.count(), None);
    }
}

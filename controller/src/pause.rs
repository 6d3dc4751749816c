//! How long an object that failed waits for its next turn, and how often it failed.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

/// Where random numbers come from: uniform over all values.
pub(crate) type Random = fn() -> u64;

/// The first and the longest pause before a failed object is tried again: an API server that is away is not asked by
/// two thousand objects a second, and one that is back is noticed within a minute.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// An object of one kind: its namespace, if it has one, and its name.
pub(crate) type Named = (Option<String>, String);

/// How often each object failed in a row. Those that do not fail, or are gone, are not in it.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<HashMap<Named, u32>>);

impl Failures {
    /// Counts one; answers how many in a row there are now.
    pub(crate) fn count(&self, object: Named) -> u32 {
        let mut failures = self.0.lock();
        let times = failures.entry(object).or_default();
        *times = times.saturating_add(1);
        let times = *times;
        drop(failures);
        times
    }

    /// It did not fail, or is gone.
    pub(crate) fn forget(&self, object: &Named) {
        self.0.lock().remove(object);
    }

    /// How many objects fail now.
    pub(crate) fn objects(&self) -> usize {
        self.0.lock().len()
    }
}

/// Twice as long each time, and up to a quarter more, so that what failed together is not tried together.
pub(crate) fn pause(times: u32, random: u64) -> Duration {
    let (first, longest) = PAUSES;
    let factor = 1_u32
        .checked_shl(times.saturating_sub(1))
        .unwrap_or(u32::MAX);
    let pause = first.saturating_mul(factor).min(longest);
    let spread = (pause / 4).as_nanos().saturating_mul(u128::from(random)) >> u64::BITS;
    pause + Duration::from_nanos(u64::try_from(spread).unwrap_or_default())
}

/// Of the system. Without randomness pauses are merely not spread.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_unspecified) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_are_spread_over_a_quarter() {
        let told =
            |random| [1, 2, 3, 7, 8, 40, u32::MAX].map(|times| pause(times, random).as_millis());
        assert_eq!(told(0), [500, 1000, 2000, 32_000, 60_000, 60_000, 60_000]);
        assert_eq!(
            told(u64::MAX),
            [624, 1249, 2499, 39_999, 74_999, 74_999, 74_999]
        );
    }

    #[test]
    fn failures_are_counted_until_they_are_forgotten() {
        let failures = Failures::default();
        let object = (Some("shop".to_owned()), "one".to_owned());
        let times: Vec<_> = (0..3).map(|_| failures.count(object.clone())).collect();
        assert_eq!(times, [1, 2, 3]);
        failures.count((None, "one".to_owned()));
        assert_eq!(failures.objects(), 2);
        failures.forget(&object);
        assert_eq!(failures.objects(), 1);
        assert_eq!(failures.count(object), 1);
    }
}

//! How long to wait before dialling again.

use std::time::Duration;

/// The most that the first attempt waits.
const FIRST: Duration = Duration::from_millis(500);

/// The most that any attempt waits: an agent is back within half a minute of its relay.
const LONGEST: Duration = Duration::from_secs(30);

/// A session that held this long was a good one: what came before it is forgotten.
pub(crate) const GOOD_SESSION: Duration = Duration::from_secs(30);

/// The wait before attempt `attempt`, counted from 0, with full jitter: anything between nothing and
/// a bound that doubles from [`FIRST`] to [`LONGEST`]. Agents that lost one relay at one moment so
/// return one by one. `random` is uniform over all its values.
pub(crate) fn delay(attempt: u32, random: u64) -> Duration {
    let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
    let bound = FIRST.saturating_mul(factor).min(LONGEST);
    let scaled = bound.as_nanos().saturating_mul(u128::from(random)) >> u64::BITS;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX))
}

/// The most that the first probe of UDP waits: what was blocked for a moment is soon found open.
const FIRST_PROBE: Duration = Duration::from_secs(5);

/// The most that any probe waits: where UDP is blocked for good, a handful of packets every five minutes.
const LONGEST_PROBE: Duration = Duration::from_secs(300);

/// The wait before probe `probe` of UDP, counted from 0, while a tunnel over TCP serves: between half of a
/// bound, which doubles, and all of it.
pub(crate) fn probe_delay(probe: u32, random: u64) -> Duration {
    let factor = 1_u32.checked_shl(probe).unwrap_or(u32::MAX);
    let half = FIRST_PROBE.saturating_mul(factor).min(LONGEST_PROBE) / 2;
    let scaled = half.as_nanos().saturating_mul(u128::from(random)) >> u64::BITS;
    half + Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_become_rare_and_stay_apart() {
        let bounds: Vec<_> = (0..8)
            .map(|probe| probe_delay(probe, u64::MAX).as_millis())
            .collect();
        assert_eq!(
            bounds,
            [
                4999, 9999, 19_999, 39_999, 79_999, 159_999, 299_999, 299_999
            ]
        );
        for probe in [0, 6, 32, u32::MAX] {
            let most = probe_delay(probe, u64::MAX);
            let half = probe_delay(probe, 0).as_secs_f64() / most.as_secs_f64();
            assert!((half - 0.5).abs() < 0.001, "{half}");
        }
    }

    #[test]
    fn the_bound_doubles_from_half_a_second_to_thirty() {
        let bounds: Vec<_> = (0..9)
            .map(|attempt| delay(attempt, u64::MAX).as_millis())
            .collect();
        assert_eq!(
            bounds,
            [499, 999, 1999, 3999, 7999, 15_999, 29_999, 29_999, 29_999]
        );
    }

    #[test]
    fn jitter_is_full() {
        for attempt in [0, 3, 31, 32, u32::MAX] {
            assert_eq!(delay(attempt, 0), Duration::ZERO);
            let whole = delay(attempt, u64::MAX);
            let half = delay(attempt, u64::MAX / 2);
            assert!(
                half < whole.mul_f64(0.51) && half > whole.mul_f64(0.49),
                "{half:?}"
            );
            assert!(whole < LONGEST);
        }
    }
}

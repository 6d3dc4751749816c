//! Pauses between attempts at an etcd that is not there.

use std::time::Duration;

/// The first one and the longest one, before they are spread.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// They double, and are spread over half of their length, so that relays that lose an etcd at the same moment do
/// not all read everything at the same moment.
#[derive(Debug)]
pub(super) struct Pauses {
    whole: Duration,
    random: fn() -> u8,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self {
            whole: FIRST,
            random,
        }
    }

    /// How long to wait now: from half of the pause to the whole.
    pub(super) fn next(&mut self) -> Duration {
        let half = self.whole / 2;
        self.whole = (self.whole * 2).min(LONGEST);
        half + half * u32::from((self.random)()) / u32::from(u8::MAX)
    }

    /// Etcd was followed for so long: beyond the longest pause it counts as well again. One that is lost at once
    /// each time is not read at once each time.
    pub(super) fn held_for(&mut self, time: Duration) {
        if time > LONGEST {
            self.whole = FIRST;
        }
    }
}

/// Without randomness pauses are merely not spread.
fn random() -> u8 {
    let mut byte = [0];
    let filled = aws_lc_rs::rand::fill(&mut byte);
    let [byte] = byte;
    filled.map_or(u8::MAX, |()| byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_grow_until_etcd_has_held() {
        let mut pauses = Pauses {
            random: || u8::MAX,
            ..Pauses::new()
        };
        let mut told = || pauses.next().as_millis();
        let grown: Vec<_> = (0..8).map(|_| told()).collect();
        assert_eq!(grown, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        pauses.held_for(LONGEST);
        assert_eq!(pauses.next(), LONGEST, "too short to count");
        pauses.held_for(LONGEST + FIRST);
        assert_eq!(pauses.next(), FIRST);
        let mut least = Pauses {
            random: || 0,
            ..Pauses::new()
        };
        assert_eq!(least.next(), FIRST / 2);
    }
}

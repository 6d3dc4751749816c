//! When to ask for a sign of life, and when to give up hope. Pure: the driver hands it the time.

use std::time::Duration;

use tokio::time::Instant;

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing before this moment.
    Rest(Instant),
    /// Ask.
    Ask,
    /// The peer is dead.
    Silent,
}

/// The pulse of one session.
#[derive(Debug)]
pub(super) struct Pulse {
    interval: Duration,
    idle: Duration,
    asked: Option<Instant>,
    waiting: bool,
}

impl Pulse {
    /// Asks every `interval`, and is silent after `idle` without a byte.
    pub(super) const fn new(interval: Duration, idle: Duration) -> Self {
        Self {
            interval,
            idle,
            asked: None,
            waiting: false,
        }
    }

    /// What to do at `now`, when the last byte came at `heard`.
    pub(super) fn beat(&mut self, now: Instant, heard: Instant) -> Beat {
        let dead = heard + self.idle;
        if now >= dead {
            return Beat::Silent;
        }
        let due = self.asked.map_or(now, |asked| asked + self.interval);
        if !self.waiting && now >= due {
            (self.asked, self.waiting) = (Some(now), true);
            return Beat::Ask;
        }
        Beat::Rest(if self.waiting { dead } else { due.min(dead) })
    }

    /// The answer came: so long it took.
    pub(super) fn answered(&mut self, now: Instant) -> Duration {
        self.waiting = false;
        self.asked.map_or(Duration::ZERO, |asked| now - asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_every_interval_and_dies_of_silence_alone() {
        let (interval, idle) = (Duration::from_secs(3), Duration::from_secs(10));
        let mut pulse = Pulse::new(interval, idle);
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(pulse.beat(begun, begun), Beat::Ask);
        assert_eq!(pulse.beat(begun, begun), Beat::Rest(at(10)));
        assert_eq!(pulse.answered(at(1)), Duration::from_secs(1));
        assert_eq!(pulse.beat(at(1), at(1)), Beat::Rest(at(3)));
        assert_eq!(pulse.beat(at(3), at(1)), Beat::Ask);
        // No answer, but other bytes: alive.
        assert_eq!(pulse.beat(at(10), at(9)), Beat::Rest(at(19)));
        assert_eq!(pulse.beat(at(19), at(9)), Beat::Silent);
    }
}

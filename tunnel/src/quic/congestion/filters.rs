//! What stays of many samples: the best rate and the shortest round trip of late, each over the present span and the one
//! before, so that neither outlives the path that it was measured on.

use std::time::Duration;

use super::rate::Rate;

/// The best rate of this cycle and the last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BestRate {
    current: Rate,
    previous: Rate,
}

impl BestRate {
    pub(super) fn take(&mut self, sample: Rate) {
        self.current = self.current.max(sample);
    }

    /// Begins a new cycle.
    pub(super) fn turn(&mut self) {
        if !self.current.is_unknown() {
            self.previous = std::mem::take(&mut self.current);
        }
    }

    pub(super) fn best(self) -> Rate {
        self.current.max(self.previous)
    }
}

/// The shortest round trip of this span and the last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ShortestTrip {
    current: Option<Duration>,
    previous: Option<Duration>,
}

impl ShortestTrip {
    pub(super) fn take(&mut self, sample: Duration) {
        let shortest = self.current.map_or(sample, |current| current.min(sample));
        self.current = Some(shortest);
    }

    /// Begins a new span.
    pub(super) const fn turn(&mut self) {
        if let Some(current) = self.current.take() {
            self.previous = Some(current);
        }
    }

    pub(super) fn shortest(self) -> Option<Duration> {
        self.current.into_iter().chain(self.previous).min()
    }
}

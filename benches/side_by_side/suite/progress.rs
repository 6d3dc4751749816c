//! How far a run is, and about how long it will go on.

use std::time::Duration;

use super::pace::Pace;
use crate::clock::nanoseconds;
use crate::row::Row;
use crate::stack::Stack;

/// The rows of a run as seconds that they were expected to take.
#[derive(Debug)]
pub(super) struct Progress {
    begun: u64,
    /// Expected of the rows that are done, and of those that are not.
    done: f64,
    left: f64,
}

/// What a row was expected to take.
pub(super) fn expected(row: &Row, stacks: &[&Stack], pace: &Pace) -> f64 {
    let turns = u32::try_from(stacks.len() * pace.rounds(row)).unwrap_or(u32::MAX);
    pace.turn_seconds(row) * f64::from(turns)
}

impl Progress {
    /// Of a run that takes so long if all goes as expected.
    pub(super) fn begin(left: f64) -> Self {
        Self {
            begun: nanoseconds(),
            done: 0.0,
            left,
        }
    }

    /// A row that was expected to take so long is done.
    pub(super) fn pass(&mut self, expected: f64) {
        self.done += expected;
        self.left = (self.left - expected).max(0.0);
    }

    /// The time so far, and what is left by the experience of this run.
    pub(super) fn in_words(&self) -> String {
        let so_far = Duration::from_nanos(nanoseconds() - self.begun).as_secs_f64();
        let slower = if self.done > 0.0 {
            so_far / self.done
        } else {
            1.0
        };
        format!(
            "{} so far, about {} to go",
            minutes(so_far),
            minutes(self.left * slower)
        )
    }
}

fn minutes(seconds: f64) -> String {
    format!("{:.1} min", seconds / 60.0)
}

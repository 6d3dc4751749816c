//! How long and how often.

use std::time::Duration;

use serde_json::{Value, json};

use crate::Wanted;
use crate::row::{Row, Work};

/// Small GETs whose p99 is taken; the row says 200.
pub(super) const BATCH: u32 = 200;

/// What starting a stack, its generators and their handshakes adds to a turn, about.
const OVERHEAD_S: f64 = 0.5;

/// Lengths and numbers of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Turns of each stack at each row.
    rounds: usize,
    /// The same for rows that look at memory, which is steady, with new processes, which take their time.
    memory_rounds: usize,
    pub(super) window_ms: u64,
    pub(super) warm_ms: u64,
    pub(super) watches: u32,
    /// The window before and beside a crowd. The p99 of 200 answers is the second slowest, which any hiccup of
    /// the machine can be. So it is taken of all the batches of 200 that fit, and their median counts.
    pub(super) batches_ms: u64,
    pub(super) giant_bytes: u64,
    /// Agents with an idle tunnel each.
    pub(super) tunnels: u32,
    /// How long they are watched.
    pub(super) tunnels_ms: u64,
    /// Agents whose relay is killed.
    pub(super) returning: u32,
    /// How often each role is started to see how long it takes.
    pub(super) starts: usize,
}

/// What the command line says nothing of, for a whole run.
const FULL: Pace = Pace {
    rounds: 3,
    memory_rounds: 3,
    window_ms: 2_000,
    warm_ms: 400,
    watches: 5_000,
    batches_ms: 2_000,
    giant_bytes: 1 << 30,
    tunnels: 10_000,
    tunnels_ms: 60_000,
    returning: 1_000,
    starts: 9,
};

/// The same for a quick one.
const QUICK: Pace = Pace {
    rounds: 3,
    memory_rounds: 1,
    window_ms: 400,
    warm_ms: 200,
    watches: 500,
    batches_ms: 1_500,
    giant_bytes: 128 << 20,
    tunnels: 1_000,
    tunnels_ms: 10_000,
    returning: 300,
    starts: 3,
};

impl Pace {
    /// As the command line says.
    pub(crate) fn of(wanted: &Wanted) -> Self {
        let usual = if wanted.quick { QUICK } else { FULL };
        let seconds = wanted.seconds.filter(|seconds| *seconds > 0.0);
        let wanted_ms = seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|window| u64::try_from(window.as_millis()).ok());
        Self {
            rounds: wanted.rounds.unwrap_or(usual.rounds),
            memory_rounds: wanted.rounds.unwrap_or(usual.memory_rounds),
            window_ms: wanted_ms.unwrap_or(usual.window_ms),
            watches: wanted.watches.unwrap_or(usual.watches),
            tunnels: wanted.tunnels.unwrap_or(usual.tunnels),
            returning: wanted
                .tunnels
                .map_or(usual.returning, |tunnels| tunnels / 10),
            ..usual
        }
    }

    /// For the table's head.
    pub(crate) fn in_words(&self) -> String {
        format!(
            "{} rounds ({} where memory is looked at), windows of {} ms after {} ms of warming, {} idle watches, giant bodies of {} MiB, \
             batches of {BATCH} for {} ms beside a crowd, {} idle tunnels for {} ms, {} agents in the storm",
            self.rounds,
            self.memory_rounds,
            self.window_ms,
            self.warm_ms,
            self.watches,
            self.giant_bytes >> 20,
            self.batches_ms,
            self.tunnels,
            self.tunnels_ms,
            self.returning,
        )
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "rounds": self.rounds,
            "memory_rounds": self.memory_rounds,
            "window_ms": self.window_ms,
            "warm_ms": self.warm_ms,
            "idle_watches": self.watches,
            "batches_ms": self.batches_ms,
            "batch": BATCH,
            "giant_bytes": self.giant_bytes,
            "tunnels": self.tunnels,
            "tunnels_ms": self.tunnels_ms,
            "returning": self.returning,
            "starts": self.starts,
        })
    }

    /// How often each stack has its turn at a row.
    pub(super) const fn rounds(&self, row: &Row) -> usize {
        if matches!(row.work, Work::Tunnels) {
            // The mean of a minute needs no median.
            1
        } else if row.wants_new_processes() {
            self.memory_rounds
        } else {
            self.rounds
        }
    }

    /// About how many seconds one turn at a row takes; what is left of a run is told by it.
    pub(super) fn turn_seconds(&self, row: &Row) -> f64 {
        #[expect(
            clippy::as_conversions,
            clippy::cast_precision_loss,
            reason = "milliseconds and bytes of one turn"
        )]
        let (warm, window, batches, giant_bytes, tunnels_window) = (
            self.warm_ms as f64 / 1e3,
            self.window_ms as f64 / 1e3,
            self.batches_ms as f64 / 1e3,
            self.giant_bytes as f64,
            self.tunnels_ms as f64 / 1e3,
        );
        let window = warm + window + OVERHEAD_S;
        match row.work {
            Work::Rate(_) => window,
            Work::BesideStalled { .. } => 2.0 * window + 2.0,
            Work::Idle { .. } => 3.5 + f64::from(self.watches) / 1_000.0,
            Work::BesideCrowd { .. } => 6.0 + 2.5 * (warm + batches),
            Work::Giant => 2.0 + 2.0 * giant_bytes / 250e6,
            Work::Tunnels => 5.0 + tunnels_window + f64::from(self.tunnels) / 700.0,
            Work::Storm => 10.0 + f64::from(self.returning) / 500.0,
        }
    }
}

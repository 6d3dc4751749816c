//! A path as two figures, both measured: the rate at which it delivers, and its shortest round trip. Their
//! product is what fits on the way; more only waits in a queue.
//!
//! So the window is that product and the little more that shows whether the path would take more ([`Model::allowance`]). Once a cycle it
//! goes below the product for a round trip, so that the queue drains and the shortest round trip is seen again. Loss
//! by chance does not make it smaller; more loss than that does, and so does a path that says it is congested. At first
//! the window doubles until the rate grows no more.
//!
//! Pure: it is handed the time, counted from wherever its owner likes.

use std::time::Duration;

use super::ceiling::{Ceiling, Window};
use super::filters::{BestRate, ShortestTrip};
use super::rate::{Rate, percent};
use super::round::{Came, Round};
use crate::quic::limits;

/// Datagrams that a path is sent at first (RFC 9002 §7.2).
const INITIAL_DATAGRAMS: u64 = 10;

/// Datagrams that may always be under way: with fewer a lost one is noticed by a timeout alone.
const LEAST_DATAGRAMS: u64 = 4;

/// More than is ever under way: what the streams' writers may have unacknowledged.
pub(super) const MOST: u64 = limits::SEND_WINDOW;

/// The queue that is risked at 100 Mbit/s to see whether the path takes more: an eighth of its round trip, so that the
/// rate can grow by as much in each, and at least what CoDel holds a queue to (RFC 8289 §4.4). Without the latter a host's
/// own delays would limit it on short paths.
const ALLOWANCE_PART: u32 = 8;
const LEAST_ALLOWANCE: Duration = Duration::from_millis(5);

/// At other rates the time goes with the root of the slowness, between half as long and four times: who
/// has less of a path than others risks more, and so all come to have the same.
const ALLOWANCE_RATE: Rate = Rate::of_bits(100_000_000);
const ALLOWANCE_FACTORS: (u64, u64) = (50, 400);

/// How much of the product is under way, in hundredths, while the queue drains: the allowance and a tenth less, so that a queue
/// which is ours is gone in one round trip, for about a hundredth of the rate. And so much every [`SPAN`], or when there is a
/// doubt whose the queue is, so that it shows: half, since two who each took the other's queue for the way see it empty then.
const DRAINING: u64 = 90;
const DRAINING_DEEP: u64 = 50;

/// Rounds that bring what was sent in a drain: the one in which it ends, and the next.
const DRAINED_ROUNDS: u32 = 2;

/// A round trip that a deep drain leaves longer than such a part of what it was before is not made long by us: half of what is ours
/// was taken away, so a queue of ours alone would have come near half; this is the middle between that and no change.
const NOT_OURS: u64 = 75;

/// Rounds of a cycle, and its least time: draining costs a round trip of a short path as much as a host's timers do.
const CYCLE_ROUNDS: u32 = 8;
const CYCLE_TIME: Duration = Duration::from_millis(250);

/// How long a shortest round trip counts, once or twice: routes change seldom, and BBR has ten seconds for it.
const SPAN: Duration = Duration::from_secs(5);

/// The start is over when so many rounds have brought no quarter more, or one that has met a queue.
const GROWTH: u64 = 125;
const STILL_ROUNDS: u32 = 3;

/// The window at the start, in hundredths of the product: the rate can double each round.
const STARTING: u64 = 200;

/// Rounds in a row that bring less than half: the path is another one now. One can be held up by a host, and the next be short of
/// what that one did not let out.
const POOR_ROUNDS: u32 = 3;

/// Where the path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The rate is not found yet.
    Start {
        /// The rate that the next one must exceed by a quarter, and how many rounds did not.
        before: Rate,
        still: u32,
    },
    /// As much as fits is under way, and the allowance.
    Cruise,
    /// Less than fits is, until a packet is acknowledged that was sent then.
    Drain {
        deep: bool,
        /// Since when no more than that is under way, and the round trip until then.
        low: Option<(Duration, Duration)>,
    },
}

/// What is known of a path.
#[derive(Clone, Debug)]
pub(super) struct Model {
    phase: Phase,
    round: Round,
    rate: BestRate,
    trip: ShortestTrip,
    /// How long the present shortest round trip has been looked for, in rounds that were not idle.
    span: Duration,
    /// Rounds and time of the present cycle.
    rounds: u32,
    cycle: Duration,
    poor_rounds: u32,
    /// What the last round came to, and whether draining has left a queue.
    last: (Rate, Duration),
    doubt: bool,
    /// What loss has left of the window.
    ceiling: Ceiling,
    /// So many rounds to come bring what was sent while the queue drained.
    drained_rounds: u32,
    /// What the start has reached.
    start_window: u64,
    datagram: u64,
}

impl Model {
    /// A path of which nothing is known but the size of its datagrams.
    pub(super) fn of_new_path(datagram: u64) -> Self {
        Self {
            phase: Phase::START,
            round: Round::default(),
            rate: BestRate::default(),
            trip: ShortestTrip::default(),
            span: Duration::ZERO,
            rounds: 0,
            cycle: Duration::ZERO,
            poor_rounds: 0,
            last: (Rate::UNKNOWN, Duration::ZERO),
            doubt: false,
            ceiling: Ceiling::NONE,
            drained_rounds: 0,
            start_window: datagram.saturating_mul(INITIAL_DATAGRAMS),
            datagram,
        }
    }

    /// Bytes that may be under way.
    pub(super) fn window(&self) -> u64 {
        self.bounded(match self.phase {
            Phase::Start { .. } => self.start_window,
            Phase::Cruise => self.cruising(),
            Phase::Drain { deep: false, .. } => percent(self.product(), DRAINING),
            Phase::Drain { deep: true, .. } => percent(self.product(), DRAINING_DEEP),
        })
    }

    /// What [`Self::window`] would be if nothing were to drain.
    fn undrained(&self) -> u64 {
        self.bounded(match self.phase {
            Phase::Start { .. } => self.start_window,
            Phase::Cruise | Phase::Drain { .. } => self.cruising(),
        })
    }

    fn bounded(&self, wanted: u64) -> u64 {
        wanted.min(self.ceiling.bytes()).min(MOST).max(self.least())
    }

    /// What may always be under way.
    const fn least(&self) -> u64 {
        self.datagram.saturating_mul(LEAST_DATAGRAMS)
    }

    /// What a new path is sent at first.
    pub(super) const fn initial_window(&self) -> u64 {
        self.datagram.saturating_mul(INITIAL_DATAGRAMS)
    }

    /// The best rate of late.
    pub(super) fn rate(&self) -> Rate {
        self.rate.best()
    }

    /// The path carries datagrams of another size.
    pub(super) fn set_datagram(&mut self, bytes: u64) {
        self.datagram = bytes;
        if matches!(self.phase, Phase::Start { .. }) {
            self.start_window = self.start_window.max(self.initial_window());
        }
    }

    /// A packet is acknowledged.
    pub(super) fn acknowledge(&mut self, now: Duration, sent: Duration, bytes: u64) {
        self.round.acknowledge(now, sent, bytes);
        self.trip.take(now.saturating_sub(sent));
        if let Phase::Start { .. } = self.phase {
            self.start_window = self.grown(bytes);
        }
    }

    /// Bytes are lost.
    pub(super) const fn lose(&mut self, bytes: u64) {
        self.round.lose(bytes);
    }

    /// The path says that it is congested.
    pub(super) const fn mark(&mut self) {
        self.round.mark();
    }

    /// Nothing comes back any more: what was known of the path is worth nothing.
    pub(super) fn start_over(&mut self) {
        *self = Self {
            // It is no shorter for that.
            trip: self.trip,
            start_window: self.least(),
            ..Self::of_new_path(self.datagram)
        };
    }

    /// A batch of acknowledgements is complete.
    pub(super) fn settle(&mut self, now: Duration, in_flight: u64, app_limited: bool) {
        if let Phase::Drain { .. } = self.phase {
            self.drained_rounds = DRAINED_ROUNDS;
            self.go_on_draining(now, in_flight);
        }
        if let Some(came) = self.round.end(now, app_limited) {
            let drained = self.drained_rounds > 0;
            self.drained_rounds = self.drained_rounds.saturating_sub(1);
            self.learn(&came, drained);
        }
    }

    fn learn(&mut self, came: &Came, drained: bool) {
        self.weigh_loss(came, drained);
        let (best, rate) = (self.rate.best(), came.rate.unwrap_or_default());
        if came.app_limited && rate < best {
            return;
        }
        self.rate.take(rate);
        if came.app_limited {
            return;
        }
        self.span = self.span.saturating_add(came.took);
        self.last = (rate, came.trip.unwrap_or_default());
        match self.phase {
            Phase::Start { before, still } => self.go_on_starting((before, still)),
            Phase::Cruise => self.go_on_cruising(came.took, best),
            Phase::Drain { .. } => {}
        }
    }

    fn go_on_starting(&mut self, (before, still): (Rate, u32)) {
        let best = self.rate.best();
        let (before, still) = if best >= before.percent(GROWTH) {
            (best, 0)
        } else {
            (before, still.saturating_add(1))
        };
        if still >= STILL_ROUNDS || self.is_long(self.last.1) {
            self.drain();
        } else {
            self.phase = Phase::Start { before, still };
        }
    }

    fn go_on_cruising(&mut self, took: Duration, best: Rate) {
        self.rounds = self.rounds.saturating_add(1);
        self.cycle = self.cycle.saturating_add(took);
        let poor = self.last.0 < best.percent(50);
        self.poor_rounds = if poor {
            self.poor_rounds.saturating_add(1)
        } else {
            0
        };
        if self.poor_rounds >= POOR_ROUNDS {
            self.doubt = true;
            self.drain();
        } else if self.rounds >= CYCLE_ROUNDS && self.cycle >= CYCLE_TIME {
            self.rate.turn();
            self.drain();
        }
    }

    /// Begins a cycle, which begins with draining.
    fn drain(&mut self) {
        let old = self.span >= SPAN;
        if old {
            self.span = Duration::ZERO;
            self.trip.turn();
        }
        (self.rounds, self.cycle, self.poor_rounds) = (0, Duration::ZERO, 0);
        self.phase = Phase::Drain {
            deep: old || self.doubt,
            low: None,
        };
    }

    fn go_on_draining(&mut self, now: Duration, in_flight: u64) {
        let Phase::Drain { deep, low } = self.phase else {
            return;
        };
        let newest = self.round.newest();
        let trip = now.saturating_sub(newest);
        match low {
            None if in_flight <= self.window() => {
                let low = Some((now, trip));
                self.phase = Phase::Drain { deep, low };
            }
            Some((since, before)) if newest >= since => {
                self.phase = Phase::Cruise;
                self.judge(deep, before, trip);
            }
            _ => {}
        }
    }

    /// Draws the conclusion from what draining has left of the round trip.
    fn judge(&mut self, deep: bool, before: Duration, left: Duration) {
        if !self.is_long(left) {
            self.doubt = false;
        } else if !deep || !self.doubt {
            self.doubt = true;
        } else if left.as_nanos() * 100 >= before.as_nanos() * u128::from(NOT_OURS) {
            // The way is longer now, or others fill the queue: then we have as much under way as they.
            self.doubt = false;
            self.trip = ShortestTrip::default();
            self.trip.take(left);
        } else {
            // The queue is ours: the rate was another path's.
            self.rate = BestRate::default();
            self.rate.take(self.last.0);
        }
    }

    /// What a round's loss leaves of the window.
    fn weigh_loss(&mut self, came: &Came, drained: bool) {
        let window = Window {
            undrained: self.undrained(),
            cruising: self.cruising(),
            least: self.least(),
            datagram: self.datagram,
            drained,
        };
        let is_full = self.ceiling.weigh(came, &window);
        if let (true, Phase::Start { .. }) = (is_full, self.phase) {
            // The rate is found: the path takes no more.
            self.phase = Phase::Cruise;
        }
    }

    /// The start's window when so much more is acknowledged.
    fn grown(&self, bytes: u64) -> u64 {
        let grown = self.start_window.saturating_add(bytes);
        let best = self.rate.best();
        if best.is_unknown() {
            return grown;
        }
        let queued = best.bytes_in(self.allowance());
        let target = percent(self.product(), STARTING).saturating_add(queued);
        grown.min(target).max(self.start_window)
    }

    /// Whether a round trip is so long that there must be a queue which nobody meant to be there.
    fn is_long(&self, trip: Duration) -> bool {
        let shortest = self.shortest();
        let allowance = self.allowance();
        trip > shortest
            .saturating_add(shortest / 4)
            .saturating_add(allowance)
    }

    fn shortest(&self) -> Duration {
        self.trip.shortest().unwrap_or_default()
    }

    /// What fits on the way.
    fn product(&self) -> u64 {
        self.rate.best().bytes_in(self.shortest())
    }

    fn cruising(&self) -> u64 {
        let time = self.shortest().saturating_add(self.allowance());
        self.rate.best().bytes_in(time)
    }

    /// The queue that is risked.
    fn allowance(&self) -> Duration {
        let time = LEAST_ALLOWANCE.max(self.shortest() / ALLOWANCE_PART);
        let slowness = self.rate.best().root_below(ALLOWANCE_RATE);
        let (least, most) = ALLOWANCE_FACTORS;
        let factor = u32::try_from(slowness.clamp(least, most)).unwrap_or(u32::MAX);
        time.saturating_mul(factor) / 100
    }
}

impl Phase {
    const START: Self = Self::Start {
        before: Rate::UNKNOWN,
        still: 0,
    };
}

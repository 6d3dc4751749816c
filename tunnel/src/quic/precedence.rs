//! Who goes first when not all fits: streams that have sent little of late, before those that send much.
//!
//! quinn makes each datagram of the streams of the highest priority that have something to send, in turns among equals,
//! and does so when the datagram may leave. So what a large body has put into its stream's buffer delays nobody, as long as it
//! stands behind. Nobody says of a stream what it carries: how much it has sent says it.
//!
//! Those ahead have at most half of what the session sends (beyond [`ALWAYS`]); with more of them, all stand in one line and
//! take turns. So the large ones are slowed down, and never stopped.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// What a stream may send in this second and the last and still go ahead: the answer to a small LIST, and what a
/// megabit brings meanwhile.
const LITTLE: u64 = 128 << 10;

/// What may go ahead in a second however little the session sends.
const ALWAYS: u64 = 1 << 20;

/// quinn's priorities; higher goes first, and a stream begins with 0.
const AHEAD: i32 = 0;
const BEHIND: i32 = -1;

/// Bytes of this second and of the last.
#[derive(Clone, Copy, Debug, Default)]
struct Lately {
    second: u64,
    now: u64,
    before: u64,
}

impl Lately {
    /// Forgets what is older, as it is the given second.
    const fn roll(&mut self, second: u64) {
        if second > self.second {
            let next = second.saturating_sub(self.second) == 1;
            self.before = if next { self.now } else { 0 };
            self.now = 0;
            self.second = second;
        }
    }

    const fn bytes(&self) -> u64 {
        self.now.saturating_add(self.before)
    }

    const fn add(&mut self, bytes: u64) {
        self.now = self.now.saturating_add(bytes);
    }
}

/// What the streams of a session have sent of late, and how much of it ahead of others.
#[derive(Debug)]
pub(super) struct Ledger {
    epoch: Instant,
    sums: Mutex<Sums>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    all: Lately,
    ahead: Lately,
}

impl Ledger {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            epoch: Instant::now(),
            sums: Mutex::default(),
        })
    }
}

/// One stream's place.
#[derive(Debug)]
pub(super) struct Place {
    ledger: Arc<Ledger>,
    own: Lately,
    priority: i32,
}

impl Place {
    /// That of a stream which has sent nothing.
    pub(super) fn of(ledger: &Arc<Ledger>) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            own: Lately::default(),
            priority: AHEAD,
        }
    }

    /// The priority that the stream is to have from now on, if it is another one than before.
    pub(super) fn changed(&mut self) -> Option<i32> {
        self.changed_in(self.second())
    }

    /// So many bytes were written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.wrote_in(self.second(), bytes);
    }

    fn second(&self) -> u64 {
        self.ledger.epoch.elapsed().as_secs()
    }

    fn changed_in(&mut self, second: u64) -> Option<i32> {
        self.own.roll(second);
        let ahead = self.own.bytes() < LITTLE && self.ledger.has_room_ahead(second);
        let priority = if ahead { AHEAD } else { BEHIND };
        (priority != self.priority).then(|| {
            self.priority = priority;
            priority
        })
    }

    fn wrote_in(&mut self, second: u64, bytes: u64) {
        self.own.roll(second);
        self.own.add(bytes);
        let ahead = self.priority == AHEAD;
        self.ledger
            .add(second, bytes, if ahead { bytes } else { 0 });
    }
}

impl Ledger {
    fn has_room_ahead(&self, second: u64) -> bool {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.all.roll(second);
        sums.ahead.roll(second);
        sums.ahead.bytes() < (sums.all.bytes() / 2).max(ALWAYS)
    }

    fn add(&self, second: u64, all: u64, ahead: u64) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.all.roll(second);
        sums.ahead.roll(second);
        sums.all.add(all);
        sums.ahead.add(ahead);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(place: &mut Place, second: u64, bytes: u64) -> i32 {
        let _changed = place.changed_in(second);
        place.wrote_in(second, bytes);
        place.priority
    }

    #[test]
    fn who_sends_much_falls_behind_and_rises_after_a_pause() {
        let mut place = Place::of(&Ledger::new());
        assert_eq!(write(&mut place, 7, LITTLE - 1), AHEAD);
        assert_eq!(write(&mut place, 7, 1), AHEAD);
        assert_eq!(place.changed_in(7), Some(BEHIND));
        assert_eq!(place.changed_in(7), None, "it is said once");
        assert_eq!(write(&mut place, 8, 1), BEHIND, "the last second counts");
        assert_eq!(place.changed_in(9), Some(AHEAD));
    }

    #[test]
    fn who_sends_little_each_second_stays_ahead() {
        let mut place = Place::of(&Ledger::new());
        for second in 0..100 {
            assert_eq!(write(&mut place, second, LITTLE / 2 - 1), AHEAD, "{second}");
        }
    }

    #[test]
    fn half_is_left_to_those_behind_however_many_are_ahead() {
        let ledger = Ledger::new();
        let mut bulk = Place::of(&ledger);
        write(&mut bulk, 1, 8 * ALWAYS);
        let (mut ahead, mut behind) = (0, 8 * ALWAYS);
        for _ in 0..4_000 {
            // Each of them is new, and has sent nothing.
            let mut small = Place::of(&ledger);
            if write(&mut small, 1, 8 << 10) == AHEAD {
                ahead += 8 << 10;
            } else {
                behind += 8 << 10;
            }
        }
        assert!(ahead <= behind + (8 << 10), "{ahead} before {behind}");
        assert!(ahead >= 8 * ALWAYS, "{ahead}");
    }

    #[test]
    fn an_idle_session_lets_everyone_go_ahead_a_while() {
        let ledger = Ledger::new();
        for _ in 0..ALWAYS >> 10 {
            assert_eq!(write(&mut Place::of(&ledger), 1, 1 << 10), AHEAD);
        }
        assert_eq!(
            write(&mut Place::of(&ledger), 1, 1),
            BEHIND,
            "and then in turns"
        );
    }
}

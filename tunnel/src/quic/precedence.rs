//! Who goes first when not all fits: streams that have sent little of late, before those that send much.
//!
//! quinn makes each datagram of the streams of the highest priority that have something to send, in turns among equals,
//! and does so when the datagram may leave. So what a large body has put into its stream's buffer delays nobody, as long as it
//! stands behind. Nobody says of a stream what it carries: how much it has sent says it.
//!
//! Those ahead have at most half of what the session sends (beyond [`ALWAYS`]); with more of them, all stand in one line and
//! take turns. So the large ones are slowed down, and not stopped. Bytes count when they are written, not when they leave: a large body
//! begins with a window of them at once, and on a slow path it may wait behind as many of the others' for these two seconds.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What a stream may send in this second and the last and still go ahead: the answer to a small LIST, and what a
/// megabit brings meanwhile.
const LITTLE: u64 = 128 << 10;

/// What may go ahead in this second and the last however little the session sends: half of what half a megabit brings in one,
/// so that from there on the half holds. It is some answers to who asks for one object, beside bodies that write nothing now.
const ALWAYS: u64 = 32 << 10;

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
pub(super) struct Recently {
    epoch: Instant,
    sums: Mutex<Sums>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    all: Lately,
    ahead: Lately,
}

impl Recently {
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
    recently: Arc<Recently>,
    own: Lately,
    priority: i32,
}

impl Place {
    /// That of a stream which has sent nothing.
    pub(super) fn of(recently: &Arc<Recently>) -> Self {
        Self {
            recently: Arc::clone(recently),
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
        self.recently.epoch.elapsed().as_secs()
    }

    fn changed_in(&mut self, second: u64) -> Option<i32> {
        self.own.roll(second);
        let ahead = self.own.bytes() < LITTLE && self.recently.has_room_ahead(second);
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
        self.recently
            .add(second, bytes, if ahead { bytes } else { 0 });
    }
}

impl Recently {
    fn has_room_ahead(&self, second: u64) -> bool {
        let mut sums = self.sums.lock();
        sums.all.roll(second);
        sums.ahead.roll(second);
        sums.ahead.bytes() < (sums.all.bytes() / 2).max(ALWAYS)
    }

    fn add(&self, second: u64, all: u64, ahead: u64) {
        let mut sums = self.sums.lock();
        sums.all.roll(second);
        sums.ahead.roll(second);
        sums.all.add(all);
        sums.ahead.add(ahead);
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use super::*;

    fn write(place: &mut Place, second: u64, bytes: u64) -> i32 {
        let _changed = place.changed_in(second);
        place.wrote_in(second, bytes);
        place.priority
    }

    #[test]
    fn who_sends_much_falls_behind_and_rises_after_a_pause() {
        let recently = Recently::new();
        recently.add(7, 4 * LITTLE, 0);
        let mut place = Place::of(&recently);
        assert_eq!(write(&mut place, 7, LITTLE - 1), AHEAD);
        assert_eq!(write(&mut place, 7, 1), AHEAD);
        assert_eq!(place.changed_in(7), Some(BEHIND));
        assert_eq!(place.changed_in(7), None, "it is said once");
        assert_eq!(write(&mut place, 8, 1), BEHIND, "the last second counts");
        assert_eq!(place.changed_in(9), Some(AHEAD));
    }

    #[test]
    fn who_sends_little_each_second_stays_ahead() {
        let recently = Recently::new();
        let mut place = Place::of(&recently);
        for second in 0..100 {
            recently.add(second, LITTLE, 0);
            assert_eq!(write(&mut place, second, LITTLE / 2 - 1), AHEAD, "{second}");
        }
    }

    #[test]
    fn half_is_left_to_those_behind_however_many_are_ahead() {
        let recently = Recently::new();
        let mut bulk = Place::of(&recently);
        write(&mut bulk, 1, 8 * ALWAYS);
        let (mut ahead, mut behind) = (0, 8 * ALWAYS);
        for _ in 0..4_000 {
            // Each of them is new, and has sent nothing.
            let mut small = Place::of(&recently);
            if write(&mut small, 1, 8 << 10) == AHEAD {
                ahead += 8 << 10;
            } else {
                behind += 8 << 10;
            }
        }
        assert!(ahead <= behind + (8 << 10), "{ahead} before {behind}");
        assert!(ahead >= 8 * ALWAYS, "{ahead}");
    }

    /// The hundredths of a link that one large body gets beside nine callers who ask for little again and again, from the fifth
    /// second on. The link carries a KiB of whoever goes first, in turns among equals.
    fn left_to_bulk(bytes_a_second: u64) -> u64 {
        const PIECE: u64 = 1 << 10;
        struct Sender {
            place: Place,
            unsent: u64,
            unwritten: u64,
            last_turn: u64,
        }
        let recently = Recently::new();
        let mut senders: Vec<_> = (0..10)
            .map(|number| Sender {
                place: Place::of(&recently),
                unsent: 0,
                unwritten: if number == 0 { u64::MAX } else { 0 },
                last_turn: 0,
            })
            .collect();
        let (turns, mut carried) = (bytes_a_second / PIECE, 0);
        for turn in 0..24 * turns {
            let second = turn / turns;
            for (number, sender) in senders.iter_mut().enumerate() {
                if sender.unsent == 0 && sender.unwritten == 0 {
                    sender.place = Place::of(&recently);
                    sender.unwritten = LITTLE - 1;
                }
                let room = if number == 0 { 1 << 20 } else { 16 << 10 } - sender.unsent;
                if sender.unsent == 0 || room >= 128 << 10 {
                    let bytes = room.min(sender.unwritten);
                    write(&mut sender.place, second, bytes);
                    sender.unsent += bytes;
                    sender.unwritten -= bytes;
                }
            }
            let ready = senders.iter_mut().enumerate();
            let (number, next) = ready
                .filter(|(_, sender)| sender.unsent > 0)
                .max_by_key(|(_, sender)| (sender.place.priority, Reverse(sender.last_turn)))
                .unwrap();
            next.unsent = next.unsent.saturating_sub(PIECE);
            next.last_turn = turn;
            if number == 0 && second >= 4 {
                carried += PIECE;
            }
        }
        carried * 100 / (20 * bytes_a_second)
    }

    #[test]
    fn bulk_goes_on_however_slow_the_link_is() {
        for bytes_a_second in [64 << 10, 256 << 10, 1 << 20, 12 << 20] {
            let left = left_to_bulk(bytes_a_second);
            // A tenth would be its share if all stood in one line.
            assert!(left >= 5, "{bytes_a_second}: {left} %");
        }
    }

    #[test]
    fn an_idle_session_lets_everyone_go_ahead_a_while() {
        let recently = Recently::new();
        for _ in 0..ALWAYS >> 10 {
            assert_eq!(write(&mut Place::of(&recently), 1, 1 << 10), AHEAD);
        }
        assert_eq!(
            write(&mut Place::of(&recently), 1, 1),
            BEHIND,
            "and then in turns"
        );
    }
}

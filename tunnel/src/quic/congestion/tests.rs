use std::time::Duration;

use self::strait::{DATAGRAM, Path, Strait};
use super::model::Model;
use crate::quic::limits;

mod strait;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// One sender for so long, then counted for three seconds.
fn settled(path: Path, after: Duration) -> Strait {
    let mut strait = Strait::new(path, 1);
    strait.run(after);
    strait.run(3 * SECOND);
    strait
}

fn lossy(lost_per_mille: u64) -> Path {
    Path {
        lost_per_mille,
        ..Path::default()
    }
}

#[test]
fn the_rate_is_found_and_the_queue_stays_short() {
    for path in [
        Path::default(),
        Path {
            queue: 50_000_000,
            ..Path::default()
        },
        Path {
            rate: 125_000_000,
            round_trip: MILLISECOND,
            ..Path::default()
        },
        Path {
            rate: 2_500_000,
            round_trip: 200 * MILLISECOND,
            ..Path::default()
        },
    ] {
        let strait = settled(path, 4 * SECOND);
        assert!(strait.used() > 0.93, "{path:?}: {}", strait.used());
        let allowed = (path.round_trip / 2).max(15 * MILLISECOND);
        assert!(
            strait.queue_at(99) < allowed,
            "{path:?}: {:?}",
            strait.queue_at(99)
        );
    }
}

#[test]
fn a_slow_path_keeps_its_rate_with_few_datagrams() {
    let path = Path {
        rate: 125_000,
        queue: 50_000,
        ..Path::default()
    };
    let strait = settled(path, 3 * SECOND);
    assert!(strait.used() > 0.93, "{}", strait.used());
    // Five datagrams of 12 ms each.
    assert!(
        strait.queue_at(99) < 60 * MILLISECOND,
        "{:?}",
        strait.queue_at(99)
    );
}

#[test]
fn loss_by_chance_leaves_the_rate_as_it_is() {
    for per_mille in [1, 10, 15] {
        let strait = settled(lossy(per_mille), 2 * SECOND);
        assert!(strait.used() > 0.92, "{per_mille}: {}", strait.used());
    }
}

#[test]
fn loss_beyond_chance_is_answered() {
    let strait = settled(lossy(60), 3 * SECOND);
    assert!(strait.used() < 0.5, "{}", strait.used());
    assert!(strait.used() > 0.02, "{}", strait.used());
}

#[test]
fn a_shallow_queue_is_not_flooded() {
    let path = Path {
        queue: 25_000,
        ..Path::default()
    };
    let strait = settled(path, 3 * SECOND);
    let sender = &strait.senders[0];
    let (lost, delivered) = (sender.lost, sender.delivered);
    assert!(lost * 25 < delivered, "{lost} of {delivered}");
    assert!(strait.used() > 0.65, "{}", strait.used());
}

#[test]
fn two_come_to_have_about_the_same() {
    for per_mille in [0, 10] {
        let mut strait = Strait::new(lossy(per_mille), 2);
        let late = strait.senders.split_off(1);
        strait.run(3 * SECOND);
        strait.senders.extend(late);
        strait.run(15 * SECOND);
        strait.run(10 * SECOND);
        let [first, second] = [0, 1].map(|number: usize| strait.senders[number].delivered);
        let fair = 2 * first.max(second) < 5 * first.min(second);
        assert!(fair, "{per_mille}: {first} and {second}");
        assert!(strait.used() > 0.93, "{}", strait.used());
        assert!(
            strait.queue_at(99) < 25 * MILLISECOND,
            "{:?}",
            strait.queue_at(99)
        );
    }
}

#[test]
fn a_path_that_becomes_slower_does_not_stay_full() {
    let mut strait = settled(Path::default(), SECOND);
    strait.path.rate /= 10;
    strait.run(4 * SECOND);
    strait.run(3 * SECOND);
    assert!(
        strait.queue_at(50) < 30 * MILLISECOND,
        "{:?}",
        strait.queue_at(50)
    );
    assert!(strait.used() > 0.85, "{}", strait.used());
    strait.path.rate *= 10;
    strait.run(3 * SECOND);
    strait.run(SECOND);
    assert!(strait.used() > 0.9, "{}", strait.used());
}

#[test]
fn a_way_that_becomes_longer_keeps_its_rate() {
    let mut strait = settled(Path::default(), SECOND);
    strait.path.round_trip = 100 * MILLISECOND;
    strait.run(4 * SECOND);
    strait.run(2 * SECOND);
    assert!(strait.used() > 0.85, "{}", strait.used());
}

#[test]
fn what_is_idle_forgets_nothing() {
    let mut strait = settled(Path::default(), SECOND);
    strait.senders[0].supply = Some(100_000);
    strait.run(12 * SECOND);
    strait.senders[0].supply = None;
    strait.run(SECOND);
    assert!(strait.used() > 0.85, "{}", strait.used());
    assert!(
        strait.queue_at(99) < 20 * MILLISECOND,
        "{:?}",
        strait.queue_at(99)
    );
}

#[test]
fn a_path_that_was_cut_begins_anew() {
    let mut strait = settled(Path::default(), SECOND);
    strait.path.lost_per_mille = 1000;
    strait.run(2 * SECOND);
    assert_eq!(strait.senders[0].model.window(), 4 * DATAGRAM);
    strait.path.lost_per_mille = 0;
    strait.run(2 * SECOND);
    strait.run(SECOND);
    assert!(strait.used() > 0.93, "{}", strait.used());
}

#[test]
fn the_window_is_bounded_both_ways() {
    let mut model = Model::of_new_path(DATAGRAM);
    assert_eq!(model.window(), 10 * DATAGRAM);
    model.start_over();
    assert_eq!(model.window(), 4 * DATAGRAM);
    // A path without an end, at a gigabyte each millisecond.
    let mut now = Duration::ZERO;
    for _ in 0..64 {
        let sent = now;
        now += MILLISECOND;
        model.acknowledge(now, sent, 1 << 30);
        model.settle(now, 0, false);
    }
    assert_eq!(model.window(), limits::SEND_WINDOW);
    model.start_over();
    model.set_datagram(1200);
    assert_eq!(model.initial_window(), 12_000);
}

#[test]
fn a_path_that_says_it_is_congested_is_sent_less() {
    let mut strait = settled(Path::default(), 2 * SECOND);
    let before = strait.senders[0].model.window();
    strait.senders[0].model.mark();
    strait.run(100 * MILLISECOND);
    let after = strait.senders[0].model.window();
    assert!(after * 100 < before * 95, "{before} {after}");
}

/// A model that is handed one round after the other, each of 40 ms.
struct ByRounds {
    model: Model,
    now: Duration,
}

impl ByRounds {
    /// Settled at 100 Mbit/s, and cruising.
    fn settled() -> Self {
        let mut rounds = Self {
            model: Model::of_new_path(DATAGRAM),
            now: SECOND,
        };
        // What fits, and the 5 ms that are risked.
        let cruises = (0..100).any(|_| {
            rounds.full(500_000);
            rounds.model.window() == 562_500
        });
        assert!(cruises);
        // What was sent while the queue drained has come after these.
        rounds.full(500_000);
        rounds.full(500_000);
        assert_eq!(rounds.model.window(), 562_500);
        rounds
    }

    fn full(&mut self, delivered: u64) {
        self.round(delivered, 0, false);
    }

    /// What was delivered and lost, and whether there was nothing more to send.
    fn round(&mut self, delivered: u64, lost: u64, app_limited: bool) {
        let sent = self.now;
        self.now += 40 * MILLISECOND;
        self.model.acknowledge(self.now, sent, delivered);
        self.model.lose(lost);
        let in_flight = self.model.window();
        self.model.settle(self.now, in_flight, app_limited);
    }
}

#[test]
fn a_round_that_loses_more_than_a_tenth_leaves_what_came_through() {
    let mut rounds = ByRounds::settled();
    let before = rounds.model.window();
    // Not two hundredths of the last eight rounds, so by itself no steady loss.
    rounds.round(100_000, 20_000, false);
    let after = rounds.model.window();
    assert!(after <= 100_000, "{before} {after}");
    // It comes back, slowly at first.
    rounds.full(100_000);
    assert!(
        rounds.model.window() <= 102_000,
        "{}",
        rounds.model.window()
    );
}

#[test]
fn loss_of_who_has_little_to_send_says_nothing_of_what_fits() {
    let mut rounds = ByRounds::settled();
    let before = rounds.model.window();
    rounds.round(16 * DATAGRAM, 4 * DATAGRAM, true);
    let after = rounds.model.window();
    assert!(after < before, "{before} {after}");
    assert!(after * 100 > before * 80, "{before} {after}");
}

#[test]
fn loss_while_the_queue_drains_is_charged_once() {
    let mut rounds = ByRounds::settled();
    let cruising = rounds.model.window();
    // Within ten seconds one drain is deep.
    let deep = (0..250).any(|_| {
        rounds.full(500_000);
        rounds.model.window() * 100 < cruising * 60
    });
    assert!(deep);
    rounds.model.mark();
    rounds.full(500_000);
    // The drain ends.
    rounds.model.settle(rounds.now, 0, false);
    rounds.full(500_000);
    rounds.full(500_000);
    let after = rounds.model.window();
    assert!(after * 100 > cruising * 80, "{cruising} {after}");
    assert!(after * 100 < cruising * 95, "{cruising} {after}");
}

/// Half of what fits is under way then, so half of it coming through is no loss at all.
#[test]
fn sudden_loss_while_the_queue_drains_leaves_what_would_have_come_through() {
    let mut rounds = ByRounds::settled();
    let cruising = rounds.model.window();
    let deep = (0..250).any(|_| {
        rounds.full(500_000);
        rounds.model.window() * 100 < cruising * 60
    });
    assert!(deep);
    rounds.round(100_000, 20_000, false);
    // The drain ends.
    rounds.model.settle(rounds.now, 0, false);
    rounds.full(500_000);
    let after = rounds.model.window();
    assert!(after * 100 > cruising * 80, "{cruising} {after}");
    assert!(after * 100 < cruising * 90, "{cruising} {after}");
}

#[test]
fn a_round_with_little_to_send_is_no_measure_of_the_path() {
    let mut rounds = ByRounds::settled();
    let before = rounds.model.rate();
    for _ in 0..200 {
        rounds.round(10_000, 0, true);
    }
    assert_eq!(rounds.model.rate(), before);
    // Nor is it what is left when something better is forgotten.
    for _ in 0..80 {
        rounds.full(300_000);
    }
    let slower = rounds.model.rate();
    assert!(slower < before, "{slower:?}");
    rounds.full(500_000);
    for _ in 0..40 {
        if rounds.model.rate() == before {
            rounds.round(400_000, 0, true);
            // It ends as the next one begins, which is so limited, too.
            rounds.full(300_000);
        }
        rounds.full(300_000);
        let rate = rounds.model.rate();
        assert!(rate == before || rate == slower, "{rate:?}");
    }
    assert_eq!(rounds.model.rate(), slower);
}

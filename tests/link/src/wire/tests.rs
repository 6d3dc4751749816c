use super::*;
use crate::chance::Share;
use crate::conditions::Reordering;

const MILLISECOND: Duration = Duration::from_millis(1);

/// A UDP packet of so many bytes that says which one it is.
fn numbered(number: u32, bytes: usize) -> Vec<u8> {
    let mut packet = vec![0; bytes.max(24)];
    packet[0] = 0x45;
    packet[9] = 17;
    packet[20..24].copy_from_slice(&number.to_be_bytes());
    packet
}

fn number(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[20..24].try_into().expect("four bytes"))
}

fn wire(conditions: Conditions) -> Wire {
    let mut wire = Wire::by(Chance::seeded(11));
    wire.set(conditions);
    wire
}

/// What comes out until then, and when, if it is looked at when it is due.
fn arrivals(wire: &mut Wire, until: Duration) -> Vec<(Duration, u32)> {
    let mut arrivals = Vec::new();
    let mut now = Duration::ZERO;
    loop {
        while let Some(packet) = wire.take_due(now) {
            arrivals.push((now, number(&packet)));
        }
        match wire.next_due() {
            Some(due) if due <= until => now = now.max(due),
            _ => return arrivals,
        }
    }
}

fn numbers(wire: &mut Wire) -> Vec<u32> {
    let arrivals = arrivals(wire, Duration::from_secs(3600));
    arrivals.into_iter().map(|(_, number)| number).collect()
}

/// Sends so many of 100 bytes at once, and answers what arrives.
fn burst(wire: &mut Wire, count: u32) -> Vec<u32> {
    for number in 0..count {
        wire.offer(&numbered(number, 100), Duration::ZERO);
    }
    numbers(wire)
}

/// Nothing vanishes uncounted.
fn tallied(wire: &Wire) -> Tally {
    let tally = wire.tally(Protocol::Udp);
    let dropped = tally.refused + tally.too_large + tally.cut + tally.overflowed + tally.lost;
    assert_eq!(
        tally.offered + tally.duplicated,
        dropped + tally.delivered,
        "{tally:?}"
    );
    assert_eq!(tally.on_the_way(), 0);
    tally
}

#[test]
fn an_ideal_wire_changes_nothing() {
    let mut wire = wire(Conditions::default());
    assert_eq!(burst(&mut wire, 100), (0..100).collect::<Vec<_>>());
    assert_eq!(tallied(&wire).sizes, BTreeMap::from([(100, 100)]));
}

#[test]
fn the_rate_spaces_and_the_delay_comes_on_top() {
    // 8 kbit/s: a millisecond for a byte.
    let mut wire = wire(Conditions {
        rate: Some(8_000),
        delay: 20 * MILLISECOND,
        ..Conditions::default()
    });
    for sent in 0..3 {
        wire.offer(&numbered(sent, 100), Duration::ZERO);
    }
    // This one finds the line free.
    wire.offer(&numbered(3, 50), 400 * MILLISECOND);
    let expected = [(120, 0), (220, 1), (320, 2), (470, 3)];
    let expected = expected.map(|(at, number)| (at * MILLISECOND, number));
    assert_eq!(arrivals(&mut wire, Duration::from_secs(1)), expected);
}

#[test]
fn what_finds_no_room_in_the_queue_is_dropped() {
    let mut wire = wire(Conditions {
        rate: Some(8_000),
        queue: 250,
        ..Conditions::default()
    });
    for sent in 0..4 {
        wire.offer(&numbered(sent, 100), Duration::ZERO);
    }
    // The first has left: there is room for one.
    wire.offer(&numbered(4, 100), 100 * MILLISECOND);
    wire.offer(&numbered(5, 100), 100 * MILLISECOND);
    assert_eq!(numbers(&mut wire), [0, 1, 4]);
    assert_eq!(tallied(&wire).overflowed, 3);
    // However small the queue: what finds the line free is sent.
    wire.offer(&numbered(6, 1_000), Duration::from_secs(60));
    assert_eq!(numbers(&mut wire), [6]);
}

#[test]
fn the_lost_are_those_that_chance_names_and_have_had_their_turn() {
    let share = Share::percent(10);
    let conditions = Conditions {
        rate: Some(8_000),
        queue: usize::MAX,
        loss: share,
        ..Conditions::default()
    };
    let mut lossy = wire(conditions);
    for sent in 0..1_000 {
        lossy.offer(&numbered(sent, 100), Duration::ZERO);
    }
    let arrived = arrivals(&mut lossy, Duration::from_secs(3600));
    let mut chance = Chance::seeded(11);
    let mut spared = |_: &u32| {
        // Three draws a packet: loss, duplication, reordering.
        let [lost, _, _] = [share, Share::NONE, Share::NONE].map(|share| chance.hits(share));
        !lost
    };
    let expected: Vec<u32> = (0..1_000).filter(&mut spared).collect();
    assert!((850..950).contains(&expected.len()));
    let at = |number: u32| 100 * MILLISECOND * (number + 1);
    let expected: Vec<_> = expected.into_iter().map(|it| (at(it), it)).collect();
    assert_eq!(
        arrived, expected,
        "each at its time, as if the lost had been there"
    );
    assert_eq!(
        tallied(&lossy).lost,
        1_000 - u64::try_from(expected.len()).expect("few")
    );
}

#[test]
fn copies_arrive_right_behind() {
    let mut wire = wire(Conditions {
        duplication: Share::percent(20),
        ..Conditions::default()
    });
    let arrived = burst(&mut wire, 200);
    let mut once = arrived.clone();
    once.dedup();
    assert_eq!(once, (0..200).collect::<Vec<_>>());
    let copies = tallied(&wire).duplicated;
    assert_eq!(u64::try_from(arrived.len()).expect("few"), 200 + copies);
    assert!((20..60).contains(&copies), "{copies}");
}

fn overtaken(by: u32, at_most: Duration) -> Conditions {
    Conditions {
        reordering: Some(Reordering {
            share: Share::percent(10),
            overtaken_by: by,
            at_most,
        }),
        ..Conditions::default()
    }
}

#[test]
fn the_overtaken_arrive_behind_as_many_as_asked() {
    let mut wire = wire(overtaken(3, Duration::from_secs(60)));
    let arrived = burst(&mut wire, 500);
    let mut sorted = arrived.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        (0..500).collect::<Vec<_>>(),
        "all of them, each once"
    );
    let tally = tallied(&wire);
    assert!((30..70).contains(&tally.overtaken), "{tally:?}");
    let mut late = 0;
    for (place, number) in arrived.iter().enumerate() {
        let overtakers = arrived[..place].iter().filter(|it| *it > number).count();
        if overtakers > 0 {
            late += 1;
            // The last ones may have nobody left to be overtaken by, and those who were held together stay in order.
            assert!(
                (3..6).contains(&overtakers) || *number > 480,
                "{number}: {overtakers}"
            );
        }
    }
    assert!(late > 30 && late <= tally.overtaken, "{late}");
}

#[test]
fn nobody_waits_for_overtakers_for_ever() {
    let mut wire = wire(Conditions {
        reordering: Some(Reordering {
            share: Share::percent(100),
            overtaken_by: 1,
            at_most: 30 * MILLISECOND,
        }),
        ..Conditions::default()
    });
    wire.offer(&numbered(7, 100), Duration::ZERO);
    assert_eq!(
        arrivals(&mut wire, Duration::from_secs(1)),
        [(30 * MILLISECOND, 7)]
    );
}

#[test]
fn larger_packets_and_refused_protocols_vanish_without_taking_room() {
    let mut wire = wire(Conditions {
        rate: Some(8_000),
        largest: Some(1_250),
        ..Conditions::default()
    });
    wire.offer(&numbered(0, 1_251), Duration::ZERO);
    wire.offer(&numbered(1, 1_250), Duration::ZERO);
    assert_eq!(
        arrivals(&mut wire, Duration::from_secs(9)),
        [(1_250 * MILLISECOND, 1)]
    );
    wire.set(Conditions {
        refused: vec![Protocol::Udp],
        ..Conditions::default()
    });
    wire.offer(&numbered(2, 100), Duration::ZERO);
    let mut tcp = numbered(3, 100);
    tcp[9] = 6;
    wire.offer(&tcp, Duration::from_secs(9));
    assert_eq!(numbers(&mut wire), [3]);
    let tally = tallied(&wire);
    assert_eq!((tally.too_large, tally.refused), (1, 1));
    assert_eq!(wire.tally(Protocol::Tcp).delivered, 1);
}

#[test]
fn a_cut_loses_what_is_on_its_way_and_what_comes() {
    let slow = Conditions {
        rate: Some(8_000),
        delay: 20 * MILLISECOND,
        ..Conditions::default()
    };
    let mut wire = wire(slow.clone());
    for sent in 0..3 {
        wire.offer(&numbered(sent, 100), Duration::ZERO);
    }
    assert_eq!(
        arrivals(&mut wire, 150 * MILLISECOND),
        [(120 * MILLISECOND, 0)]
    );
    wire.set(Conditions {
        cut: true,
        ..slow.clone()
    });
    wire.offer(&numbered(3, 100), 160 * MILLISECOND);
    assert_eq!(wire.next_due(), None);
    wire.set(slow);
    wire.offer(&numbered(4, 100), 170 * MILLISECOND);
    // The line is free: what waited for it is lost.
    assert_eq!(
        arrivals(&mut wire, Duration::from_secs(1)),
        [(290 * MILLISECOND, 4)]
    );
    assert_eq!(tallied(&wire).cut, 3);
}

#[test]
fn a_delay_that_shrinks_lets_nobody_overtake() {
    let delayed = |delay| Conditions {
        delay,
        ..Conditions::default()
    };
    let mut wire = wire(delayed(40 * MILLISECOND));
    wire.offer(&numbered(0, 100), Duration::ZERO);
    wire.set(delayed(MILLISECOND));
    wire.offer(&numbered(1, 100), MILLISECOND);
    assert_eq!(
        arrivals(&mut wire, Duration::from_secs(1)),
        [(40 * MILLISECOND, 0), (40 * MILLISECOND, 1)]
    );
    assert_eq!(
        tallied(&wire).latest,
        Duration::ZERO,
        "the first is in the way, not the machine"
    );
}

#[test]
fn one_share_does_not_decide_whom_another_hits() {
    let lossy = |duplication| Conditions {
        loss: Share::percent(10),
        duplication,
        ..Conditions::default()
    };
    let mut with_copies = burst(&mut wire(lossy(Share::percent(30))), 300);
    with_copies.dedup();
    assert_eq!(with_copies, burst(&mut wire(lossy(Share::NONE)), 300));
}

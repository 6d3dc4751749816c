//! The links that tests and benchmarks cross do what they are asked to and nothing else: which packets are lost, doubled,
//! overtaken, swallowed, translated is known beforehand, for TCP and UDP alike. When they arrive is measured
//! (`measured.rs`), not asserted.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use gangplank_link::{Chance, Conditions, Direction, Host, Protocol, Reordering, Share};

use crate::support::running::Running;
use crate::support::{hosts, wait};

mod ends;
mod measured;

use ends::{Ends, arrived};

/// What is sent before the receiver has had it: less than a socket's buffer holds.
const BATCH: u32 = 32;

/// The numbers as they must arrive, drawn as the link draws.
fn foretold(mut chance: Chance, asked: &Conditions, count: u32) -> Vec<u32> {
    let mut arrivals = Vec::new();
    let mut held: Vec<(u32, u32, usize)> = Vec::new();
    let reordering = asked.reordering.as_ref();
    for number in 0..count {
        let [lost, twice, late] = [
            asked.loss,
            asked.duplication,
            reordering.map_or(Share::NONE, |it| it.share),
        ]
        .map(|share| chance.hits(share));
        let times = if twice { 2 } else { 1 };
        if lost {
            continue;
        }
        if late {
            held.push((number, reordering.map_or(0, |it| it.overtaken_by), times));
            continue;
        }
        arrivals.extend(vec![number; times]);
        for (number, by, times) in &mut held {
            *by -= 1;
            if *by == 0 {
                arrivals.extend(vec![*number; *times]);
            }
        }
        held.retain(|(_, by, _)| *by > 0);
    }
    arrivals
}

#[test]
fn chance_hits_whom_it_names() {
    if !hosts::can_be_made("links_are_as_asked::chance_hits_whom_it_names") {
        return;
    }
    let some = Share::percent(5);
    let late = Reordering {
        share: some,
        overtaken_by: 3,
        at_most: Duration::from_secs(3600),
    };
    let cases = [
        (some, Share::NONE, None),
        (Share::NONE, some, None),
        (Share::NONE, Share::NONE, Some(late.clone())),
        (some, some, Some(late)),
    ];
    for (number, (loss, duplication, reordering)) in (1..).zip(cases) {
        let ends = Ends::lay(number);
        let asked = Conditions {
            loss,
            duplication,
            reordering,
            ..Conditions::default()
        };
        ends.link.change(|conditions| *conditions = asked.clone());
        let chance = ends.link.chance(Direction::There);
        let mut found = Vec::new();
        for sent in 0..1_000 {
            ends.send(sent, 100);
            if (sent + 1) % BATCH == 0 || sent == 999 {
                let expected = foretold(chance.clone(), &asked, sent + 1);
                wait::until("what must arrive", || {
                    found.extend(ends.numbers());
                    (found.len() >= expected.len()).then_some(())
                });
                assert_eq!(found, expected, "{asked:?}");
            }
        }
        let tally = ends.there();
        for (share, count) in [
            (asked.loss, tally.lost),
            (asked.duplication, tally.duplicated),
        ] {
            let hit = if share == Share::NONE { 0..1 } else { 30..80 };
            assert!(hit.contains(&count), "{tally:?}");
        }
        assert_eq!(tally.offered, 1_000, "nothing else is on the link");
        assert_eq!(ends.link.unasked_losses().expect("counted"), 0);
    }
}

#[test]
fn larger_packets_vanish() {
    if !hosts::can_be_made("links_are_as_asked::larger_packets_vanish") {
        return;
    }
    let ends = Ends::lay(5);
    ends.link
        .change(|conditions| conditions.largest = Some(1_250));
    let sizes = [100, 1_249, 1_250, 1_251, 1_500];
    for (number, bytes) in (0..).zip(sizes) {
        ends.send(number, bytes);
    }
    wait::until("all of them", || (ends.there().offered == 5).then_some(()));
    assert_eq!(ends.await_numbers(3), [0, 1, 2]);
    assert_eq!((ends.there().too_large, ends.there().on_the_way()), (2, 0));
    // Nobody is told: the sender goes on sending as large as before.
    ends.send(9, 1_500);
    wait::until("it, too", || (ends.there().too_large == 3).then_some(()));
    ends.link.change(|conditions| conditions.largest = None);
    ends.send(10, 1_500);
    assert_eq!(ends.await_numbers(1), [10]);
}

#[test]
fn a_cut_link_carries_nothing() {
    if !hosts::can_be_made("links_are_as_asked::a_cut_link_carries_nothing") {
        return;
    }
    let ends = Ends::lay(6);
    // So long that these are still on their way.
    ends.link
        .change(|conditions| conditions.delay = Duration::from_secs(3600));
    (0..10).for_each(|number| ends.send(number, 100));
    wait::until("them to be on their way", || {
        (ends.there().on_the_way() == 10).then_some(())
    });
    ends.link.change(|conditions| conditions.cut = true);
    (10..20).for_each(|number| ends.send(number, 100));
    wait::until("them to be lost", || (ends.there().cut == 20).then_some(()));
    ends.link
        .change(|conditions| *conditions = Conditions::default());
    (20..30).for_each(|number| ends.send(number, 100));
    assert_eq!(ends.await_numbers(10), (20..30).collect::<Vec<_>>());
}

#[test]
fn one_protocol_is_refused_and_another_passes() {
    if !hosts::can_be_made("links_are_as_asked::one_protocol_is_refused_and_another_passes") {
        return;
    }
    let ends = Ends::lay(7);
    ends.link
        .change(|conditions| conditions.refused = vec![Protocol::Udp]);
    (0..10).for_each(|number| ends.send(number, 100));
    wait::until("them to be refused", || {
        (ends.there().refused == 10).then_some(())
    });
    assert_eq!(ends.carry(100_000), 100_000);
    assert_eq!(ends.there().delivered, 0);
    ends.link
        .change(|conditions| conditions.refused = Vec::new());
    ends.send(10, 100);
    assert_eq!(ends.await_numbers(1), [10]);
}

/// What a link loses or delays is a packet of the wire, and neither protocol gets more into one than the other.
#[test]
fn packets_of_both_protocols_are_of_one_size() {
    if !hosts::can_be_made("links_are_as_asked::packets_of_both_protocols_are_of_one_size") {
        return;
    }
    let ends = Ends::lay(8);
    let megabyte = 1 << 20;
    ends.link
        .change(|conditions| conditions.loss = Share::percent(1));
    assert_eq!(ends.carry(megabyte), megabyte);
    let tcp = ends.link.tally(Direction::There, Protocol::Tcp);
    let full = |sizes: &BTreeMap<usize, u64>| sizes.get(&1_500).copied().unwrap_or_default();
    // A payload of 1,448 bytes each, as Ethernet has it.
    let least = u64::try_from(megabyte / 1_448).expect("few") * 9 / 10;
    assert!(full(&tcp.sizes) >= least, "{tcp:?}");
    assert_eq!(tcp.sizes.keys().next_back(), Some(&1_500), "nothing larger");
    assert!(tcp.lost > 0, "and what was lost was sent again: {tcp:?}");
    // What is too large for one packet is cut by the kernel, for UDP into fragments.
    ends.link.change(|conditions| conditions.loss = Share::NONE);
    ends.send(1, 1_500);
    ends.send(2, 2_000);
    assert_eq!(ends.await_numbers(2), [1, 2]);
    assert_eq!(ends.there().sizes.keys().next_back(), Some(&1_500));
}

#[test]
fn a_router_rewrites_and_forgets() {
    if !hosts::can_be_made("links_are_as_asked::a_router_rewrites_and_forgets") {
        return;
    }
    let ends = Ends::lay(9);
    ends.link.rebind(77);
    let mut seen = Vec::new();
    for number in 0..3 {
        ends.send(number, 100);
        let (_, from) = wait::until("it at the peer", || arrived(&ends.second));
        seen.push(from);
        ends.second
            .send_to(&number.to_be_bytes(), from)
            .expect("there is a route");
        let (back, _) = wait::until("the answer", || arrived(&ends.first));
        assert_eq!(back, number, "the answer finds its way back");
        match number {
            0 => ends.link.rebind(77),
            1 => ends.link.rebind(78),
            _ => {}
        }
    }
    let addresses: Vec<String> = seen.iter().map(ToString::to_string).collect();
    assert_eq!(
        addresses,
        [
            "198.18.9.77:20000",
            "198.18.9.77:20001",
            "198.18.9.78:20002"
        ]
    );
    // Who answers to a port that was forgotten reaches nobody.
    ends.second
        .send_to(&[0; 4], seen[0])
        .expect("there is a route");
    wait::until("it to be dropped", || {
        (ends.link.unasked_losses().expect("counted") == 1).then_some(())
    });
    assert_eq!(arrived(&ends.first), None);
    // TCP goes through it, too.
    assert_eq!(ends.carry(100_000), 100_000);
}

#[test]
fn a_host_moves() {
    if !hosts::can_be_made("links_are_as_asked::a_host_moves") {
        return;
    }
    let ends = Ends::lay(10);
    let mut seen = Vec::new();
    for number in 0..2 {
        ends.send(number, 100);
        let (_, from) = wait::until("it at the peer", || arrived(&ends.second));
        ends.second
            .send_to(&number.to_be_bytes(), from)
            .expect("there is a route");
        let (back, _) = wait::until("the answer", || arrived(&ends.first));
        assert_eq!(back, number);
        seen.push(from.ip().to_string());
        if number == 0 {
            ends.link.move_first(50).expect("another address");
        }
    }
    assert_eq!(seen, ["198.18.10.1", "198.18.10.50"]);
}

/// Whatever ended the test: its hosts end with the pipes that it holds.
#[test]
fn what_runs_in_a_host_ends_with_it() {
    if !hosts::can_be_made("links_are_as_asked::what_runs_in_a_host_ends_with_it") {
        return;
    }
    let [host, other] = [(); 2].map(|()| Host::new().expect("a host"));
    let [mut inside, mut elsewhere] = [&host, &other].map(|host| {
        let mut command = Command::new("sleep");
        command.arg("600");
        hosts::at(Some(host), || Running::start(command, "sleep"))
    });
    drop(host);
    inside.await_end();
    assert_eq!(elsewhere.ended(), None, "who is elsewhere goes on");
}

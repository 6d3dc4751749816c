//! Whatever befalls the path, callers are served again without anybody's doing, and in the meantime nobody is taken for
//! another, no POST arrives twice, and no answer of which a part is missing looks whole.
//!
//! One small load runs through all of it (`load.rs`), one row tells what each fault was like (`story.rs`). The soak prints the
//! table of docs/faults.md. No time decides the outcome.

use crate::support::hosts;
use crate::support::measured::tell;

mod clocks;
mod ground;
mod ledger;
mod links;
mod load;
mod names;
mod processes;
mod shortages;
mod silence;
mod story;
mod udp;

use story::{HEAD, Row};

/// A fault by its name, with the rows that it makes.
type Fault = (&'static str, fn() -> Vec<Row>);

/// Each fault, in the order of the table.
#[rustfmt::skip]
const FAULTS: [Fault; 29] = [
    ("relay-killed", || vec![processes::relay_killed()]),
    ("relay-stopped", || vec![processes::relay_stopped()]),
    ("agent-killed", || vec![processes::agent_killed()]),
    ("agent-gone", || vec![processes::agent_gone()]),
    ("agent-stopped", || vec![processes::agent_stopped()]),
    ("cut", || vec![links::cut_until_noticed()]),
    ("cut-1", || vec![links::cut_for(1)]),
    ("cut-5", || vec![links::cut_for(5)]),
    ("cut-30", || vec![links::cut_for(30)]),
    ("rebinding", || vec![links::rebinding()]),
    ("address", || vec![links::another_address()]),
    ("loss-1", || vec![links::loss(1)]),
    ("loss-5", || vec![links::loss(5)]),
    ("reordering", || vec![links::reordering()]),
    ("duplication", || vec![links::duplication()]),
    ("black-hole", || vec![links::black_hole()]),
    ("udp", || vec![links::udp_vanishes()]),
    ("udp-kubectl", || wait_for(udp::lost_and_found(false))),
    ("udp-proxy", || wait_for(udp::lost_and_found(true))),
    ("relay-clock", || vec![clocks::relay_ahead()]),
    ("exit-clock", || vec![clocks::exit_ahead()]),
    ("exit-clock", || vec![clocks::exit_behind()]),
    ("asleep", || vec![clocks::agent_asleep()]),
    ("disk", || vec![shortages::full_disk()]),
    ("descriptors", || vec![shortages::relay_without_descriptors()]),
    ("descriptors", || vec![shortages::agent_without_descriptors()]),
    ("names", || vec![names::server_silent()]),
    ("names", || vec![names::server_failing()]),
    ("callers", silence::callers_gone),
];

/// In a runtime of its own.
fn wait_for<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Runtime::new();
    runtime.expect("a runtime").block_on(work)
}

#[test]
#[ignore = "faults of minutes: make soak"]
fn soak_every_fault_in_turn() {
    if !hosts::can_be_made("every_fault_is_survived::soak_every_fault_in_turn") {
        return;
    }
    // For who looks at some of them: cut-1,cut-5.
    let chosen = std::env::var("GANGPLANK_FAULTS").unwrap_or_default();
    let chosen: Vec<_> = chosen.split(',').filter(|name| !name.is_empty()).collect();
    let mut wrongs = Vec::new();
    tell(HEAD);
    for (name, befall) in FAULTS {
        if !chosen.is_empty() && !chosen.contains(&name) {
            continue;
        }
        for row in befall() {
            tell(&row.to_string());
            wrongs.extend(row.wrongs);
        }
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
}

/// One of them, where hosts can be made.
fn hold(test: &str, befall: impl FnOnce() -> Row) {
    if hosts::can_be_made(&format!("every_fault_is_survived::{test}")) {
        let row = befall();
        assert!(row.wrongs.is_empty(), "{row}\n{}", row.wrongs.join("\n"));
    }
}

#[test]
fn a_relay_is_killed_and_started_again() {
    hold(
        "a_relay_is_killed_and_started_again",
        processes::relay_killed,
    );
}

#[test]
fn a_link_is_cut_for_a_second() {
    hold("a_link_is_cut_for_a_second", || links::cut_for(1));
}

#[test]
fn descriptors_run_out_at_the_relay() {
    hold(
        "descriptors_run_out_at_the_relay",
        shortages::relay_without_descriptors,
    );
}

#[test]
fn descriptors_run_out_at_the_agent() {
    hold(
        "descriptors_run_out_at_the_agent",
        shortages::agent_without_descriptors,
    );
}

#[test]
fn the_disk_of_the_register_is_full() {
    hold("the_disk_of_the_register_is_full", shortages::full_disk);
}

#[test]
fn the_resolver_fails() {
    hold("the_resolver_fails", names::server_failing);
}

#[test]
fn the_exits_clock_jumps() {
    hold("the_exits_clock_jumps", clocks::exit_behind);
}

/// Under a watch and an exec of kubectl's, before the real API server.
#[test]
fn udp_is_dropped_from_the_start_and_in_the_middle() {
    for row in wait_for(udp::lost_and_found(false)) {
        println!("{row}");
        assert!(row.wrongs.is_empty(), "{}", row.wrongs.join("\n"));
    }
}

//! Registry, supersede, failover and drain beside a model that is obviously right: whatever agents, callers and
//! the relay's owner do, in whatever order, and whatever a caller meets at an exit.
//!
//! A sequence runs through the relay's own hosting of tunnels, its registry and its boarding; sessions and streams
//! are in memory, and time is simulated, so that a minute of holding and waiting costs nothing. What must be stands in
//! [`model`]: no stream to another cluster's tunnel, none to one that is superseded, leaving, revoked or gone, none to
//! one that carries more than another; each caller on board of one tunnel whose exit took it, or told a refusal that
//! fits; and nobody on board cut off.
//!
//! A failure prints the shortest sequence that fails, and the seed draws it again:
//!
//! ```text
//! GANGPLANK_SEED=7 GANGPLANK_CASES=100000 cargo test -p gangplank-relay --lib board
//! ```

mod craft;
mod model;
mod pipe;
mod port;
mod voyage;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};

use self::model::{Place, Reception};
use self::port::{NAMES, PAPERS, Port};
use self::voyage::{Event, Voyage};

/// Sequences of `make test`.
const CASES: u32 = 10_000;

/// The seed of `make test`, where the same sequences shall be drawn each time.
const SEED: u64 = 1;

/// Events of a sequence at most: more find nothing that these do not, and cost.
const EVENTS: usize = 16;

/// What callers meet, the usual more often than the rest. Three seconds are too late.
const RECEPTIONS: &[Reception] = &[
    Reception::Accepts(0),
    Reception::Accepts(0),
    Reception::Accepts(0),
    Reception::Accepts(0),
    Reception::Accepts(200),
    Reception::Accepts(2000),
    Reception::Accepts(3000),
    Reception::Refuses(0),
    Reception::Refuses(300),
    Reception::Breaks,
    Reception::Silent,
    Reception::NoCredit,
    Reception::SlowCredit,
];

/// Milliseconds after an event; after none the next is in the same moment.
const PAUSES: &[u64] = &[0, 0, 0, 0, 1, 1, 1, 1, 300, 300, 1200, 4000, 16_000];

/// One cluster has most of what happens, or little would meet.
const SERVED: &[usize] = &[0, 0, 0, 0, 0, 0, 1, 2];
const CALLED: &[usize] = &[0, 0, 0, 0, 0, 0, 1, 2, 3];

const GREETS_AFTER: &[u64] = &[0, 0, 0, 400];

fn place() -> impl Strategy<Value = Place> {
    let place = (select(SERVED), 0..2_u128, 0..2_u16, 0..3_u64);
    place.prop_map(|(name, instance, slot, epoch)| Place {
        name,
        instance,
        slot,
        epoch,
    })
}

fn event() -> impl Strategy<Value = Event> {
    let receptions = || select(RECEPTIONS);
    prop_oneof![
        18 => (place(), 0..PAPERS, select(GREETS_AFTER))
            .prop_map(|(place, paper, greets_after)| Event::Join { place, paper, greets_after }),
        6 => (0..64_usize, select(GREETS_AFTER))
            .prop_map(|(tunnel, greets_after)| Event::Renew { tunnel, greets_after }),
        3 => (0..64_usize, select(&[1, 5, 60][..]))
            .prop_map(|(tunnel, seconds)| Event::Leave { tunnel, seconds }),
        3 => (0..64_usize).prop_map(|tunnel| Event::Finish { tunnel }),
        3 => (0..64_usize).prop_map(|tunnel| Event::Vanish { tunnel }),
        30 => (select(CALLED), [receptions(), receptions(), receptions()])
            .prop_map(|(name, receptions)| Event::Call { name, receptions }),
        9 => (0..64_usize).prop_map(|caller| Event::HangUp { caller }),
        3 => (0..NAMES.len() * PAPERS).prop_map(|paper| Event::Revoke { paper }),
        // Rare: little can happen after it.
        1 => Just(Event::DrainRelay),
    ]
}

/// Events, and the pause after each.
fn events() -> impl Strategy<Value = Vec<(Event, u64)>> {
    prop::collection::vec((event(), select(PAUSES)), 1..EVENTS)
}

fn number(variable: &str) -> Option<u64> {
    let set = std::env::var(variable).ok();
    set.map(|text| text.parse().expect("a number"))
}

/// Draws sequences for relays of this kind. Half of `make test`'s are theirs.
fn sail(hide_names: bool) {
    let seed = number("GANGPLANK_SEED").unwrap_or(SEED);
    let cases = number("GANGPLANK_CASES").map_or(CASES, |cases| cases.try_into().unwrap());
    let config = ProptestConfig {
        cases: cases.div_ceil(2),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let port = Port::new();
    let mut drawn_from = [0; 16];
    drawn_from[..8].copy_from_slice(&seed.to_be_bytes());
    drawn_from[8] = u8::from(hide_names);
    // Not the usual generator: unoptimised it takes longer than the relay.
    let chance = TestRng::from_seed(RngAlgorithm::XorShift, &drawn_from);
    let drawn = TestRunner::new_with_rng(config, chance)
        .run(&(any::<bool>(), events()), |(fresh, events)| {
            sequence(&port, (fresh, hide_names), events).map_err(TestCaseError::fail)
        });
    match drawn {
        Ok(()) => {}
        Err(TestError::Fail(fault, (fresh, events))) => {
            let events: Vec<_> = events.iter().map(|event| format!("{event:?}\n")).collect();
            panic!("seed {seed}, fresh {fresh}: {fault}\n{}", events.concat());
        }
        Err(failure) => panic!("seed {seed}: {failure}"),
    }
}

/// One sequence, in a runtime of its own: with it ends everything that was begun.
fn sequence(
    port: &Port,
    (fresh, hide_names): (bool, bool),
    events: Vec<(Event, u64)>,
) -> Result<(), String> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut voyage = Voyage::begin(port, hide_names);
        if !fresh {
            voyage.wait(31_000).await?;
        }
        for (event, pause) in events {
            voyage.take(event).await;
            if pause > 0 {
                voyage.wait(pause).await?;
            }
        }
        voyage.end().await
    })
}

#[test]
fn whatever_comes_and_goes_each_caller_is_on_one_tunnel_of_its_cluster_or_told_why_not() {
    sail(false);
}

#[test]
fn the_same_where_names_are_hidden() {
    sail(true);
}

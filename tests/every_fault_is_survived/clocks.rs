//! Clocks that jump. The wall clock says what a certificate is worth, the other one how long nothing was heard. Both are
//! set under the running program (`support/clock.rs`).

use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;

use super::ground::Ground;
use super::ledger::{How, seconds};
use super::story::{Mark, Row};
use crate::support::afar::{Hosts, Terms};
use crate::support::clock::Clock;
use crate::support::gangplank::Surroundings;
use crate::support::wait;

/// So far that every certificate of the tests is over (2099), or none has begun (2020).
const CENTURY: i64 = 100 * 365 * 24 * 3600;

/// How long a laptop sleeps here: longer than a relay waits for a sign of life.
const ASLEEP: Duration = Duration::from_secs(20);

/// By then everybody has looked at the clock: they do so once a minute.
const LOOKED_BY: Duration = Duration::from_secs(90);

fn going_by(agent: &Clock, relay: &Clock) -> Ground {
    let by = |clock: &Clock| Surroundings {
        variables: clock.variables(),
        ..Surroundings::default()
    };
    let terms = Terms {
        agent: by(agent),
        relay: by(relay),
        ..Terms::default()
    };
    Ground::between(Hosts::new(), terms)
}

/// Every certificate is refused, also under what runs; then callers are let in again.
pub(super) fn exit_ahead() -> Row {
    let (agent, relay) = (Clock::new(), Clock::new());
    let ground = going_by(&agent, &relay);
    let struck = Mark::now();
    agent.set(CENTURY, 0);
    let refused = await_refusal(&ground);
    let watches = wait::up_to(LOOKED_BY, || {
        let ended = ground.load.ledger.ends_of_watches(struck.at);
        (ended.len() == 4).then(|| ended.into_iter().max())?
    });
    let watches = watches.expect("watches end");
    agent.set(0, 0);
    let mended = Mark::now();
    let mut row = ground.tell(
        "the exit's wall clock jumps a century ahead, and back",
        struck,
        mended,
    );
    row.noticed = format!(
        "requests {} (401), watches {}",
        seconds(refused - struck.at),
        seconds(watches - struck.at)
    );
    row
}

/// Who comes is refused; who was let in when the clock was right is no longer in doubt.
pub(super) fn exit_behind() -> Row {
    let (agent, relay) = (Clock::new(), Clock::new());
    let ground = going_by(&agent, &relay);
    let struck = Mark::now();
    agent.set(-CENTURY / 2, 0);
    let refused = await_refusal(&ground);
    agent.set(0, 0);
    let mended = Mark::now();
    let fault = "the exit's wall clock jumps half a century back, and ahead again";
    let mut row = ground.tell(fault, struck, mended);
    row.noticed = format!("new callers {} (401)", seconds(refused - struck.at));
    row
}

fn await_refusal(ground: &Ground) -> Instant {
    wait::until("callers to be refused", || {
        let entries = ground.load.ledger.entries();
        let refused = entries.iter().find(|it| it.how == How::Refused(401))?;
        Some(refused.ended)
    })
}

pub(super) fn relay_ahead() -> Row {
    let (agent, relay) = (Clock::new(), Clock::new());
    let ground = going_by(&agent, &relay);
    let struck = Mark::now();
    relay.set(CENTURY, 0);
    let ended = wait::up_to(LOOKED_BY, || (!ground.afar.has_tunnel()).then_some(()));
    ended.expect("the tunnel ends");
    let noticed = struck.at.elapsed();
    relay.set(0, 0);
    let mended = Mark::now();
    let mut row = ground.tell(
        "the relay's wall clock jumps a century ahead, and back",
        struck,
        mended,
    );
    row.noticed = format!("relay {} (the agent's certificate)", seconds(noticed));
    row
}

/// As a laptop does: nothing runs, the wall clock goes on, and the one that counts stands still.
pub(super) fn agent_asleep() -> Row {
    let (agent, relay) = (Clock::new(), Clock::new());
    let ground = going_by(&agent, &relay);
    let struck = Mark::now();
    let exit = &ground.afar.site.exit;
    exit.signal("-STOP");
    sleep(ASLEEP);
    let slept = i64::try_from(ASLEEP.as_secs()).expect("seconds");
    agent.set(0, -slept);
    exit.signal("-CONT");
    let mended = Mark::now();
    ground.tell("the agent's host sleeps for 20 s", struck, mended)
}

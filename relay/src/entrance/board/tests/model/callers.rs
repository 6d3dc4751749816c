//! What callers do, and what the relay does with them.

use std::time::Duration;

use tokio::time::Instant;

use super::super::super::Refusal;
use super::{ATTEMPTS, Caller, Model, Reception, State};

/// How the relay holds callers and doubts tunnels, by its documents.
const HOLD: Duration = Duration::from_millis(1500);
const DOUBT: Duration = Duration::from_secs(15);
const FRESH: Duration = Duration::from_secs(30);
const ATTEMPT: Duration = Duration::from_millis(2500);

/// What is lost to the granularity of timers.
const GRAIN: Duration = Duration::from_millis(2);

/// An attempt to board one tunnel, over when dropped.
#[derive(Debug)]
pub(crate) struct Attempt {
    model: Model,
    caller: usize,
    tunnel: usize,
    meets: Reception,
}

impl Attempt {
    pub(crate) fn meets(&self) -> Reception {
        self.meets
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.model.attempt_over(self.caller, self.tunnel);
    }
}

impl Model {
    /// A caller has said where to; answers its number.
    pub(crate) fn arrive(&self, name: usize, receptions: [Reception; ATTEMPTS]) -> usize {
        let now = Instant::now();
        let mut world = self.world.lock();
        let strange = !self.hide_names && now - self.started >= FRESH;
        let hold = match world.proven[name] {
            None if strange => [Duration::ZERO; 2],
            Some(since) if strange && since == now => [Duration::ZERO, HOLD],
            _ => [HOLD; 2],
        };
        world.callers.push(Caller {
            name,
            receptions,
            begun: now,
            hold,
            tried: Vec::new(),
            attempt: now,
            gave_up: false,
            aboard: None,
            over: false,
        });
        world.callers.len() - 1
    }

    /// The relay opens a stream for the caller on this tunnel.
    pub(crate) fn begin(&self, number: usize, tunnel: usize) -> Attempt {
        let now = Instant::now();
        let mut world = self.world.lock();
        let (name, tried) = {
            let caller = &world.callers[number];
            (caller.name, caller.tried.clone())
        };
        let (place, state, since) = {
            let chosen = &world.tunnels[tunnel];
            (chosen.place, chosen.state, chosen.since)
        };
        let burden = world.tunnels[tunnel].burden();
        let lighter = world.open_to(name, &tried).into_iter().find(|other| {
            let other = &world.tunnels[*other];
            other.burden() < burden
        });
        world.hold(place.name == name, || {
            format!("caller {number} of cluster {name} is sent to {place:?}, another cluster's")
        });
        let open = state == State::Serving || since == now;
        world.hold(open, || {
            format!("caller {number} is sent to tunnel {tunnel}, which is {state:?}")
        });
        world.hold(lighter.is_none(), || {
            format!("caller {number} is sent to tunnel {tunnel} at {burden:?} beside {lighter:?}, which has less")
        });
        world.hold(!tried.contains(&tunnel), || {
            format!("caller {number} is sent to tunnel {tunnel} twice")
        });
        let caller = &world.callers[number];
        let (aboard, over, reception) = (
            caller.aboard,
            caller.over,
            caller.receptions.get(tried.len()).copied(),
        );
        world.hold(aboard.is_none() && !over, || {
            format!("caller {number} is delivered to tunnel {tunnel} after it was to {aboard:?}")
        });
        world.hold(reception.is_some(), || {
            format!("caller {number} is tried at more than {ATTEMPTS} tunnels")
        });
        let caller = &mut world.callers[number];
        caller.tried.push(tunnel);
        caller.attempt = now;
        world.tunnels[tunnel].load += 1;
        drop(world);
        Attempt {
            model: self.clone(),
            caller: number,
            tunnel,
            meets: reception.unwrap_or(Reception::Breaks),
        }
    }

    fn attempt_over(&self, number: usize, tunnel: usize) {
        let now = Instant::now();
        let mut world = self.world.lock();
        world.tunnels[tunnel].load -= 1;
        let caller = &mut world.callers[number];
        if caller.aboard == Some(tunnel) || caller.gave_up {
            return;
        }
        let (tries, took) = (caller.tried.len(), now - caller.attempt);
        let reception = caller.receptions.get(tries.saturating_sub(1)).copied();
        let would_have_been_taken = match reception {
            Some(Reception::Accepts(millis)) => Duration::from_millis(millis) < ATTEMPT,
            Some(Reception::SlowCredit) => true,
            _ => false,
        };
        let held = &mut world.tunnels[tunnel];
        held.doubted_until = Some(now + DOUBT);
        let (state, place) = (held.state, held.place);
        world.hold(!would_have_been_taken || state != State::Serving, || {
            format!("caller {number} was given up at {place:?}, which would have taken it")
        });
        world.hold(took <= ATTEMPT + GRAIN, || {
            format!("caller {number} waited {took:?} for one tunnel")
        });
    }

    /// What the caller's stream meets at the exit to which it came: `None` when that exit is leaving.
    pub(crate) fn reception(&self, number: usize, tunnel: usize) -> Option<Reception> {
        let world = self.world.lock();
        let leaving = matches!(world.tunnels[tunnel].state, State::Leaving(_));
        let caller = &world.callers[number];
        let tries = caller.tried.iter().position(|tried| *tried == tunnel);
        let reception = tries.and_then(|tries| caller.receptions.get(tries).copied());
        drop(world);
        reception.filter(|_| !leaving)
    }

    /// The caller's own bytes have come to an exit.
    pub(crate) fn heard(&self, number: usize, tunnel: usize) {
        let mut world = self.world.lock();
        let aboard = world.callers[number].aboard;
        world.hold(aboard == Some(tunnel), || {
            format!("bytes of caller {number}, who is on {aboard:?}, came to tunnel {tunnel}")
        });
    }

    /// The caller leaves, whether on board or not.
    pub(crate) fn give_up(&self, number: usize) {
        self.world.lock().callers[number].gave_up = true;
    }

    pub(crate) fn board(&self, number: usize) {
        let mut world = self.world.lock();
        let caller = &mut world.callers[number];
        caller.over = true;
        caller.aboard = caller.tried.last().copied();
        let (aboard, tries) = (caller.aboard, caller.tried.len());
        let reception = caller.receptions.get(tries.saturating_sub(1)).copied();
        let taken = matches!(
            reception,
            Some(Reception::Accepts(_) | Reception::SlowCredit)
        );
        world.hold(taken, || {
            format!("caller {number} boards {aboard:?}, which did not take it")
        });
        if let Some(aboard) = aboard {
            world.tunnels[aboard].doubted_until = None;
        }
    }

    /// The caller is told that it cannot board.
    pub(crate) fn refuse(&self, number: usize, refusal: &Refusal) {
        let mut world = self.world.lock();
        let caller = &mut world.callers[number];
        caller.over = true;
        let (name, begun, hold) = (caller.name, caller.begun, caller.hold);
        let tried = caller.tried.clone();
        let waited = begun.elapsed();
        let (open, served) = (world.open_to(name, &tried), world.was_served(name, begun));
        let proven = world.proven[name];
        let known_before = proven.is_some_and(|since| since < Instant::now());
        let [least, most] = hold;
        let held = waited >= least && waited <= most + GRAIN;
        let right = match refusal {
            Refusal::UnknownTunnel => held && tried.is_empty() && !known_before,
            Refusal::Offline => held && tried.is_empty() && proven.is_some() && !served,
            Refusal::NotAnswering => {
                tried.len() == ATTEMPTS || !tried.is_empty() && open.is_empty()
            }
            _ => false,
        };
        world.hold(right, || {
            format!(
                "caller {number} of cluster {name} was told {refusal:?} after {waited:?}, having tried {tried:?} and not {open:?}"
            )
        });
    }
}

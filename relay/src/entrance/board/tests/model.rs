//! What must be, in so many words: who is where, who may board what, and what was seen otherwise.
//!
//! The model knows nothing of the registry. What agents, callers and the relay's owner do is told it
//! as they do it; what the relay does is held against it at the moment that it does it. Within one moment the
//! relay may not know yet what happened in it, so what began or ended in this very moment counts either way.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

mod agents;
mod callers;
mod calm;

pub(super) use callers::Attempt;

/// Tunnels that one caller is tried at.
const ATTEMPTS: usize = 3;

/// What one attempt at a tunnel meets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reception {
    /// The exit takes the caller after so many milliseconds.
    Accepts(u64),
    /// The exit says no, after as many.
    Refuses(u64),
    /// The stream breaks off once the caller was announced.
    Breaks,
    /// Nothing comes.
    Silent,
    /// No stream can be opened.
    NoCredit,
    /// A stream can be opened after a while, and the exit takes the caller.
    SlowCredit,
}

/// Which tunnel it is, as its agent has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) name: usize,
    pub(super) instance: u128,
    pub(super) slot: u16,
    pub(super) epoch: u64,
}

impl Place {
    fn is_same(self, other: Self) -> bool {
        (self.name, self.instance, self.slot) == (other.name, other.instance, other.slot)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its handshake is over, and it has not greeted.
    Dialled,
    Serving,
    /// A newer one has its slot.
    Superseded,
    /// Its agent drains, until then.
    Leaving(Instant),
    /// It is not let in.
    TurnedAway,
    Gone,
}

#[derive(Debug)]
struct Tunnel {
    place: Place,
    paper: usize,
    state: State,
    since: Instant,
    /// When it began to serve, and when it ceased.
    served: Option<(Instant, Option<Instant>)>,
    /// Callers on board and boarding.
    load: usize,
    doubted_until: Option<Instant>,
    /// Drain notices that its agent has heard.
    drains_heard: usize,
    closed: bool,
}

impl Tunnel {
    fn turn(&mut self, state: State) {
        let now = Instant::now();
        if self.state == State::Serving
            && let Some((_, ceased)) = &mut self.served
        {
            *ceased = Some(now);
        }
        if state == State::Serving {
            self.served = Some((now, None));
        }
        self.state = state;
        self.since = now;
    }

    fn serves(&self) -> bool {
        self.state == State::Serving
    }

    fn burden(&self) -> (bool, usize) {
        let now = Instant::now();
        (
            self.doubted_until.is_some_and(|until| now < until),
            self.load,
        )
    }
}

#[derive(Debug)]
struct Caller {
    name: usize,
    receptions: [Reception; ATTEMPTS],
    begun: Instant,
    /// The least and the most that it is held where no tunnel is.
    hold: [Duration; 2],
    /// The tunnels that it was sent to, in this order.
    tried: Vec<usize>,
    /// When the last attempt began.
    attempt: Instant,
    gave_up: bool,
    /// The tunnel that it is on.
    aboard: Option<usize>,
    over: bool,
}

#[derive(Debug, Default)]
struct World {
    tunnels: Vec<Tunnel>,
    callers: Vec<Caller>,
    revoked: HashSet<usize>,
    /// Names for which an agent has ever greeted, and when first.
    proven: Vec<Option<Instant>>,
    relay_drains: bool,
    fault: Option<String>,
}

/// What must be. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Model {
    world: Arc<Mutex<World>>,
    started: Instant,
    hide_names: bool,
}

impl World {
    fn find_fault(&mut self, fault: impl FnOnce() -> String) {
        if self.fault.is_none() {
            self.fault = Some(fault());
        }
    }

    /// Holds this to be so.
    fn hold(&mut self, so: bool, otherwise: impl FnOnce() -> String) {
        if !so {
            self.find_fault(otherwise);
        }
    }

    /// Tunnels of the name that certainly take callers, other than these.
    fn open_to(&self, name: usize, tried: &[usize]) -> Vec<usize> {
        let now = Instant::now();
        let all = self.tunnels.iter().enumerate();
        all.filter(|(number, tunnel)| {
            let there = tunnel.serves() && tunnel.since < now && tunnel.place.name == name;
            there && !tried.contains(number) && !self.revoked.contains(&tunnel.paper)
        })
        .map(|(number, _)| number)
        .collect()
    }

    /// Whether a newer tunnel of the same place went in this moment, and the relay may not know yet.
    fn beaten_by_one_that_just_went(&self, number: usize) -> bool {
        let place = self.tunnels[number].place;
        self.tunnels.iter().any(|other| {
            let went = other.served.is_some() && other.since == Instant::now();
            went && other.place.is_same(place) && other.place.epoch > place.epoch
        })
    }

    /// Whether a tunnel of the name has served for any time since then.
    fn was_served(&self, name: usize, since: Instant) -> bool {
        let now = Instant::now();
        self.tunnels.iter().any(|tunnel| {
            tunnel.place.name == name
                && tunnel.served.is_some_and(|(from, ceased)| {
                    from.max(since) < ceased.map_or(now, |ceased| ceased.min(now))
                })
        })
    }
}

impl Model {
    pub(super) fn new(names: usize, hide_names: bool) -> Self {
        let world = World {
            proven: vec![None; names],
            ..World::default()
        };
        Self {
            world: Arc::new(Mutex::new(world)),
            started: Instant::now(),
            hide_names,
        }
    }

    /// The first thing that was not as it must be.
    pub(super) fn fault(&self) -> Option<String> {
        self.world.lock().fault.clone()
    }

    pub(super) fn note(&self, fault: impl FnOnce() -> String) {
        self.world.lock().find_fault(fault);
    }
}

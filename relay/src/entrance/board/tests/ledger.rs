//! What must be, in so many words: who is where, who may board what, and what was seen otherwise.
//!
//! The ledger knows nothing of the registry. What agents, callers and the relay's owner do is written into it
//! as they do it; what the relay does is held against it at the moment that it does it. Within one moment the
//! relay may not know yet what happened in it, so what began or ended in this very moment counts either way.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use gangplank_tunnel::wire::CloseCode;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::Refusal;

/// How the relay holds callers and doubts tunnels, by its documents.
const HOLD: Duration = Duration::from_millis(1500);
const DOUBT: Duration = Duration::from_secs(15);
const FRESH: Duration = Duration::from_secs(30);
const ATTEMPTS: usize = 3;
const ATTEMPT: Duration = Duration::from_millis(2500);

/// What is lost to the granularity of timers.
const GRAIN: Duration = Duration::from_millis(2);

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
struct Page {
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
pub(super) struct Ledger {
    page: Arc<Mutex<Page>>,
    started: Instant,
    hide_names: bool,
}

/// An attempt to board one tunnel, over when dropped.
#[derive(Debug)]
pub(super) struct Attempt {
    ledger: Ledger,
    caller: usize,
    tunnel: usize,
    meets: Reception,
}

impl Attempt {
    pub(super) fn meets(&self) -> Reception {
        self.meets
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.ledger.attempt_over(self.caller, self.tunnel);
    }
}

impl Page {
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

/// What agents and the relay's owner do.
impl Ledger {
    pub(super) fn new(names: usize, hide_names: bool) -> Self {
        let page = Page {
            proven: vec![None; names],
            ..Page::default()
        };
        Self {
            page: Arc::new(Mutex::new(page)),
            started: Instant::now(),
            hide_names,
        }
    }

    /// The first thing that was not as it must be.
    pub(super) fn fault(&self) -> Option<String> {
        self.page.lock().fault.clone()
    }

    pub(super) fn note(&self, fault: impl FnOnce() -> String) {
        self.page.lock().find_fault(fault);
    }

    /// An agent has done its handshake; answers the tunnel's number, or nothing if it is revoked.
    pub(super) fn dial(&self, place: Place, paper: usize) -> Option<usize> {
        let mut page = self.page.lock();
        if page.revoked.contains(&paper) {
            return None;
        }
        page.tunnels.push(Tunnel {
            place,
            paper,
            state: State::Dialled,
            since: Instant::now(),
            served: None,
            load: 0,
            doubted_until: None,
            drains_heard: 0,
            closed: false,
        });
        Some(page.tunnels.len() - 1)
    }

    /// It says its hello: the newest of a place serves, the one before is superseded, an older is turned away.
    pub(super) fn greet(&self, number: usize) {
        let mut page = self.page.lock();
        let place = page.tunnels[number].place;
        if page.tunnels[number].state != State::Dialled {
            return;
        }
        if page.revoked.contains(&page.tunnels[number].paper) {
            page.tunnels[number].turn(State::TurnedAway);
            return;
        }
        let held = page
            .tunnels
            .iter_mut()
            .find(|tunnel| tunnel.serves() && tunnel.place.is_same(place));
        if let Some(held) = held {
            if held.place.epoch > place.epoch {
                page.tunnels[number].turn(State::TurnedAway);
                return;
            }
            held.turn(State::Superseded);
        }
        page.tunnels[number].turn(State::Serving);
        page.proven[place.name].get_or_insert_with(Instant::now);
    }

    /// Its agent says that it drains.
    pub(super) fn leave(&self, number: usize, limit: Duration) {
        let tunnel = &mut self.page.lock().tunnels[number];
        if matches!(tunnel.state, State::Serving) {
            tunnel.turn(State::Leaving(Instant::now() + limit));
        }
    }

    /// Its session ends by the agent's doing.
    pub(super) fn go(&self, number: usize) {
        self.page.lock().tunnels[number].turn(State::Gone);
    }

    pub(super) fn revoke(&self, paper: usize) {
        let mut page = self.page.lock();
        page.revoked.insert(paper);
        for tunnel in &mut page.tunnels {
            let there = !matches!(
                tunnel.state,
                State::Dialled | State::TurnedAway | State::Gone
            );
            if tunnel.paper == paper && there {
                tunnel.turn(State::Gone);
            }
        }
    }

    pub(super) fn drain_relay(&self) {
        self.page.lock().relay_drains = true;
    }

    /// An agent hears that the relay drains.
    pub(super) fn hear_drain(&self, number: usize) {
        self.page.lock().tunnels[number].drains_heard += 1;
    }

    pub(super) fn state(&self, number: usize) -> State {
        self.page.lock().tunnels[number].state
    }

    /// The tunnels that must be registered.
    pub(super) fn serving(&self) -> BTreeSet<Place> {
        let page = self.page.lock();
        let serving = page.tunnels.iter().filter(|tunnel| tunnel.serves());
        let places = serving.map(|tunnel| tunnel.place).collect();
        drop(page);
        places
    }
}

/// What callers do, and what the relay does with them.
impl Ledger {
    /// A caller has said where to; answers its number.
    pub(super) fn arrive(&self, name: usize, receptions: [Reception; ATTEMPTS]) -> usize {
        let now = Instant::now();
        let mut page = self.page.lock();
        let strange = !self.hide_names && now - self.started >= FRESH;
        let hold = match page.proven[name] {
            None if strange => [Duration::ZERO; 2],
            Some(since) if strange && since == now => [Duration::ZERO, HOLD],
            _ => [HOLD; 2],
        };
        page.callers.push(Caller {
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
        page.callers.len() - 1
    }

    /// The relay opens a stream for the caller on this tunnel.
    pub(super) fn begin(&self, number: usize, tunnel: usize) -> Attempt {
        let now = Instant::now();
        let mut page = self.page.lock();
        let (name, tried) = {
            let caller = &page.callers[number];
            (caller.name, caller.tried.clone())
        };
        let (place, state, since) = {
            let chosen = &page.tunnels[tunnel];
            (chosen.place, chosen.state, chosen.since)
        };
        let burden = page.tunnels[tunnel].burden();
        let lighter = page.open_to(name, &tried).into_iter().find(|other| {
            let other = &page.tunnels[*other];
            other.burden() < burden
        });
        page.hold(place.name == name, || {
            format!("caller {number} of cluster {name} is sent to {place:?}, another cluster's")
        });
        let open = state == State::Serving || since == now;
        page.hold(open, || {
            format!("caller {number} is sent to tunnel {tunnel}, which is {state:?}")
        });
        page.hold(lighter.is_none(), || {
            format!("caller {number} is sent to tunnel {tunnel} at {burden:?} beside {lighter:?}, which has less")
        });
        page.hold(!tried.contains(&tunnel), || {
            format!("caller {number} is sent to tunnel {tunnel} twice")
        });
        let caller = &page.callers[number];
        let (aboard, over, reception) = (
            caller.aboard,
            caller.over,
            caller.receptions.get(tried.len()).copied(),
        );
        page.hold(aboard.is_none() && !over, || {
            format!("caller {number} is delivered to tunnel {tunnel} after it was to {aboard:?}")
        });
        page.hold(reception.is_some(), || {
            format!("caller {number} is tried at more than {ATTEMPTS} tunnels")
        });
        let caller = &mut page.callers[number];
        caller.tried.push(tunnel);
        caller.attempt = now;
        page.tunnels[tunnel].load += 1;
        drop(page);
        Attempt {
            ledger: self.clone(),
            caller: number,
            tunnel,
            meets: reception.unwrap_or(Reception::Breaks),
        }
    }

    fn attempt_over(&self, number: usize, tunnel: usize) {
        let now = Instant::now();
        let mut page = self.page.lock();
        page.tunnels[tunnel].load -= 1;
        let caller = &mut page.callers[number];
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
        let held = &mut page.tunnels[tunnel];
        held.doubted_until = Some(now + DOUBT);
        let (state, place) = (held.state, held.place);
        page.hold(!would_have_been_taken || state != State::Serving, || {
            format!("caller {number} was given up at {place:?}, which would have taken it")
        });
        page.hold(took <= ATTEMPT + GRAIN, || {
            format!("caller {number} waited {took:?} for one tunnel")
        });
    }

    /// What the caller's stream meets at the exit to which it came: `None` when that exit is leaving.
    pub(super) fn reception(&self, number: usize, tunnel: usize) -> Option<Reception> {
        let page = self.page.lock();
        let leaving = matches!(page.tunnels[tunnel].state, State::Leaving(_));
        let caller = &page.callers[number];
        let tries = caller.tried.iter().position(|tried| *tried == tunnel);
        let reception = tries.and_then(|tries| caller.receptions.get(tries).copied());
        drop(page);
        reception.filter(|_| !leaving)
    }

    /// The caller's own bytes have come to an exit.
    pub(super) fn heard(&self, number: usize, tunnel: usize) {
        let mut page = self.page.lock();
        let aboard = page.callers[number].aboard;
        page.hold(aboard == Some(tunnel), || {
            format!("bytes of caller {number}, who is on {aboard:?}, came to tunnel {tunnel}")
        });
    }

    /// The caller leaves, whether on board or not.
    pub(super) fn give_up(&self, number: usize) {
        self.page.lock().callers[number].gave_up = true;
    }

    pub(super) fn board(&self, number: usize) {
        let mut page = self.page.lock();
        let caller = &mut page.callers[number];
        caller.over = true;
        caller.aboard = caller.tried.last().copied();
        let (aboard, tries) = (caller.aboard, caller.tried.len());
        let reception = caller.receptions.get(tries.saturating_sub(1)).copied();
        let taken = matches!(
            reception,
            Some(Reception::Accepts(_) | Reception::SlowCredit)
        );
        page.hold(taken, || {
            format!("caller {number} boards {aboard:?}, which did not take it")
        });
        if let Some(aboard) = aboard {
            page.tunnels[aboard].doubted_until = None;
        }
    }

    /// The caller is told that it cannot board.
    pub(super) fn refuse(&self, number: usize, refusal: &Refusal) {
        let mut page = self.page.lock();
        let caller = &mut page.callers[number];
        caller.over = true;
        let (name, begun, hold) = (caller.name, caller.begun, caller.hold);
        let tried = caller.tried.clone();
        let waited = begun.elapsed();
        let (open, served) = (page.open_to(name, &tried), page.was_served(name, begun));
        let proven = page.proven[name];
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
        page.hold(right, || {
            format!(
                "caller {number} of cluster {name} was told {refusal:?} after {waited:?}, having tried {tried:?} and not {open:?}"
            )
        });
    }
}

/// What is looked at when nothing moves any more.
impl Ledger {
    /// The relay closes a session.
    pub(super) fn closed_by_relay(&self, number: usize, code: CloseCode) {
        let now = Instant::now();
        let mut page = self.page.lock();
        let relay_drains = page.relay_drains;
        let tunnel = &mut page.tunnels[number];
        tunnel.closed = true;
        let (state, load) = (tunnel.state, tunnel.load);
        let revoked = page.revoked.contains(&page.tunnels[number].paper);
        let beaten = page.beaten_by_one_that_just_went(number);
        let right = match state {
            // While the relay drains its agent may leave beside that.
            State::Superseded => load == 0 && (code == CloseCode::Superseded || relay_drains),
            State::Leaving(until) => (load == 0 || now >= until) && code == CloseCode::GoingAway,
            State::TurnedAway => revoked || code == CloseCode::Superseded,
            State::Gone => revoked || code == CloseCode::Done,
            State::Dialled => false,
            State::Serving => beaten && code == CloseCode::Superseded,
        };
        page.hold(right, || {
            format!("tunnel {number}, which is {state:?} with {load} streams, was closed: {code:?}")
        });
        match state {
            State::Superseded | State::Leaving(_) => page.tunnels[number].turn(State::Gone),
            State::Serving => page.tunnels[number].turn(State::TurnedAway),
            _ => {}
        }
    }

    /// Holds what must be true whenever the relay has had its time.
    pub(super) fn hold_calm(&self) {
        let mut page = self.page.lock();
        let relay_drains = page.relay_drains;
        for number in 0..page.tunnels.len() {
            let tunnel = &page.tunnels[number];
            let (state, load, closed) = (tunnel.state, tunnel.load, tunnel.closed);
            let heard = tunnel.drains_heard;
            let there = matches!(
                state,
                State::Serving | State::Superseded | State::Leaving(_)
            );
            let kept = matches!(state, State::Superseded | State::Leaving(_))
                && load == 0
                && !relay_drains;
            page.hold(!kept, || {
                format!("tunnel {number} is {state:?}, empty and kept")
            });
            let lingers = state == State::TurnedAway && !closed;
            page.hold(!lingers, || {
                format!("tunnel {number} was to be turned away and stays")
            });
            let told = !there || (heard > 0) == relay_drains;
            page.hold(told, || format!("tunnel {number} heard of {heard} drains"));
        }
    }

    /// Whether the caller is on a tunnel whose session lives.
    pub(super) fn rides(&self, number: usize) -> bool {
        let page = self.page.lock();
        let aboard = page.callers[number].aboard;
        let lives = aboard.is_some_and(|tunnel| page.tunnels[tunnel].state != State::Gone);
        drop(page);
        lives
    }

    /// Holds that every caller has heard what became of it.
    pub(super) fn hold_nobody_waits(&self) {
        let mut page = self.page.lock();
        let waiting = page
            .callers
            .iter()
            .position(|caller| !caller.over && !caller.gave_up);
        page.hold(waiting.is_none(), || {
            format!("caller {waiting:?} never heard what became of it")
        });
    }
}

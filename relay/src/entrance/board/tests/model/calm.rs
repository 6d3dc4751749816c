//! How tunnels end, and what is looked at when nothing moves any more.

use gangplank_tunnel::wire::CloseCode;
use tokio::time::Instant;

use super::{Model, State};

impl Model {
    /// The relay closes a session.
    pub(crate) fn closed_by_relay(&self, number: usize, code: CloseCode) {
        let now = Instant::now();
        let mut world = self.world.lock();
        let relay_drains = world.relay_drains;
        let tunnel = &mut world.tunnels[number];
        tunnel.closed = true;
        let (state, load) = (tunnel.state, tunnel.load);
        let revoked = world.revoked.contains(&world.tunnels[number].paper);
        let beaten = world.beaten_by_one_that_just_went(number);
        let right = match state {
            // While the relay drains its agent may leave beside that.
            State::Superseded => load == 0 && (code == CloseCode::Superseded || relay_drains),
            State::Leaving(until) => (load == 0 || now >= until) && code == CloseCode::GoingAway,
            State::TurnedAway => revoked || code == CloseCode::Superseded,
            State::Gone => revoked || code == CloseCode::Done,
            State::Dialled => false,
            State::Serving => beaten && code == CloseCode::Superseded,
        };
        world.hold(right, || {
            format!("tunnel {number}, which is {state:?} with {load} streams, was closed: {code:?}")
        });
        match state {
            State::Superseded | State::Leaving(_) => world.tunnels[number].turn(State::Gone),
            State::Serving => world.tunnels[number].turn(State::TurnedAway),
            _ => {}
        }
    }

    /// Holds what must be true whenever the relay has had its time.
    pub(crate) fn hold_calm(&self) {
        let mut world = self.world.lock();
        let relay_drains = world.relay_drains;
        for number in 0..world.tunnels.len() {
            let tunnel = &world.tunnels[number];
            let (state, load, closed) = (tunnel.state, tunnel.load, tunnel.closed);
            let heard = tunnel.drains_heard;
            let there = matches!(
                state,
                State::Serving | State::Superseded | State::Leaving(_)
            );
            let kept = matches!(state, State::Superseded | State::Leaving(_))
                && load == 0
                && !relay_drains;
            world.hold(!kept, || {
                format!("tunnel {number} is {state:?}, empty and kept")
            });
            let lingers = state == State::TurnedAway && !closed;
            world.hold(!lingers, || {
                format!("tunnel {number} was to be turned away and stays")
            });
            let told = !there || (heard > 0) == relay_drains;
            world.hold(told, || format!("tunnel {number} heard of {heard} drains"));
        }
    }

    /// Whether the caller is on a tunnel whose session lives.
    pub(crate) fn rides(&self, number: usize) -> bool {
        let world = self.world.lock();
        let aboard = world.callers[number].aboard;
        let lives = aboard.is_some_and(|tunnel| world.tunnels[tunnel].state != State::Gone);
        drop(world);
        lives
    }

    /// Holds that every caller has heard what became of it.
    pub(crate) fn hold_nobody_waits(&self) {
        let mut world = self.world.lock();
        let waiting = world
            .callers
            .iter()
            .position(|caller| !caller.over && !caller.gave_up);
        world.hold(waiting.is_none(), || {
            format!("caller {waiting:?} never heard what became of it")
        });
    }
}

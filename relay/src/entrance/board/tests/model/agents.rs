//! What agents and the relay's owner do.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::{Model, Place, State, Tunnel};

impl Model {
    /// An agent has done its handshake; answers the tunnel's number, or nothing if it is revoked.
    pub(crate) fn dial(&self, place: Place, paper: usize) -> Option<usize> {
        let mut world = self.world.lock();
        if world.revoked.contains(&paper) {
            return None;
        }
        world.tunnels.push(Tunnel {
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
        Some(world.tunnels.len() - 1)
    }

    /// It says its hello: the newest of a place serves, the one before is superseded, an older is turned away.
    pub(crate) fn greet(&self, number: usize) {
        let mut world = self.world.lock();
        let place = world.tunnels[number].place;
        if world.tunnels[number].state != State::Dialled {
            return;
        }
        if world.revoked.contains(&world.tunnels[number].paper) {
            world.tunnels[number].turn(State::TurnedAway);
            return;
        }
        let held = world
            .tunnels
            .iter_mut()
            .find(|tunnel| tunnel.serves() && tunnel.place.is_same(place));
        if let Some(held) = held {
            if held.place.epoch > place.epoch {
                world.tunnels[number].turn(State::TurnedAway);
                return;
            }
            held.turn(State::Superseded);
        }
        world.tunnels[number].turn(State::Serving);
        world.proven[place.name].get_or_insert_with(Instant::now);
    }

    /// Its agent says that it drains.
    pub(crate) fn leave(&self, number: usize, limit: Duration) {
        let tunnel = &mut self.world.lock().tunnels[number];
        if matches!(tunnel.state, State::Serving) {
            tunnel.turn(State::Leaving(Instant::now() + limit));
        }
    }

    /// Its session ends by the agent's doing.
    pub(crate) fn go(&self, number: usize) {
        self.world.lock().tunnels[number].turn(State::Gone);
    }

    pub(crate) fn revoke(&self, paper: usize) {
        let mut world = self.world.lock();
        world.revoked.insert(paper);
        for tunnel in &mut world.tunnels {
            let there = !matches!(
                tunnel.state,
                State::Dialled | State::TurnedAway | State::Gone
            );
            if tunnel.paper == paper && there {
                tunnel.turn(State::Gone);
            }
        }
    }

    pub(crate) fn drain_relay(&self) {
        self.world.lock().relay_drains = true;
    }

    /// An agent hears that the relay drains.
    pub(crate) fn hear_drain(&self, number: usize) {
        self.world.lock().tunnels[number].drains_heard += 1;
    }

    pub(crate) fn state(&self, number: usize) -> State {
        self.world.lock().tunnels[number].state
    }

    /// The tunnels that must be registered.
    pub(crate) fn serving(&self) -> BTreeSet<Place> {
        let world = self.world.lock();
        let serving = world.tunnels.iter().filter(|tunnel| tunnel.serves());
        let places = serving.map(|tunnel| tunnel.place).collect();
        drop(world);
        places
    }
}

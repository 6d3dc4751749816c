//! Which tunnels there are, and which of them takes the next caller.
//!
//! Tunnels of one name share load when they are of different instances (an agent's replicas) or slots
//! (several connections of one agent). Within one (name, instance, slot) there is one: the one of the
//! newest epoch. An older one is superseded, which means that it gets no *new* streams; those that run
//! on it run on. A tunnel leaves only by its own session's number, so that a session that ends late
//! never takes its successor along.
//!
//! One mutex, never held across an await; a snapshot for everyone who only looks. The registry knows
//! nothing of the transport: the session is a type parameter, and the tests put a word there.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use gangplank_pki::TunnelName;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod tunnel;

pub(crate) use tunnel::{Berth, Slot, Tunnel};

/// Most tunnels in all: ten thousand agents, and room for those that renew or have replicas. An idle one is
/// meant to cost at most 40 KiB, nearly all of it QUIC state; then all of them fit in 640 MiB.
const MOST_TUNNELS: usize = 16 * 1024;

/// Most tunnels of one name: sixteen replicas with two connections each, twice over while they renew; or with four
/// each, where they come over TCP.
const MOST_OF_ONE_NAME: usize = 64;

/// Most tunnels of one name that were superseded or withdrawn and still carry callers: sixteen replicas
/// with two connections each, renewed four times while the first callers are still on board. An agent
/// that redials for ever would otherwise hold as many sessions as it likes. Past it the one that left
/// first ends.
const MOST_DEPARTING_OF_ONE_NAME: usize = 128;

/// Most names remembered, with tunnels or without. Only names that an agent proved by certificate
/// get in. When it is full the names that are offline are forgotten, and then look unknown: with four
/// times as many as tunnels that takes an account that makes names up. 150 bytes each, 10 MiB in all.
const MOST_NAMES: usize = 4 * MOST_TUNNELS;

/// Why a tunnel was not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RegisterError {
    /// The same slot of the same instance already has a newer tunnel: a dial that was overtaken.
    #[error("epoch {offered} is older than {held}, which this slot has already")]
    Outdated {
        /// The epoch of the registered tunnel.
        held: u64,
        /// The epoch that was refused.
        offered: u64,
    },
    /// Too many tunnels of this name.
    #[error("{MOST_OF_ONE_NAME} tunnels of this name are registered, which is the most")]
    TooManyOfOneName,
    /// Too many tunnels.
    #[error("{MOST_TUNNELS} tunnels are registered, which is the most")]
    TooMany,
}

impl RegisterError {
    /// The word for metrics and logs.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Outdated { .. } => "OutdatedEpoch",
            Self::TooManyOfOneName => "TooManyTunnelsOfOneName",
            Self::TooMany => "TooManyTunnels",
        }
    }
}

/// What the registry knows about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has a tunnel.
    Online,
    /// It had one since the relay started.
    Offline,
    /// Never heard of.
    Unknown,
}

/// Who takes the next caller.
#[derive(Debug)]
pub(crate) enum Choice<S> {
    /// This one.
    Berth(Berth<S>),
    /// There are tunnels, and as many callers as may are boarding each of them.
    Full,
    /// There is none, or none that was not tried.
    None,
}

/// The registry. Cheap to clone; all clones are the same.
#[derive(Debug)]
pub(crate) struct Registry<S> {
    names: Arc<Mutex<Names<S>>>,
    /// Rises with each registration; who waits for a tunnel watches it.
    arrivals: watch::Sender<u64>,
}

impl<S> Clone for Registry<S> {
    fn clone(&self) -> Self {
        Self {
            names: Arc::clone(&self.names),
            arrivals: self.arrivals.clone(),
        }
    }
}

impl<S> Default for Registry<S> {
    fn default() -> Self {
        Self {
            names: Arc::default(),
            arrivals: watch::Sender::new(0),
        }
    }
}

#[derive(Debug)]
struct Names<S> {
    by_name: HashMap<TunnelName, Vec<Arc<Tunnel<S>>>>,
    /// Those that get no new callers and may still carry some, in the order in which they left.
    departing: Vec<Weak<Tunnel<S>>>,
    tunnels: usize,
    next_session: u64,
    boardings: u64,
}

impl<S> Default for Names<S> {
    fn default() -> Self {
        Self {
            by_name: HashMap::new(),
            departing: Vec::new(),
            tunnels: 0,
            next_session: 0,
            boardings: 0,
        }
    }
}

/// A registered tunnel's membership, ended when dropped.
#[derive(Debug)]
pub(crate) struct Registration<S> {
    tunnel: Arc<Tunnel<S>>,
    registry: Registry<S>,
}

impl<S> Registry<S> {
    /// Makes the tunnel available to callers, and supersedes the older one of the same slot.
    ///
    /// # Errors
    ///
    /// When the slot has a newer tunnel, or a bound is reached.
    pub(crate) fn register(
        &self,
        name: TunnelName,
        slot: Slot,
        session: S,
    ) -> Result<Registration<S>, RegisterError> {
        let mut names = self.names.lock();
        names.forget_offline_names_when_full();
        let superseded = names.place_for(&name, slot)?;
        if let Some(older) = superseded {
            names.remove(&name, older);
        }
        let id = names.next_session;
        names.next_session += 1;
        names.tunnels += 1;
        let tunnel = Arc::new(Tunnel::new(id, name.clone(), slot, session));
        names
            .by_name
            .entry(name)
            .or_default()
            .push(Arc::clone(&tunnel));
        drop(names);
        self.arrivals
            .send_modify(|count| *count = count.wrapping_add(1));
        Ok(Registration {
            tunnel,
            registry: self.clone(),
        })
    }

    /// The tunnel of this name that takes the next caller: not in doubt before in doubt, the fewest
    /// open streams, and among equals the one that boarded longest ago. Those in `tried` are passed
    /// over. The caller counts as on board until the [`Berth`] is dropped.
    pub(crate) fn choose(&self, name: &TunnelName, tried: &[u64], now: Instant) -> Choice<S> {
        let mut names = self.names.lock();
        let boarding = names.boardings.wrapping_add(1);
        names.boardings = boarding;
        let tunnels = names
            .by_name
            .get(name)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut untried: Vec<_> = tunnels
            .iter()
            .filter(|tunnel| !tried.contains(&tunnel.id()))
            .collect();
        if untried.is_empty() {
            return Choice::None;
        }
        untried.sort_by_cached_key(|tunnel| tunnel.burden(now));
        untried
            .into_iter()
            .find_map(|tunnel| Berth::take(tunnel, boarding))
            .map_or(Choice::Full, Choice::Berth)
    }

    /// What is known about the name.
    pub(crate) fn standing(&self, name: &TunnelName) -> Standing {
        match self.names.lock().by_name.get(name) {
            Some(tunnels) if !tunnels.is_empty() => Standing::Online,
            Some(_) => Standing::Offline,
            None => Standing::Unknown,
        }
    }

    /// Tells of every registration from now on.
    pub(crate) fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    /// How many tunnels are registered.
    pub(crate) fn count(&self) -> usize {
        self.names.lock().tunnels
    }

    /// All registered tunnels, in no order.
    pub(crate) fn tunnels(&self) -> Vec<Arc<Tunnel<S>>> {
        self.names
            .lock()
            .by_name
            .values()
            .flatten()
            .map(Arc::clone)
            .collect()
    }

    /// The same, and those that get no new callers and are not at their end yet.
    pub(crate) fn tunnels_and_departing(&self) -> Vec<Arc<Tunnel<S>>> {
        let mut tunnels = self.tunnels();
        // A tunnel that leaves in between is seen twice; one that is in neither place does not exist.
        let names = self.names.lock();
        tunnels.extend(names.departing.iter().filter_map(Weak::upgrade));
        drop(names);
        tunnels
    }
}

impl<S> Names<S> {
    /// Whether a tunnel may be registered there; `Some` is the session that it supersedes.
    fn place_for(&self, name: &TunnelName, slot: Slot) -> Result<Option<u64>, RegisterError> {
        let of_name = self
            .by_name
            .get(name)
            .map(Vec::as_slice)
            .unwrap_or_default();
        if let Some(held) = of_name
            .iter()
            .find(|tunnel| tunnel.slot().is_same_place(slot))
        {
            let held_epoch = held.slot().epoch;
            // The same epoch twice is an agent that lost count; the later handshake is the live one.
            if held_epoch > slot.epoch {
                return Err(RegisterError::Outdated {
                    held: held_epoch,
                    offered: slot.epoch,
                });
            }
            return Ok(Some(held.id()));
        }
        if of_name.len() >= MOST_OF_ONE_NAME {
            return Err(RegisterError::TooManyOfOneName);
        }
        if self.tunnels >= MOST_TUNNELS {
            return Err(RegisterError::TooMany);
        }
        Ok(None)
    }

    fn remove(&mut self, name: &TunnelName, id: u64) {
        let Some(tunnels) = self.by_name.get_mut(name) else {
            return;
        };
        if let Some(place) = tunnels.iter().position(|tunnel| tunnel.id() == id) {
            let leaving = tunnels.swap_remove(place);
            self.tunnels -= 1;
            leaving.withdrawn().cancel();
            self.see_off(&leaving);
        }
    }

    /// Remembers a tunnel until it is gone, and ends the oldest of its name when they are too many.
    fn see_off(&mut self, leaving: &Arc<Tunnel<S>>) {
        self.departing.retain(|tunnel| tunnel.strong_count() > 0);
        let same_name: Vec<_> = self
            .departing
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|tunnel| tunnel.name() == leaving.name() && !tunnel.cut_short().is_cancelled())
            .collect();
        if let Some(oldest) = same_name.first()
            && same_name.len() >= MOST_DEPARTING_OF_ONE_NAME
        {
            oldest.cut_short().cancel();
        }
        self.departing.push(Arc::downgrade(leaving));
    }

    fn forget_offline_names_when_full(&mut self) {
        if self.by_name.len() >= MOST_NAMES {
            self.by_name.retain(|_, tunnels| !tunnels.is_empty());
        }
    }
}

impl<S> Registration<S> {
    /// The registered tunnel.
    pub(crate) fn tunnel(&self) -> &Arc<Tunnel<S>> {
        &self.tunnel
    }

    /// Cancelled when the tunnel gets no new streams any more, because a newer one took its slot.
    pub(crate) fn superseded(&self) -> &CancellationToken {
        self.tunnel.withdrawn()
    }
}

impl<S> Drop for Registration<S> {
    fn drop(&mut self) {
        self.registry
            .names
            .lock()
            .remove(self.tunnel.name(), self.tunnel.id());
    }
}

#[cfg(test)]
mod tests;

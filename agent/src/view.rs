//! The agent seen from outside: for readiness and status, without any power over it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gangplank_config::{Anchors, KeyPair, Reloaded};
use gangplank_tunnel::{Closed, Session, Traffic};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::renewal::{RenewalNote, RenewalView};

/// A look at a running agent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AgentView {
    tunnels: Arc<[TunnelNote]>,
    identity: Reloaded<KeyPair>,
    authorities: Arc<[Reloaded<Anchors>]>,
    renewal: Option<RenewalNote>,
}

/// The tunnel to one relay at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelView {
    /// The relay, as `host:port`.
    pub relay: Arc<str>,
    /// How it stands.
    pub state: TunnelState,
    /// Why the last attempt failed or the last session ended, if one did.
    pub last_fault: Option<String>,
}

/// How the tunnel to a relay stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TunnelState {
    /// There is none; the next attempt is under way or waits its turn.
    Down,
    /// Callers can come.
    Up {
        /// Which dial of this process it is.
        epoch: u64,
        /// What carries it, such as `quic`.
        transport: &'static str,
        /// Where the relay is.
        remote: SocketAddr,
        /// The domain below which callers find this tunnel.
        entrance_domain: String,
        /// Since it stands.
        age: Duration,
        /// The transport's estimate.
        round_trip_time: Duration,
        /// Callers on board.
        open_streams: usize,
        /// What went over the network.
        traffic: Traffic,
    },
}

impl AgentView {
    pub(crate) fn new(
        relays: impl Iterator<Item = (TunnelNote, Reloaded<Anchors>)>,
        identity: Reloaded<KeyPair>,
        renewal: Option<RenewalNote>,
    ) -> Self {
        let (tunnels, authorities): (Vec<_>, Vec<_>) = relays.unzip();
        Self {
            tunnels: tunnels.into(),
            identity,
            authorities: authorities.into(),
            renewal,
        }
    }

    /// How renewing the certificate goes, if this agent does that.
    pub fn renewal(&self) -> Option<RenewalView> {
        self.renewal.as_ref()?.look()
    }

    /// The certificate that is in force, which is not that of its file when somebody has broken the file.
    pub fn key_pair(&self) -> Arc<KeyPair> {
        self.identity.current()
    }

    /// The authorities of each relay that are in force, in the order of the agent's file.
    pub fn authorities(&self) -> Vec<Arc<Anchors>> {
        self.authorities.iter().map(Reloaded::current).collect()
    }

    /// One entry a relay, in the order of the agent's file.
    pub fn tunnels(&self) -> Vec<TunnelView> {
        self.tunnels.iter().map(TunnelNote::look).collect()
    }

    /// Whether callers can come through at least one relay.
    pub fn connected(&self) -> bool {
        self.tunnels
            .iter()
            .any(|tunnel| tunnel.state.lock().standing.is_some())
    }
}

/// What is seen of the tunnel to one relay: its newest session. Its dialler and the session's own task note it.
#[derive(Debug, Clone)]
pub(crate) struct TunnelNote {
    relay: Arc<str>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    standing: Option<Standing>,
    last_fault: Option<String>,
}

/// A session that was welcomed.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) session: Arc<dyn Session>,
    pub(crate) epoch: u64,
    pub(crate) entrance_domain: String,
    pub(crate) since: Instant,
}

impl TunnelNote {
    pub(crate) fn of(relay: Arc<str>) -> Self {
        Self {
            relay,
            state: Arc::default(),
        }
    }

    /// A newer session replaces the older one here; the older lives on until its streams have ended.
    pub(crate) fn stands(&self, standing: Standing) {
        let mut state = self.state.lock();
        state.standing = Some(standing);
        state.last_fault = None;
    }

    /// A session has ended. Only the newest one's end is to be seen.
    pub(crate) fn ended(&self, epoch: u64, closed: &Closed) {
        let mut state = self.state.lock();
        if state
            .standing
            .as_ref()
            .is_some_and(|standing| standing.epoch == epoch)
        {
            state.standing = None;
            state.last_fault = Some(closed.to_string());
        }
    }

    /// Takes note of a failed attempt. True when it differs from the one before.
    pub(crate) fn note_fault(&self, fault: &str) -> bool {
        let mut state = self.state.lock();
        let differs = state.last_fault.as_deref() != Some(fault);
        state.last_fault = Some(fault.to_owned());
        differs
    }

    fn look(&self) -> TunnelView {
        let state = self.state.lock();
        let up = |standing: &Standing| TunnelState::Up {
            epoch: standing.epoch,
            transport: standing.session.transport(),
            remote: standing.session.remote_address(),
            entrance_domain: standing.entrance_domain.clone(),
            age: standing.since.elapsed(),
            round_trip_time: standing.session.round_trip_time(),
            open_streams: standing.session.open_streams(),
            traffic: standing.session.traffic(),
        };
        TunnelView {
            relay: Arc::clone(&self.relay),
            state: state.standing.as_ref().map_or(TunnelState::Down, up),
            last_fault: state.last_fault.clone(),
        }
    }
}

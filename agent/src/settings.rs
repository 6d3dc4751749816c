//! What an agent needs to know.

use std::fmt;
use std::path::PathBuf;

use gangplank_config::HttpProxy;
use gangplank_config::material::{Anchors, KeyPair, Material};
use gangplank_config::role;
use gangplank_config::role::Drain;
use gangplank_config::role::agent::Transport;
use gangplank_tunnel::quic::CongestionControl;

/// What an agent needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The relays to hold a session to.
    pub relays: Vec<Relay>,
    /// The agent's certificate, which carries the tunnel's name, and its key.
    pub identity: Material<KeyPair>,
    /// The file of both, if the agent is to renew the certificate.
    pub renewal: Option<PathBuf>,
    /// How fast it sends over QUIC.
    pub congestion_control: CongestionControl,
    /// How to end.
    pub drain: Drain,
}

/// One relay, as it is dialled.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Its host: a DNS name, looked up at every attempt, or an address.
    pub host: String,
    /// Its port, UDP and TCP.
    pub port: u16,
    /// The name its certificate must carry.
    pub server_name: String,
    /// The authorities its certificate may come from.
    pub authorities: Material<Anchors>,
    /// What carries the tunnel.
    pub transport: Transport,
    /// The HTTP proxy on the way to its TCP port, if there is one.
    pub proxy: Option<HttpProxy>,
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl From<&role::agent::Agent> for Settings {
    fn from(agent: &role::agent::Agent) -> Self {
        Self {
            relays: agent.relays.iter().map(Relay::from).collect(),
            identity: agent.tunnel.clone(),
            renewal: agent.renewal.clone(),
            congestion_control: match agent.congestion_control {
                role::CongestionControl::DeliveryRate => CongestionControl::DeliveryRate,
                role::CongestionControl::Cubic => CongestionControl::Cubic,
                role::CongestionControl::Bbr => CongestionControl::Bbr,
            },
            drain: agent.drain,
        }
    }
}

impl From<&role::agent::RelayTarget> for Relay {
    fn from(target: &role::agent::RelayTarget) -> Self {
        Self {
            host: target.address.host().to_owned(),
            port: target.address.port(),
            server_name: target.server_name.to_str().into_owned(),
            authorities: target.authorities.clone(),
            transport: target.transport,
            proxy: target.proxy.clone(),
        }
    }
}

//! What each agent is made of: a name and a certificate of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use gangplank_agent::{Relay, Settings};
use gangplank_config::role::Drain;
use gangplank_config::role::agent::Transport;
use gangplank_config::{Anchors, KeyPair, Material};
use gangplank_pki::clock::{Clock as _, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Kind, Request};
use gangplank_pki::{TrustAnchor, TunnelName, pem};
use gangplank_tunnel::quic::CongestionControl;

use super::Job;
use crate::papers::RELAY;

/// A run ends the same day.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Where agents are made.
pub(super) struct Shipyard {
    authority: CertificateAuthority,
    relays: Anchors,
    relay: SocketAddr,
}

impl Shipyard {
    pub(super) fn open(job: &Job) -> anyhow::Result<Self> {
        let read =
            |path: &Path| fs::read_to_string(path).with_context(|| path.display().to_string());
        let (certificate, key) = (read(&job.authority.0)?, read(&job.authority.1)?);
        let relays = pem::certificates(read(&job.relay_authority)?.as_bytes())?;
        let relays: Result<Vec<_>, _> = relays
            .iter()
            .map(|der| TrustAnchor::parse(der.clone()))
            .collect();
        Ok(Self {
            authority: CertificateAuthority::load(&certificate, &key)?,
            relays: Anchors::new(relays?),
            relay: job.relay,
        })
    }

    /// What the agent of this number is: a cluster of its own, otherwise as by default.
    pub(super) fn settings(&self, number: u32) -> anyhow::Result<Settings> {
        let tunnel = TunnelName::parse(&format!("berth-{number}.flotilla"))?;
        let issued = self.authority.issue(&Request {
            kind: Kind::Agent { tunnel },
            lifetime: LIFETIME,
            now: SystemClock.now(),
        })?;
        let chain = pem::certificates(issued.cert_pem.as_bytes())?;
        let key = pem::private_key(issued.key_pem.as_bytes())?;
        let relay = Relay {
            host: self.relay.ip().to_string(),
            port: self.relay.port(),
            server_name: RELAY.to_owned(),
            authorities: Material::fixed(self.relays.clone()),
            transport: Transport::default(),
            proxy: None,
        };
        Ok(Settings {
            relays: vec![relay],
            identity: Material::fixed(KeyPair::new(chain, key)?),
            renewal: None,
            congestion_control: CongestionControl::default(),
            drain: Drain::default(),
        })
    }
}

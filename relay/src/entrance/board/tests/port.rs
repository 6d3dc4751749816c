//! What every sequence has in common: names, agents' certificates, and the relay's files.

use std::sync::Arc;
use std::time::Duration;

use gangplank_config::role;
use gangplank_enrolment::{Known, Revoked};
use gangplank_pki::clock::{Clock, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Issued, Kind, Request};
use gangplank_pki::peer::AgentVerifier;
use gangplank_pki::{EntranceDomain, Fingerprint, TunnelName};
use gangplank_tunnel::{Ledger, Session};
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::model::Place;
use super::voyage::chain;
use crate::identity::TunnelIdentity;
use crate::metrics::Counters;
use crate::registry::{Registry, Slot};
use crate::tunnels::Host;

/// Clusters whose names are nearly one another's.
pub(super) const NAMES: [&str; 3] = ["a.acme", "aa.acme", "a.acme2"];

/// A cluster that no agent ever serves.
pub(super) const NOBODY: &str = "b.acme";

/// Certificates of each cluster.
pub(super) const PAPERS: usize = 2;

/// Long after the end of any sequence.
const DRAIN_LIMIT: Duration = Duration::from_secs(3600);

pub(super) struct Port {
    /// Those of [`NAMES`], and last [`NOBODY`].
    pub(super) names: Vec<TunnelName>,
    /// Agents' certificates: [`PAPERS`] of the first name, as many of the next, and so on.
    pub(super) chains: Vec<Vec<CertificateDer<'static>>>,
    pub(super) clock: Arc<dyn Clock>,
    identity: TunnelIdentity,
    revoked: watch::Sender<Arc<Revoked>>,
    _files: TempDir,
}

impl Port {
    pub(super) fn new() -> Self {
        let parse = |name: &&str| TunnelName::parse(name).expect("a name");
        let names: Vec<_> = NAMES.iter().chain(&[NOBODY]).map(parse).collect();
        let files = tempfile::tempdir().expect("a folder");
        let authority = |name| CertificateAuthority::create(name, 10, SystemClock.now());
        let (relays, agents) = (authority("relays"), authority("agents"));
        let (relays, agents) = (relays.expect("a CA"), agents.expect("a CA"));
        let hosts = vec!["relay.example.com".to_owned()];
        let relay = issue(&relays, Kind::Relay { hosts });
        for (file, text) in [
            ("relay.crt", relay.cert_pem.as_str()),
            ("relay.key", &relay.key_pem),
            ("agents-ca.crt", agents.certificate_pem()),
            (
                "relay.yaml",
                "listen: 127.0.0.1:0\ndomain: tunnels.example.com\ntunnel: { serverName: relay.example.com, \
                 certificateFile: relay.crt, keyFile: relay.key, clientCAFile: agents-ca.crt }\n",
            ),
        ] {
            std::fs::write(files.path().join(file), text).expect("written");
        }
        let config = role::relay::load(&files.path().join("relay.yaml")).expect("a relay's file");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let read = TunnelIdentity::read(&config.tunnel, &Known::default(), Arc::clone(&clock));
        let (identity, _) = read.expect("its identity");
        let revoked = watch::Sender::default();
        let identity = identity.with_revoked(revoked.subscribe());
        let chains = (0..NAMES.len() * PAPERS).map(|paper| {
            let tunnel = names[paper / PAPERS].clone();
            chain(&issue(&agents, Kind::Agent { tunnel }).cert_pem)
        });
        Self {
            chains: chains.collect(),
            names,
            clock,
            identity,
            revoked,
            _files: files,
        }
    }

    /// A host of tunnels, by which nobody is revoked yet.
    pub(super) fn host(&self, registry: Registry<Arc<dyn Session>>, counters: Counters) -> Host {
        self.revoked.send_replace(Arc::default());
        Host {
            registry,
            ledger: Ledger::new(64),
            counters,
            identity: self.identity.clone(),
            relay_instance: 1,
            domain: EntranceDomain::parse("tunnels.example.com").expect("a domain"),
            drain: CancellationToken::new(),
            drain_limit: DRAIN_LIMIT,
        }
    }

    /// The certificate of a cluster with that number.
    pub(super) fn paper_of(name: usize, paper: usize) -> usize {
        name * PAPERS + paper % PAPERS
    }

    /// Revokes it too, and answers who judges from now on.
    pub(super) fn revoke(&self, paper: usize) -> AgentVerifier {
        let leaf = self.chains[paper].first().expect("a leaf");
        self.revoked.send_modify(|revoked| {
            let mut more = Revoked::clone(revoked);
            more.insert(Fingerprint::of(leaf));
            *revoked = Arc::new(more);
        });
        self.identity.verifier().expect("an authority")
    }

    /// Where the relay has registered a tunnel.
    pub(super) fn place(&self, name: &TunnelName, slot: Slot) -> Place {
        let known = self.names.iter().position(|known| known == name);
        Place {
            name: known.expect("one of ours"),
            instance: slot.instance,
            slot: slot.slot,
            epoch: slot.epoch,
        }
    }
}

fn issue(authority: &CertificateAuthority, kind: Kind) -> Issued {
    let lifetime = Duration::from_secs(3600);
    let now = SystemClock.now();
    let request = Request {
        kind,
        lifetime,
        now,
    };
    authority.issue(&request).expect("issued")
}

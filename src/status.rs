//! What `gangplank status` shows: the same structure in the running role, on the wire and at the terminal.

use std::time::Duration;

use gangplank_config::{Anchors, KeyPair};
use gangplank_pki::clock::{Clock as _, SystemClock, rfc3339};
use gangplank_pki::inspect::inspect_der;
use gangplank_pki::{Fingerprint, Provider, TrustAnchor};
use gangplank_tunnel::Traffic;
use rustls_pki_types::UnixTime;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A running role as it sees itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    /// `relay`, `agent`, `proxy` or `controller`.
    pub(crate) role: String,
    /// The program's version.
    pub(crate) version: String,
    /// How long it runs.
    pub(crate) uptime_seconds: u64,
    /// Why it takes no callers; empty when it does.
    pub(crate) unready: Vec<String>,
    /// What is degraded, though it takes callers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    /// The relay's part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) relay: Option<RelayStatus>,
    /// The agent's part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<AgentStatus>,
    /// The exit's part, of agent and proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit: Option<ExitStatus>,
    /// The controller's part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) controller: Option<ControllerStatus>,
    /// The certificates it shows others, and the authorities by which it knows who is at the other end of a tunnel.
    pub(crate) certificates: Vec<CertificateStatus>,
}

/// A controller among its replicas, and its objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ControllerStatus {
    /// `leads`, `stands by`, or `alone` where there is no election.
    pub(crate) standing: String,
    /// Who leads, if another one is known to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) leader: Option<String>,
    /// The objects of each kind; none while it stands by.
    pub(crate) objects: Vec<ObjectsStatus>,
}

/// The objects of a kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObjectsStatus {
    /// The kind.
    pub(crate) kind: String,
    /// How many do what they say.
    pub(crate) ready: usize,
    /// How many do not.
    pub(crate) unready: usize,
    /// How many could not be worked on and are tried again.
    pub(crate) failing: usize,
}

/// The tunnels of a relay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RelayStatus {
    /// Where callers and agents connect.
    pub(crate) listen: String,
    /// Entrances are `<cluster>.<account>.<domain>`.
    pub(crate) domain: String,
    /// Where tokens, certificates and revocations are kept, if clusters may join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) register: Option<RegisterStatus>,
    /// The registered tunnels.
    pub(crate) tunnels: Vec<TunnelStatus>,
    /// Clusters that had a tunnel since the relay started, and have none now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) offline: Vec<OfflineStatus>,
}

/// The register of a relay where clusters may join.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegisterStatus {
    /// `file` and its path, or `etcd` with its members and the prefix.
    pub(crate) place: String,
    /// For how long it has not been followed, when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lost_seconds: Option<u64>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
}

/// A cluster without a tunnel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfflineStatus {
    /// `<cluster>.<account>`.
    pub(crate) name: String,
    /// Why its last tunnel ended, in a word.
    pub(crate) last_error: String,
    /// How long ago.
    pub(crate) since_seconds: u64,
}

/// What a tunnel has moved over the network, seen from the role that is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrafficStatus {
    /// Bytes sent.
    pub(crate) sent_bytes: u64,
    /// Bytes received.
    pub(crate) received_bytes: u64,
    /// Datagrams sent and lost on the way; none over TCP.
    pub(crate) lost_datagrams: u64,
}

impl From<Traffic> for TrafficStatus {
    fn from(traffic: Traffic) -> Self {
        Self {
            sent_bytes: traffic.sent,
            received_bytes: traffic.received,
            lost_datagrams: traffic.datagrams_lost,
        }
    }
}

/// One tunnel as the relay sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TunnelStatus {
    /// `<cluster>.<account>`.
    pub(crate) name: String,
    /// Which replica of the agent.
    pub(crate) instance: String,
    /// Which of its connections.
    pub(crate) slot: u16,
    /// `quic`.
    pub(crate) transport: String,
    /// The agent's address.
    pub(crate) remote: String,
    /// How long it is registered.
    pub(crate) age_seconds: u64,
    /// Round trip in microseconds, once measured.
    pub(crate) rtt_micros: Option<u64>,
    /// Callers' connections on it now.
    pub(crate) streams: u64,
    /// What it has moved.
    #[serde(default)]
    pub(crate) traffic: TrafficStatus,
    /// Why the cluster's last tunnel that ended did, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
}

/// The sessions of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentStatus {
    /// The tunnel's name.
    pub(crate) tunnel: String,
    /// One entry a relay.
    pub(crate) relays: Vec<RelaySessionStatus>,
    /// How renewing the agent's certificate goes, if the agent does that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) renewal: Option<RenewalStatus>,
}

/// How renewing an agent's certificate goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RenewalStatus {
    /// When two thirds of the present certificate's life are over.
    pub(crate) next: String,
    /// Whether that is past, so that it is being tried.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) due: bool,
    /// Why the last attempt failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
}

/// An agent's session with one relay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RelaySessionStatus {
    /// As written in the agent's file.
    pub(crate) relay: String,
    /// `up` with its transport, or `down`.
    pub(crate) state: String,
    /// How long it is up.
    pub(crate) age_seconds: Option<u64>,
    /// Round trip in microseconds, once measured.
    pub(crate) rtt_micros: Option<u64>,
    /// Callers' connections on it now.
    pub(crate) streams: u64,
    /// What it has moved.
    #[serde(default)]
    pub(crate) traffic: TrafficStatus,
    /// What went wrong last, if anything did.
    pub(crate) last_error: Option<String>,
}

/// The exit: who is trusted, and where requests go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExitStatus {
    /// The API server.
    pub(crate) upstream: String,
    /// The trust bundle.
    pub(crate) bundle: BundleStatus,
}

/// The trust bundle as it is in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BundleStatus {
    /// Grows with each change.
    pub(crate) generation: u64,
    /// Who is trusted.
    pub(crate) providers: Vec<ProviderStatus>,
    /// What was written but is not in force, and why.
    pub(crate) faults: Vec<String>,
}

/// One provider in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProviderStatus {
    /// `namespace/name` of its object.
    pub(crate) name: String,
    /// What its usernames begin with.
    pub(crate) prefix: String,
    /// Its authorities.
    pub(crate) authorities: Vec<CertificateStatus>,
    /// The revocation lists in force, of each authority that has one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) revocation_lists: Vec<RevocationListStatus>,
    /// How many certificates are denied by name.
    #[serde(default)]
    pub(crate) denied: usize,
}

/// A revocation list and until when it is current.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevocationListStatus {
    /// The subject of its authority.
    pub(crate) authority: String,
    /// Its number in hexadecimal, if it has one.
    pub(crate) number: Option<String>,
    /// How many certificates it revokes.
    pub(crate) revoked: usize,
    /// The last moment before its successor is overdue.
    pub(crate) next_update: String,
}

/// A certificate and until when it is good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CertificateStatus {
    /// What it is for, or of a caller's authority its subject.
    pub(crate) name: String,
    /// The subject of an authority of agents or relays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    /// SHA-256 of it.
    pub(crate) fingerprint: String,
    /// Its last moment.
    pub(crate) not_after: String,
    /// Whether that is past.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) expired: bool,
    /// Its last moment in seconds since 1970, for the metric.
    #[serde(skip)]
    pub(crate) last_second: u64,
    /// What to do when it is over, where that is not to replace its files.
    #[serde(skip)]
    pub(crate) remedy: Option<String>,
    /// Whether its successor is due: it is one of our own, and less than a quarter of its life is left. What renews
    /// itself has done so at a third.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) due: bool,
}

impl Status {
    /// What every role says of itself; the role adds its own part.
    pub(crate) fn of_role(role: &str, since: Instant, unready: Vec<String>) -> Self {
        Self {
            role: role.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: since.elapsed().as_secs(),
            unready,
            warnings: Vec::new(),
            relay: None,
            agent: None,
            exit: None,
            controller: None,
            certificates: Vec::new(),
        }
    }
}

impl From<&TrustAnchor> for CertificateStatus {
    fn from(anchor: &TrustAnchor) -> Self {
        Self {
            name: anchor.subject_text().to_owned(),
            subject: None,
            fingerprint: anchor.fingerprint().to_string(),
            not_after: rfc3339(anchor.not_after()),
            expired: is_past(anchor.not_after()),
            last_second: anchor.not_after().as_secs(),
            due: false,
            remedy: None,
        }
    }
}

impl From<&Provider> for ProviderStatus {
    fn from(provider: &Provider) -> Self {
        let lists = provider.lists().iter().map(|list| RevocationListStatus {
            authority: list.issuer_text().to_owned(),
            number: list.number().map(|number| number.to_string()),
            revoked: list.revoked(),
            next_update: rfc3339(list.next_update()),
        });
        Self {
            name: provider.id().to_string(),
            prefix: provider.prefix().to_string(),
            authorities: provider.anchors().iter().map(Into::into).collect(),
            revocation_lists: lists.collect(),
            denied: provider.denied().len(),
        }
    }
}

/// The leaf of a key pair.
pub(crate) fn of_key_pair(name: &str, pair: &KeyPair) -> Option<CertificateStatus> {
    of_certificate(name, pair.leaf()?)
}

/// A certificate of our own.
pub(crate) fn of_certificate(name: &str, leaf: &[u8]) -> Option<CertificateStatus> {
    let summary = inspect_der(leaf)?;
    Some(CertificateStatus {
        name: name.to_owned(),
        subject: None,
        fingerprint: Fingerprint::of(leaf).to_string(),
        not_after: rfc3339(summary.not_after),
        expired: is_past(summary.not_after),
        last_second: summary.not_after.as_secs(),
        due: is_due(summary.not_before, summary.not_after, SystemClock.now()),
        remedy: None,
    })
}

/// Authorities.
pub(crate) fn of_authorities(name: &str, anchors: &Anchors) -> Vec<CertificateStatus> {
    let of_anchor = |anchor: &TrustAnchor| CertificateStatus {
        name: name.to_owned(),
        subject: Some(anchor.subject_text().to_owned()),
        ..CertificateStatus::from(anchor)
    };
    anchors.anchors().iter().map(of_anchor).collect()
}

fn is_due(from: UnixTime, until: UnixTime, now: UnixTime) -> bool {
    let life = until.as_secs().saturating_sub(from.as_secs());
    let left = until.as_secs().saturating_sub(now.as_secs());
    now <= until && left < life / 4
}

pub(crate) fn is_past(moment: UnixTime) -> bool {
    moment < SystemClock.now()
}

/// Microseconds as status shows them; nothing where nothing was measured.
pub(crate) fn micros(span: Duration) -> Option<u64> {
    (!span.is_zero()).then(|| u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use gangplank_pki::clock::at;

    use super::*;

    #[test]
    fn a_successor_is_due_in_the_last_quarter() {
        for (now, due) in [
            (0, false),
            (100, false),
            (400, false),
            (401, true),
            (500, true),
            (501, false),
        ] {
            assert_eq!(is_due(at(100), at(500), at(now)), due, "{now}");
        }
    }
}

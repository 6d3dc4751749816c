//! `gangplank relay`: the entrance.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gangplank_config::{Anchors, role};
use gangplank_pki::TunnelName;
use gangplank_pki::clock::SystemClock;
use gangplank_relay::{EnrolmentPapers, Mismatch, MismatchCrowd, MismatchView, Relay, RelayView};
use gangplank_tunnel::End;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::admin::Observed;
use crate::cli::ListenerArguments;
use crate::failure::Outcome;
use crate::role::{Stage, announce, bind_admin, run_on_runtime, start_log};
use crate::signals;
use crate::status::{
    self, CertificateStatus, OfflineStatus, RegisterStatus, RelayStatus, Status, TunnelStatus,
};

/// How long the register may be away before this relay says so: an etcd that chooses a new leader, or whose members
/// are restarted one after the other, is away for a second or two.
const REGISTER_GRACE: Duration = Duration::from_secs(5);

/// Loads the file and runs the relay until it was told to end.
pub(crate) fn run(arguments: &ListenerArguments) -> Outcome {
    let mut config = role::relay::load(&arguments.role.config)?;
    config.listen = arguments.listen.unwrap_or(config.listen);
    config.admin = arguments.role.overrides.admin_listen.or(config.admin);
    start_log(config.log, &arguments.role.overrides)?;
    run_on_runtime(|stage| serve(config, stage))
}

async fn serve(config: role::relay::Relay, stage: Stage) -> Outcome {
    let shutdown = signals::listen(&stage)?;
    let admin = bind_admin(config.admin)?;
    let mut metrics = Registry::with_prefix("gangplank");
    let domain = config.domain.to_string();
    let register = config.enrolment.as_ref();
    let register = register.map(|enrolment| enrolment.register.to_string());
    let relay = Relay::bind(config, Arc::new(SystemClock), &mut metrics)
        .await
        .map_err(anyhow::Error::new)?;
    let observed = ObservedRelay {
        view: relay.view(),
        listen: relay.local_address(),
        domain,
        register,
        since: Instant::now(),
    };
    announce(
        &stage,
        Some(relay.local_address()),
        admin,
        Arc::new(observed),
        metrics,
    );
    relay.run(shutdown.drain, shutdown.abort.cancelled()).await;
    Ok(())
}

impl ObservedRelay {
    /// What is degraded while callers are served. No reason to be out of service: an etcd that is away is away for
    /// every relay, and a balancer would send nobody anywhere.
    fn warnings(&self) -> Vec<String> {
        let lost = self.view.register_lost();
        let lost = lost.filter(|(lost, _)| *lost >= REGISTER_GRACE);
        let lost = lost.map(|(lost, why)| {
            let seconds = lost.as_secs();
            format!("revocations are those of {seconds} s ago and nobody can join: {why}")
        });
        let mismatches = self.view.mismatches();
        lost.into_iter()
            .chain(mismatches.iter().map(balancer_warning))
            .chain(self.view.mismatch_crowds().iter().map(crowd_warning))
            .collect()
    }
}

/// What the relay issues with, and is known by to agents and to etcd.
fn of_enrolment(papers: &EnrolmentPapers) -> Vec<CertificateStatus> {
    let shown = papers.etcd_client.as_deref();
    let shown = shown.and_then(|pair| status::of_key_pair("etcd client certificate", pair));
    let of_authorities = |name, held: &Option<Arc<Anchors>>| {
        let held = held.as_deref();
        held.map_or_else(Vec::new, |held| status::of_authorities(name, held))
    };
    shown
        .into_iter()
        .chain(of_authorities("issuing authority", &papers.issuing))
        .chain(of_authorities("authority of relays", &papers.of_relay))
        .chain(of_authorities("authority of etcd", &papers.of_etcd))
        .collect()
}

/// What a load balancer does otherwise than the relay's file says, for as long as it does.
fn balancer_warning(seen: &MismatchView) -> String {
    let (address, refused) = (seen.address, seen.refused);
    match seen.mismatch {
        Mismatch::Missing => format!(
            "callers from {address} are refused ({refused} lately): their connections do not begin with a PROXY header of version 2; \
             let that load balancer send it, or take its network out of proxyProtocolFrom"
        ),
        Mismatch::Unlisted => format!(
            "callers from {address} are refused ({refused} lately): their connections begin with a PROXY header; if that is your \
             load balancer list its network in proxyProtocolFrom, or let it send none"
        ),
    }
}

/// How many there are of whom it does not say more.
fn crowd_warning(crowd: &MismatchCrowd) -> String {
    let addresses = crowd.addresses;
    let what = match crowd.mismatch {
        Mismatch::Missing => "do not begin with a PROXY header of version 2",
        Mismatch::Unlisted => {
            "begin with a PROXY header and come from no network of proxyProtocolFrom"
        }
    };
    format!(
        "callers from {addresses} other addresses or more are refused as well: their connections {what}"
    )
}

impl ObservedRelay {
    fn register(&self) -> Option<RegisterStatus> {
        let (lost_seconds, last_error) = self.view.register_lost().map_or((None, None), |lost| {
            (Some(lost.0.as_secs()), Some(lost.1.to_string()))
        });
        Some(RegisterStatus {
            place: self.register.clone()?,
            lost_seconds,
            last_error,
        })
    }
}

/// A running relay for the admin endpoint.
struct ObservedRelay {
    view: RelayView,
    listen: SocketAddr,
    domain: String,
    /// Where clusters' tokens and certificates are kept.
    register: Option<String>,
    since: Instant,
}

impl Observed for ObservedRelay {
    fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if !self.view.ready() {
            let reason = if self.view.draining() {
                "draining: this relay is about to end"
            } else {
                "starting"
            };
            reasons.push(reason.to_owned());
        }
        reasons
    }

    fn summary(&self) -> String {
        let (tunnels, waiting) = (self.view.count(), self.view.waiting_callers());
        let standing = format!("tunnels: {tunnels}, callers waiting: {waiting}");
        std::iter::once(standing)
            .chain(self.warnings())
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn certificates(&self) -> Vec<CertificateStatus> {
        let own = status::of_key_pair("relay certificate", &self.view.key_pair());
        let authorities = self.view.authorities();
        let authorities = authorities
            .iter()
            .flat_map(|held| status::of_authorities("authority of agents", held));
        let mut shown: Vec<_> = own.into_iter().chain(authorities).collect();
        shown.extend(of_enrolment(&self.view.enrolment_papers()));
        shown
    }

    fn status(&self) -> Status {
        let clusters = self.view.clusters();
        let ends = clusters
            .iter()
            .filter_map(|cluster| Some((&cluster.peer, cluster.last_end?)));
        let ends: BTreeMap<&TunnelName, End> = ends.collect();
        let tunnels = self.view.tunnels().into_iter().map(|tunnel| TunnelStatus {
            last_error: ends.get(&tunnel.name).map(|end| end.reason.to_owned()),
            traffic: tunnel.traffic.into(),
            name: tunnel.name.to_string(),
            instance: format!("{:032x}", tunnel.instance),
            slot: tunnel.slot,
            transport: tunnel.transport.to_owned(),
            remote: tunnel.remote.to_string(),
            age_seconds: tunnel.age.as_secs(),
            rtt_micros: status::micros(tunnel.rtt),
            streams: u64::try_from(tunnel.open_streams).unwrap_or(u64::MAX),
        });
        let tunnels: Vec<_> = tunnels.collect();
        let names: BTreeSet<&str> = tunnels.iter().map(|tunnel| tunnel.name.as_str()).collect();
        let offline = ends
            .iter()
            .filter(|(name, _)| !names.contains(name.as_str()));
        let offline = offline.map(|(name, end)| OfflineStatus {
            name: name.to_string(),
            last_error: end.reason.to_owned(),
            since_seconds: end.at.elapsed().as_secs(),
        });
        let offline = offline.collect();
        Status {
            relay: Some(RelayStatus {
                listen: self.listen.to_string(),
                domain: self.domain.clone(),
                register: self.register(),
                tunnels,
                offline,
            }),
            certificates: self.certificates(),
            warnings: self.warnings(),
            ..Status::of_role("relay", self.since, self.unready())
        }
    }
}

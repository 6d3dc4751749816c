//! `gangplank relay`: the entrance.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gangplank_config::{KeyPair, Material, role};
use gangplank_pki::clock::SystemClock;
use gangplank_relay::{Relay, RelayView};
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::admin::Observed;
use crate::cli::ListenerArguments;
use crate::failure::Outcome;
use crate::role::{Stage, announce, bind_admin, run_on_runtime, start_log};
use crate::signals;
use crate::status::{self, RelayStatus, Status, TunnelStatus};

/// How long the register may be away before this relay says that it is not ready: an etcd that chooses a new
/// leader, or whose members are restarted one after the other, is away for a second or two.
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
    let key_pair = config.tunnel.key_pair.clone();
    let relay = Relay::bind(config, Arc::new(SystemClock), &mut metrics)
        .await
        .map_err(anyhow::Error::new)?;
    let observed = ObservedRelay {
        view: relay.view(),
        listen: relay.local_address(),
        domain,
        key_pair,
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

/// A running relay for the admin endpoint.
struct ObservedRelay {
    view: RelayView,
    listen: SocketAddr,
    domain: String,
    /// Read anew for each status: it may be replaced while the relay runs.
    key_pair: Material<KeyPair>,
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
        if let Some((lost, why)) = self.view.register_lost(REGISTER_GRACE) {
            reasons.push(format!(
                "revocations are those of {} s ago and nobody can join: {why}",
                lost.as_secs()
            ));
        }
        reasons
    }

    fn status(&self) -> Status {
        let tunnels = self.view.tunnels().into_iter().map(|tunnel| TunnelStatus {
            name: tunnel.name.to_string(),
            instance: format!("{:032x}", tunnel.instance),
            slot: tunnel.slot,
            transport: tunnel.transport.to_owned(),
            remote: tunnel.remote.to_string(),
            age_seconds: tunnel.age.as_secs(),
            rtt_micros: status::micros(tunnel.rtt),
            streams: u64::try_from(tunnel.open_streams).unwrap_or(u64::MAX),
        });
        Status {
            relay: Some(RelayStatus {
                listen: self.listen.to_string(),
                domain: self.domain.clone(),
                tunnels: tunnels.collect(),
            }),
            certificates: status::of_material("relay certificate", &self.key_pair),
            ..Status::of_role("relay", self.since, self.unready())
        }
    }
}

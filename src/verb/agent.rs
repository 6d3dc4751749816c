//! `gangplank agent`: tunnel and proxy at the exit, joined here because neither knows the other.

use std::sync::Arc;

use gangplank_agent::{Agent, AgentView, Boarding, Handoff, Settings, TunnelState, TunnelView};
use gangplank_config::upstream::InCluster;
use gangplank_config::{KeyPair, Material, ProxyEnvironment, role};
use gangplank_pki::clock::{SystemClock, rfc3339};
use gangplank_pki::peer;
use gangplank_proxy::{Caller, Exit, Witness};
use gangplank_tunnel::BoxFuture;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::Observed;
use crate::cli::RoleArguments;
use crate::exit::RunningExit;
use crate::failure::{Failure, Outcome};
use crate::role::{Stage, announce, bind_admin, run_on_runtime, start_log};
use crate::signals::{self, Shutdown};
use crate::status::{
    self, AgentStatus, CertificateStatus, RelaySessionStatus, RenewalStatus, Status, TrafficStatus,
};

/// Loads the file and holds the tunnels until it was told to end.
pub(crate) fn run(arguments: &RoleArguments) -> Outcome {
    let mut config = role::agent::load(&arguments.config, &InCluster::from_environment())?;
    let environment = ProxyEnvironment::read(|name| std::env::var(name).ok());
    config = config.with_proxies_of(&environment.map_err(Failure::Usage)?);
    config.admin = arguments.overrides.admin_listen.or(config.admin);
    start_log(config.log, &arguments.overrides)?;
    run_on_runtime(|stage| async {
        let shutdown = signals::listen(&stage)?;
        serve(config, stage, shutdown).await
    })
}

/// Runs an agent until it was told to end.
///
/// # Errors
///
/// When a port or a file cannot be had.
pub(crate) async fn serve(config: role::agent::Agent, stage: Stage, shutdown: Shutdown) -> Outcome {
    let admin = bind_admin(config.admin)?;
    let mut metrics = Registry::with_prefix("gangplank");
    let settings = Settings::from(&config);
    let exit = RunningExit::compose(&config.exit, &stage, &mut metrics)?;
    let tunnel = tunnel_name(&config.tunnel);
    if let Some(misnamed) = exit.misnamed_for(&tunnel) {
        tracing::error!("{misnamed}");
    }
    let handoff = Arc::new(ToExit {
        exit: exit.exit.clone(),
        tunnel: Arc::from(tunnel.as_str()),
    });
    let agent = Agent::new(&settings, handoff, Arc::new(SystemClock), &mut metrics)
        .map_err(anyhow::Error::new)?;
    let observed = ObservedAgent {
        view: agent.view(),
        exit,
        tunnel,
        draining: shutdown.drain.clone(),
        since: Instant::now(),
    };
    announce(&stage, None, admin, Arc::new(observed), metrics);
    let leaving = shutdown.settled(config.drain.settle, &stage);
    agent.run(leaving, shutdown.abort.cancelled()).await;
    Ok(())
}

/// Hands callers from the tunnel to the exit.
struct ToExit {
    exit: Exit,
    tunnel: Arc<str>,
}

impl Handoff for ToExit {
    fn board(&self, boarding: Boarding) -> BoxFuture<'static, ()> {
        let caller = Caller {
            address: boarding.caller,
            said_by: Witness::Relay,
            connection: boarding.connection,
            tunnel: Some(Arc::clone(&self.tunnel)),
            relay: Some(Arc::clone(&boarding.relay)),
        };
        Box::pin(self.exit.serve(boarding.stream, caller, boarding.drain))
    }
}

/// The name in the agent's certificate; the file was checked for it when it was loaded.
fn tunnel_name(identity: &Material<KeyPair>) -> String {
    let pair = identity.read().ok();
    let name = pair.and_then(|pair| peer::tunnel_name(pair.chain()).ok());
    name.map(|name| name.to_string()).unwrap_or_default()
}

/// A running agent for the admin endpoint.
struct ObservedAgent {
    view: AgentView,
    exit: RunningExit,
    tunnel: String,
    draining: CancellationToken,
    since: Instant,
}

impl ObservedAgent {
    /// What is degraded while callers are served.
    fn warnings(&self) -> Vec<String> {
        let fault = self.view.renewal().and_then(|renewal| renewal.last_fault);
        let warning =
            fault.map(|fault| format!("the tunnel's certificate is not renewed: {fault}"));
        warning.into_iter().collect()
    }

    /// For a certificate that renews itself and has expired all the same.
    fn join_again(&self) -> String {
        format!(
            "the agent goes on asking for another, as long as the relay's `renewalGrace` lets it; after that join again: at the relay \
             `gangplank token create --config FILE --again --cluster {}`, then here `gangplank join RELAY --token-file FILE \
             --again --directory DIR`",
            self.tunnel
        )
    }
}

impl Observed for ObservedAgent {
    fn unready(&self) -> Vec<String> {
        let mut reasons = self.exit.unready();
        reasons.extend(self.exit.misnamed_for(&self.tunnel));
        let connected = self.view.connected();
        for tunnel in self.view.tunnels() {
            let is_down = matches!(tunnel.state, TunnelState::Down);
            // At the start each relay is waited for that may still answer, so that who restarts one agent after
            // another leaves no relay without a tunnel; one that cannot be reached keeps nobody from serving.
            if is_down && (!connected || tunnel.last_fault.is_none()) {
                let fault = tunnel.last_fault.unwrap_or_else(|| "dialling".to_owned());
                reasons.push(format!("no tunnel to {}: {fault}", tunnel.relay));
            }
        }
        if self.draining.is_cancelled() {
            reasons.push("draining: this agent is about to end".to_owned());
        }
        reasons
    }

    fn summary(&self) -> String {
        let tunnels = self.view.tunnels();
        let is_up = |tunnel: &&TunnelView| matches!(tunnel.state, TunnelState::Up { .. });
        let up = tunnels.iter().filter(is_up).count();
        let standing = format!("tunnels to {up} of {} relays", tunnels.len());
        std::iter::once(standing)
            .chain(self.warnings())
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn certificates(&self) -> Vec<CertificateStatus> {
        let own = status::of_key_pair("agent certificate", &self.view.key_pair());
        let own = own.map(|own| CertificateStatus {
            remedy: self.view.renewal().map(|_renewed| self.join_again()),
            ..own
        });
        let mut certificates: Vec<_> = own.into_iter().collect();
        certificates.extend(self.exit.certificates());
        for relay in self.view.authorities() {
            certificates.extend(status::of_authorities("authority of relays", &relay));
        }
        certificates
    }

    fn callers_authorities_end(&self) -> Option<u64> {
        self.exit.authorities_end()
    }

    fn status(&self) -> Status {
        let renewal = self.view.renewal().map(|renewal| RenewalStatus {
            next: rfc3339(renewal.due),
            due: status::is_past(renewal.due),
            last_error: renewal.last_fault,
        });
        Status {
            agent: Some(AgentStatus {
                tunnel: self.tunnel.clone(),
                relays: self.view.tunnels().into_iter().map(session).collect(),
                renewal,
            }),
            exit: Some(self.exit.status()),
            certificates: self.certificates(),
            warnings: self.warnings(),
            ..Status::of_role("agent", self.since, self.unready())
        }
    }
}

fn session(tunnel: TunnelView) -> RelaySessionStatus {
    let (mut age_seconds, mut rtt_micros, mut streams) = (None, None, 0);
    let mut moved = TrafficStatus::default();
    let mut state = "down".to_owned();
    if let TunnelState::Up {
        transport,
        age,
        round_trip_time,
        open_streams,
        traffic,
        ..
    } = tunnel.state
    {
        state = format!("up ({transport})");
        age_seconds = Some(age.as_secs());
        rtt_micros = status::micros(round_trip_time);
        streams = u64::try_from(open_streams).unwrap_or(u64::MAX);
        moved = traffic.into();
    }
    RelaySessionStatus {
        relay: tunnel.relay.to_string(),
        state,
        age_seconds,
        rtt_micros,
        streams,
        traffic: moved,
        last_error: tunnel.last_fault,
    }
}

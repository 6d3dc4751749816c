//! The relay as a whole: what is bound, what runs, and the order in which it ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gangplank_config::Fault;
use gangplank_config::role::{self, Drain};
use gangplank_enrolment::{Known, Office, RegisterFault};
use gangplank_pki::clock::Clock;
use gangplank_pki::peer::VerifierFault;
use gangplank_tcp::Listener;
use gangplank_tunnel::quic::{BindError, CongestionControl, RelayEndpoint};
use gangplank_tunnel::{Ledger, http2};
use prometheus_client::registry::Registry as Metrics;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::enrolment_papers::PapersOnFile;
use crate::entrance::{Entrance, Forwarders, Quay, Signpost};
use crate::identity::{Generations, IdentityReloaders, TunnelIdentity};
use crate::landing::Landing;
use crate::listener::TunnelListener;
use crate::metrics::{Counters, Standings};
use crate::reception::Reception;
use crate::registry::Registry;
use crate::tunnels::Host;
use crate::view::RelayView;

/// Attempts at a port that is free for TCP and for UDP, when the kernel may choose it. Each fails only
/// when some other program holds the very UDP port that TCP was given.
const PORT_ATTEMPTS: usize = 16;

/// Most names of clusters of which it is known what their tunnels have carried: as many as the registry remembers
/// at least, whether they have tunnels now or not. Some 300 bytes each, 20 MiB in all.
const MOST_ACCOUNTS: usize = 64 * 1024;

/// How long a start may take before it says what it waits for: longer than any register that is well takes.
const SILENCE: Duration = Duration::from_secs(1);

/// How long the end of the relay waits for its own tasks once everything was closed. They only have to
/// notice it; a task that does not is abandoned with the process.
const TIDY: Duration = Duration::from_secs(2);

/// Why a relay could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The TCP port cannot be had.
    #[error(
        "cannot listen for callers on TCP {address}; is another program there, or is the port below 1024 without permission?"
    )]
    Tcp {
        /// What was asked for.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The UDP port cannot be had, or the identity not be used.
    #[error("cannot listen for agents")]
    Tunnels(#[source] BindError),
    /// The authorities do not make a verifier.
    #[error("the authorities of agents cannot be used")]
    Authorities(#[source] VerifierFault),
    /// A file cannot be used.
    #[error("the relay's tunnel identity cannot be read")]
    Identity(#[source] Fault),
    /// The register of enrolment cannot be used.
    #[error(
        "clusters cannot join: look at `enrolment.register`, and at the disk or the etcd behind it"
    )]
    Register(#[source] RegisterFault),
}

impl RelayError {
    /// The error as one word, for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Tcp { .. } => "TcpPortUnavailable",
            Self::Tunnels(_) => "TunnelPortUnavailable",
            Self::Authorities(fault) => fault.reason(),
            Self::Identity(_) => "IdentityUnreadable",
            Self::Register(_) => "RegisterUnusable",
        }
    }
}

/// A relay that has its ports and is not running yet.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    callers: Listener,
    entrance: Arc<Entrance>,
    tunnels: Arc<TunnelListener>,
    /// Where tunnels' sessions run.
    sessions: TaskTracker,
    identity: TunnelIdentity,
    /// Whose register is followed, if clusters may join.
    office: Option<Office>,
    /// What is known of it.
    known: Known,
    /// The certificates behind enrolment.
    papers: PapersOnFile,
    /// The state of the identity's files that the endpoint was bound with.
    bound_with: Generations,
    reloaders: IdentityReloaders,
    drain: Drain,
    /// Readiness is gone.
    draining: CancellationToken,
    /// Agents are told to go elsewhere.
    agents_leave: CancellationToken,
    view: RelayView,
}

impl Relay {
    /// Takes the TCP and the UDP port, reads the tunnel identity, and registers the metrics. Callers wait
    /// in the kernel until [`run`](Self::run). Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When a port or a file cannot be had.
    pub async fn bind(
        config: role::relay::Relay,
        clock: Arc<dyn Clock>,
        metrics: &mut Metrics,
    ) -> Result<Self, RelayError> {
        let office = Office::open(&config, Arc::clone(&clock)).map_err(RelayError::Register)?;
        let known = read_register(&config, office.as_ref()).await?;
        let (identity, reloaders) =
            TunnelIdentity::read(&config.tunnel, &known, clock).map_err(RelayError::Identity)?;
        let bound_with = identity.generations();
        let congestion = congestion(config.tunnel.congestion_control);
        let (callers, endpoint, address) = bind_both(config.listen, &identity, congestion)?;
        let (registry, quay, counters) =
            (Registry::default(), Quay::default(), Counters::default());
        let ledger = Ledger::new(MOST_ACCOUNTS);
        counters.register(metrics, Standings::of(&registry, &ledger, &quay, &known));
        let (draining, agents_leave) = (CancellationToken::new(), CancellationToken::new());
        let host = Host {
            registry: registry.clone(),
            ledger: ledger.clone(),
            counters: counters.clone(),
            identity: identity.clone(),
            relay_instance: Uuid::new_v4().as_u128(),
            domain: config.domain.clone(),
            drain: agents_leave.clone(),
            drain_limit: config.drain.limit,
        };
        let sessions = TaskTracker::new();
        let landing = land(&identity, &host, &sessions)?;
        let received = |office| Reception::new(office, identity.clone(), counters.clone());
        let papers = PapersOnFile::of(config.enrolment.as_ref());
        let forwarders = Forwarders::new(config.proxy_protocol_from);
        let signpost = Signpost {
            domain: config.domain,
            own_name: config.tunnel.server_name.as_str().to_owned(),
            hide_names: config.hide_names,
            forwarders: forwarders.clone(),
            joined: known.names(),
            reception: office.clone().map(received),
            landing: Some(Arc::clone(&landing)),
        };
        Ok(Self {
            address,
            callers,
            view: RelayView::new(
                (registry.clone(), ledger),
                (quay.clone(), forwarders),
                (&identity, &known, papers.clone()),
                draining.clone(),
            ),
            entrance: Arc::new(Entrance::new(signpost, registry, quay, counters)),
            tunnels: Arc::new(TunnelListener::new(endpoint, landing, host)),
            sessions,
            identity,
            office,
            known,
            papers,
            bound_with,
            reloaders,
            drain: config.drain,
            draining,
            agents_leave,
        })
    }

    /// Where callers (TCP) and agents (UDP) arrive.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// For readiness and status.
    pub fn view(&self) -> RelayView {
        self.view.clone()
    }

    /// Serves until `shutdown`, then drains: readiness is gone, then after the settle time agents are
    /// told and the TCP port closes, running streams go on until the limit, then all ends. `abort`
    /// cuts that short: the end comes at once, and agents are still told of it.
    pub async fn run(self, shutdown: CancellationToken, abort: impl Future<Output = ()>) {
        let (tasks, connections, sessions) =
            (TaskTracker::new(), TaskTracker::new(), self.sessions);
        let closing = CancellationToken::new();
        let following = CancellationToken::new();
        self.reloaders.spawn(&tasks, &following);
        tasks.spawn(self.papers.follow(following.clone()));
        if let Some(office) = self.office {
            keep_office(office, self.known, &tasks, &following);
        }
        tasks.spawn(Arc::clone(&self.tunnels).follow(
            self.identity,
            self.bound_with,
            following.clone(),
        ));
        tasks.spawn(Arc::clone(&self.tunnels).accept_agents(sessions.clone()));
        let looking_out = self.entrance.look_out(self.address);
        tasks.spawn(following.clone().run_until_cancelled_owned(looking_out));
        let accepting =
            self.entrance
                .accept_callers(self.callers, connections.clone(), closing.clone());
        let accepting = tasks.spawn(accepting);
        self.view.now_accepting();
        tracing::info!(listen = %self.address, "relay open for callers (TCP) and agents (UDP)");

        shutdown.cancelled().await;
        self.draining.cancel();
        tracing::info!(settle = ?self.drain.settle, limit = ?self.drain.limit, "relay draining");
        let drained = async {
            sleep(self.drain.settle).await;
            // The port closes before anybody is told to leave: who comes again at once goes to the next address.
            closing.cancel();
            if accepting.await.is_err() {
                tracing::error!("accepting callers ended by a panic; report this");
            }
            self.tunnels.refuse_arrivals();
            self.agents_leave.cancel();
            connections.close();
            if timeout(self.drain.limit, connections.wait()).await.is_err() {
                tracing::warn!(
                    connections = connections.len(),
                    "connections aborted at the drain limit"
                );
            }
        };
        tokio::select! {
            () = drained => {}
            () = abort => closing.cancel(),
        }
        self.tunnels.close().await;
        following.cancel();
        for tracker in [&connections, &sessions, &tasks] {
            tracker.close();
            if timeout(TIDY, tracker.wait()).await.is_err() {
                tracing::warn!(tasks = tracker.len(), "tasks abandoned at the end");
            }
        }
        tracing::info!("relay closed");
    }
}

/// Follows the register, and clears up in it.
fn keep_office(office: Office, known: Known, tasks: &TaskTracker, following: &CancellationToken) {
    let register = Arc::clone(office.register());
    let (memory, shutdown) = (known.clone(), following.clone());
    let follower = tasks.spawn(async move { register.follow(memory, shutdown).await });
    tasks.spawn(attend_follower(follower, known, following.clone()));
    tasks.spawn(office.forget_the_ended(following.clone()));
}

/// The transport's word for a file's.
const fn congestion(written: role::CongestionControl) -> CongestionControl {
    match written {
        role::CongestionControl::DeliveryRate => CongestionControl::DeliveryRate,
        role::CongestionControl::Cubic => CongestionControl::Cubic,
        role::CongestionControl::Bbr => CongestionControl::Bbr,
    }
}

/// What is known when the first agent comes. An etcd that is away is waited for, and that is said before a person
/// wonders.
async fn read_register(
    config: &role::relay::Relay,
    office: Option<&Office>,
) -> Result<Known, RelayError> {
    let (Some(office), Some(enrolment)) = (office, &config.enrolment) else {
        return Ok(Known::default());
    };
    let mut reading = office.register().snapshot();
    let read = if let Ok(read) = timeout(SILENCE, &mut reading).await {
        read
    } else {
        tracing::warn!(
            register = %enrolment.register,
            "the relay is not ready yet: it waits for its register, to know who was revoked before the first agent comes"
        );
        reading.await
    };
    Ok(Known::new(read.map_err(RelayError::Register)?))
}

/// A follower that ends before `over` would leave revocations as they were without a word: it is a register lost.
async fn attend_follower(follower: JoinHandle<()>, known: Known, over: CancellationToken) {
    let ended = follower.await;
    if over.is_cancelled() {
        return;
    }
    if let Err(error) = ended {
        tracing::error!(%error, "following the register ended by a panic; report this");
    }
    let fault = RegisterFault {
        place: "of this relay".to_owned(),
        done: "followed",
        cause: "who follows it has ended: restart the relay".into(),
    };
    known.lost(&fault, Instant::now());
}

/// Where tunnels over TCP land.
fn land(
    identity: &TunnelIdentity,
    host: &Host,
    sessions: &TaskTracker,
) -> Result<Arc<Landing>, RelayError> {
    let tls = identity.tls().map_err(RelayError::Authorities)?;
    let endpoint =
        http2::RelayEndpoint::new(tls).map_err(|unusable| RelayError::Tunnels(unusable.into()))?;
    let landing = Landing::new(endpoint, host.clone(), sessions.clone());
    Ok(Arc::new(landing))
}

/// The same port for TCP and UDP. Where the kernel chooses, it chooses for TCP alone, and UDP may be
/// taken there.
fn bind_both(
    wanted: SocketAddr,
    identity: &TunnelIdentity,
    congestion: CongestionControl,
) -> Result<(Listener, RelayEndpoint, SocketAddr), RelayError> {
    let tcp = |cause| RelayError::Tcp {
        address: wanted,
        cause,
    };
    let mut attempts_left = if wanted.port() == 0 { PORT_ATTEMPTS } else { 1 };
    loop {
        let callers = Listener::bind(wanted).map_err(tcp)?;
        let address = callers.local_address().map_err(tcp)?;
        attempts_left = attempts_left.saturating_sub(1);
        let tls = identity.tls().map_err(RelayError::Authorities)?;
        match RelayEndpoint::bind(address, tls, identity.transport_secret(), congestion) {
            Ok(endpoint) => return Ok((callers, endpoint, address)),
            Err(error) if attempts_left == 0 => return Err(RelayError::Tunnels(error)),
            Err(_taken) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use gangplank_enrolment::Contact;

    use super::*;

    async fn attended(follower: impl Future<Output = ()> + Send + 'static) -> (Known, Contact) {
        let (known, tasks) = (Known::default(), TaskTracker::new());
        let follower = tasks.spawn(follower);
        attend_follower(follower, known.clone(), CancellationToken::new()).await;
        let contact = known.contact().borrow().clone();
        (known, contact)
    }

    #[tokio::test]
    async fn a_follower_that_ends_is_a_register_lost() {
        let panics = async { panic!("a fault of ours") };
        for (_known, contact) in [attended(panics).await, attended(async {}).await] {
            let Contact::Lost { why, .. } = contact else {
                panic!("nobody follows");
            };
            assert!(why.contains("restart the relay"), "{why}");
        }
    }

    #[tokio::test]
    async fn a_follower_that_was_told_to_end_is_none() {
        let (known, over) = (Known::default(), CancellationToken::new());
        over.cancel();
        let follower = TaskTracker::new().spawn(async {});
        attend_follower(follower, known.clone(), over).await;
        assert!(matches!(*known.contact().borrow(), Contact::Held));
    }
}

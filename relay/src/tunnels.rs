//! Tunnels: an agent's session from its greeting to its end.
//!
//! The transport has done the handshake, so the certificate is proven; what the agent says in its
//! hello is believed only as far as it goes for the agent's own name: instance, slot and epoch.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use gangplank_pki::peer;
use gangplank_pki::{EntranceDomain, TunnelName, WithCauses};
use gangplank_tunnel::wire::{CloseCode, Welcome};
use gangplank_tunnel::{
    Closed, ControlError, ControlReader, ControlWriter, GreetError, Greeting, Ledger, Notice,
    Session, await_hello, wire,
};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::identity::TunnelIdentity;
use crate::listener::verdict_word;
use crate::metrics::Counters;
use crate::registry::{RegisterError, Registration, Registry, Slot, Tunnel};

/// From an agent's first packet to the end of its handshake. QUIC needs one round trip, two after a
/// Retry; ten seconds leave room for three retransmissions.
pub(crate) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// From the end of the handshake to the hello: one round trip in theory, and the same patience as with
/// the ClientHello of a caller.
const GREETING_DEADLINE: Duration = Duration::from_secs(10);

/// How long a tunnel that was superseded, or that drains, may keep its running streams: as good as for
/// ever. The bound is there so that a forgotten stream does not hold an old session until the next
/// restart; a day is longer than clients keep one request open.
const LONGEST_FAREWELL: Duration = Duration::from_secs(24 * 60 * 60);

/// Where tunnels are hosted. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) registry: Registry<Arc<dyn Session>>,
    /// What tunnels carry, those that get no new callers included.
    pub(crate) ledger: Ledger<TunnelName>,
    pub(crate) counters: Counters,
    /// By which agents are judged.
    pub(crate) identity: TunnelIdentity,
    pub(crate) relay_instance: u128,
    pub(crate) domain: EntranceDomain,
    /// Tells the agents to go elsewhere.
    pub(crate) drain: CancellationToken,
    /// How long running streams have from then on.
    pub(crate) drain_limit: Duration,
}

/// Why a registered tunnel is to end, seen from the relay.
enum Turn {
    /// The session is over.
    Ended(Closed),
    /// The agent is going away.
    AgentDrains(Duration),
    /// The agent ended its control stream in good order.
    AgentDone,
    /// The control stream broke or made no sense.
    Unintelligible(ControlError),
    /// A newer tunnel took the slot.
    Superseded,
    /// The relay is going away.
    RelayDrains,
}

impl Host {
    /// Hosts a session whose handshake is over, until it is over, if its certificate names a tunnel.
    pub(crate) async fn take_in(&self, session: Arc<dyn Session>) {
        match peer::tunnel_name(session.peer_certificates()) {
            Ok(name) => self.host(session, name).await,
            Err(error) => {
                self.counters
                    .tunnel_handshake(session.transport(), error.reason());
                tracing::info!(reason = error.reason(), %error, "an agent's certificate names no tunnel");
                session.close(CloseCode::NameRefused, &error.to_string());
            }
        }
    }

    /// Hosts one session until it is over. `name` is what its certificate proved.
    async fn host(&self, session: Arc<dyn Session>, name: TunnelName) {
        let Some(greeting) = self.receive(&*session).await else {
            return;
        };
        let hello = greeting.hello();
        let slot = Slot {
            instance: hello.instance,
            slot: hello.slot,
            epoch: hello.epoch,
        };
        let software = hello.software.clone();
        let Some(registration) = self.register(&session, &name, slot) else {
            return;
        };
        let welcome = Welcome {
            relay_instance: self.relay_instance,
            entrance_domain: wire::EntranceDomain::fitting(self.domain.as_str()),
        };
        // An agent may take nothing of it, and would keep a session that nobody attends.
        let welcomed = timeout(GREETING_DEADLINE, greeting.welcome(welcome)).await;
        let welcomed = welcomed.map_or(Err(GreetError::TooLate), |done| Ok(done?));
        match welcomed {
            Ok((reader, writer)) => {
                self.counters
                    .tunnel_handshake(session.transport(), "Accepted");
                tracing::info!(
                    cluster = %name,
                    session = registration.tunnel().id(),
                    agent.addr = %session.remote_address(),
                    transport = session.transport(),
                    %software,
                    slot = slot.slot,
                    epoch = slot.epoch,
                    "tunnel registered"
                );
                self.attend(registration, reader, writer).await;
            }
            Err(error) => {
                self.counters
                    .tunnel_handshake(session.transport(), error.reason());
                tracing::debug!(cluster = %name, reason = error.reason(), "the welcome was not taken");
                session.close(
                    close_code_of_greeting(&error),
                    "the welcome could not be sent",
                );
            }
        }
    }

    /// Registers a session that is accepted still; another is ended.
    fn register(
        &self,
        session: &Arc<dyn Session>,
        name: &TunnelName,
        slot: Slot,
    ) -> Option<Registration<Arc<dyn Session>>> {
        // Between its handshake and its hello an agent may have been revoked, and nobody looks through those.
        let judged_by = self.identity.generations();
        if !self.is_still_accepted(&**session, name) {
            return None;
        }
        let registered = self
            .registry
            .register(name.clone(), slot, Arc::clone(session));
        let registration = match registered {
            Ok(registration) => registration,
            Err(error) => {
                self.counters
                    .tunnel_handshake(session.transport(), error.reason());
                tracing::info!(cluster = %name, reason = error.reason(), %error, "a tunnel was refused");
                session.close(close_code_of(error), &error.to_string());
                return None;
            }
        };
        let is_judged_by_all = self.identity.generations() == judged_by;
        (is_judged_by_all || self.is_still_accepted(&**session, name)).then_some(registration)
    }

    /// Ends the session if the agent's certificate would not be accepted any more.
    fn is_still_accepted(&self, session: &dyn Session, name: &TunnelName) -> bool {
        let verdict = self.identity.judge(session.peer_certificates());
        let Err(error) = verdict else { return true };
        self.counters
            .tunnel_handshake(session.transport(), verdict_word(&error));
        tracing::info!(cluster = %name, reason = verdict_word(&error), %error, "a tunnel was refused: its agent's certificate is not accepted any more");
        session.close(CloseCode::CertificateEnded, &error.to_string());
        false
    }

    async fn receive(&self, session: &dyn Session) -> Option<Greeting> {
        match await_hello(session, Instant::now() + GREETING_DEADLINE).await {
            Ok(greeting) => Some(greeting),
            Err(error) => {
                self.counters
                    .tunnel_handshake(session.transport(), error.reason());
                tracing::debug!(
                    agent.addr = %session.remote_address(),
                    reason = error.reason(),
                    error = %WithCauses(&error),
                    "an agent did not greet"
                );
                session.close(close_code_of_greeting(&error), &error.to_string());
                None
            }
        }
    }

    /// A registered tunnel, until it is over.
    async fn attend(
        &self,
        registration: Registration<Arc<dyn Session>>,
        mut reader: ControlReader,
        mut writer: ControlWriter,
    ) {
        let tunnel = Arc::clone(registration.tunnel());
        let session = tunnel.session();
        let entry = self
            .ledger
            .enter(tunnel.name().clone(), Arc::clone(session));
        let mut heard = pin!(next_turn(&mut reader));
        let turn = tokio::select! {
            biased;
            // With a session that is over its control stream breaks, which says less.
            closed = session.closed() => Turn::Ended(closed),
            turn = heard.as_mut() => turn,
            () = registration.superseded().cancelled() => Turn::Superseded,
            () = self.drain.cancelled() => Turn::RelayDrains,
        };
        let reason = tunnel.dismissed().unwrap_or_else(|| turn.reason());
        tracing::info!(cluster = %tunnel.name(), session = tunnel.id(), reason, "tunnel withdrawn");
        self.counters.tunnel_ended(session.transport(), reason);
        let turn = match turn {
            Turn::RelayDrains => {
                self.say_drain(&mut writer).await;
                // Still registered: whoever is being accepted may yet board. It goes with the relay,
                // or before it when the agent goes too.
                tokio::select! {
                    closed = session.closed() => Turn::Ended(closed),
                    turn = heard => turn,
                }
            }
            turn => turn,
        };
        if let Some((code, limit)) = turn.farewell() {
            drop(registration);
            self.finish_running_streams(&tunnel, &mut writer, (code, limit))
                .await;
        }
        entry.close(tunnel.dismissed().unwrap_or(reason));
    }

    /// Lets the streams of a tunnel that gets no new ones come to their end, then closes the session.
    /// A drain of the relay concerns them too: the agent is told on the session that they run on.
    async fn finish_running_streams(
        &self,
        tunnel: &Tunnel<Arc<dyn Session>>,
        writer: &mut ControlWriter,
        (code, limit): (CloseCode, Duration),
    ) {
        let session = tunnel.session();
        let mut over = pin!(timeout(limit, async {
            tokio::select! {
                () = tunnel.deserted() => true,
                _closed = session.closed() => true,
                () = tunnel.cut_short().cancelled() => false,
            }
        }));
        let finished = tokio::select! {
            biased;
            finished = over.as_mut() => finished,
            () = self.drain.cancelled() => {
                self.say_drain(writer).await;
                over.await
            }
        };
        if finished != Ok(true) {
            let aborted = tunnel.open_streams();
            tracing::info!(cluster = %tunnel.name(), session = tunnel.id(), aborted, "streams aborted");
        }
        session.close(code, "no stream is left on this tunnel");
    }

    async fn say_drain(&self, writer: &mut ControlWriter) {
        if let Err(error) = writer.drain(self.drain_limit).await {
            tracing::debug!(
                reason = error.reason(),
                "an agent could not be told of the drain"
            );
        }
    }
}

impl Turn {
    fn reason(&self) -> &'static str {
        match self {
            Self::Ended(closed) => closed.reason(),
            Self::AgentDrains(_) => "AgentDrains",
            Self::AgentDone => "AgentDone",
            Self::Unintelligible(error) => error.reason(),
            Self::Superseded => "Superseded",
            Self::RelayDrains => "RelayDrains",
        }
    }

    /// How the session is closed and how long its running streams have until then; `None` when there
    /// is nothing to wait for.
    fn farewell(&self) -> Option<(CloseCode, Duration)> {
        match self {
            Self::Ended(_) | Self::RelayDrains => None,
            Self::AgentDone => Some((CloseCode::Done, Duration::ZERO)),
            Self::Unintelligible(_) => Some((CloseCode::ProtocolViolation, Duration::ZERO)),
            Self::AgentDrains(limit) => {
                Some((CloseCode::GoingAway, (*limit).min(LONGEST_FAREWELL)))
            }
            Self::Superseded => Some((CloseCode::Superseded, LONGEST_FAREWELL)),
        }
    }
}

/// What the agent's control stream comes to. Notices of later versions change nothing here.
async fn next_turn(reader: &mut ControlReader) -> Turn {
    loop {
        match reader.next().await {
            Ok(Some(Notice::Drain { limit })) => return Turn::AgentDrains(limit),
            Ok(Some(_)) => {}
            Ok(None) => return Turn::AgentDone,
            Err(error) => return Turn::Unintelligible(error),
        }
    }
}

fn close_code_of(error: RegisterError) -> CloseCode {
    match error {
        RegisterError::Outdated { .. } => CloseCode::Superseded,
        RegisterError::TooManyOfOneName | RegisterError::TooMany => CloseCode::Overloaded,
    }
}

fn close_code_of_greeting(error: &GreetError) -> CloseCode {
    match error {
        GreetError::TooLate => CloseCode::GreetingTimeout,
        GreetError::UnknownVersion { .. } => CloseCode::UnknownVersion,
        _ => CloseCode::ProtocolViolation,
    }
}

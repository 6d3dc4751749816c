//! Where agents arrive: over UDP each handshake is a task of its own, under a deadline; those over TCP come
//! by the entrance ([`Landing`]).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use gangplank_pki::WithCauses;
use gangplank_pki::clock::Clock;
use gangplank_pki::peer::{AgentVerifier, VerifierFault};
use gangplank_tunnel::Session;
use gangplank_tunnel::quic::{Arrival, RelayEndpoint, TlsError};
use gangplank_tunnel::wire::CloseCode;
use rustls::CertificateError;
use rustls::server::danger::ClientCertVerifier;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::identity::{Generations, TunnelIdentity};
use crate::landing::Landing;
use crate::registry::Registry;
use crate::tunnels::{HANDSHAKE_DEADLINE, Host};

/// How often certificates of standing tunnels are looked at again. A minute beyond its end is little in
/// the life of a certificate. It is longer than a handshake and its greeting may take: an agent that was let in
/// by authorities or revocations which were replaced meanwhile is found at the next look.
const RECHECK: Duration = Duration::from_secs(60);

/// How long the end waits for agents to acknowledge that their sessions are closed. Three probe
/// timeouts at usual round-trip times; an agent that hears nothing notices by itself within 13 s.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a verifier says of a certificate whose time is over.
const EXPIRED: rustls::Error = rustls::Error::InvalidCertificate(CertificateError::Expired);

/// Why the tunnels' certificates are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Authorities, or what was revoked, have changed.
    Change,
    /// They had changed while agents were being let in.
    Stragglers,
    /// Certificates end.
    Time,
}

impl Reason {
    /// The reason of the look after this one.
    fn next(self, changed: bool) -> Self {
        match (changed, self) {
            (true, _) => Self::Change,
            (false, Self::Change) => Self::Stragglers,
            (false, Self::Stragglers | Self::Time) => Self::Time,
        }
    }
}

/// Where agents arrive.
#[derive(Debug)]
pub(crate) struct TunnelListener {
    endpoint: RelayEndpoint,
    landing: Arc<Landing>,
    host: Host,
}

impl TunnelListener {
    pub(crate) fn new(endpoint: RelayEndpoint, landing: Arc<Landing>, host: Host) -> Self {
        Self {
            endpoint,
            landing,
            host,
        }
    }

    /// Accepts until the endpoint is closed. Sessions run in `sessions`.
    pub(crate) async fn accept_agents(self: Arc<Self>, sessions: TaskTracker) {
        while let Some(arrival) = self.endpoint.accept().await {
            let span = tracing::debug_span!("handshake", agent.addr = %arrival.remote_address());
            let receiving = Arc::clone(&self).receive(arrival).instrument(span);
            sessions.spawn(receiving);
        }
    }

    async fn receive(self: Arc<Self>, arrival: Arrival) {
        let session = match arrival.complete(Instant::now() + HANDSHAKE_DEADLINE).await {
            Ok(session) => session,
            Err(error) => {
                self.host.counters.tunnel_handshake("quic", error.reason());
                tracing::debug!(
                    reason = error.reason(),
                    error = %WithCauses(&error),
                    "an agent's handshake failed"
                );
                return;
            }
        };
        self.host.take_in(Arc::new(session)).await;
    }

    /// Takes no new tunnels any more.
    pub(crate) fn refuse_arrivals(&self) {
        self.endpoint.refuse_arrivals();
    }

    /// Ends every session that is left.
    pub(crate) async fn close(&self) {
        self.endpoint
            .close(CloseCode::GoingAway, "the relay has drained");
        self.landing.close();
        let all_told = async { tokio::join!(self.endpoint.wait_idle(), self.landing.wait_idle()) };
        if timeout(LAST_WORDS, all_told).await.is_err() {
            tracing::debug!("not every agent acknowledged the end of its session");
        }
    }

    /// Goes on with certificate and authorities newer than those of `seen`, which the endpoint was bound
    /// with. Sessions that stand are not disturbed, unless their agent's certificate would not be
    /// accepted any more.
    pub(crate) async fn follow(
        self: Arc<Self>,
        identity: TunnelIdentity,
        mut seen: Generations,
        shutdown: CancellationToken,
    ) {
        let mut reason = Reason::Time;
        loop {
            // No change within the interval is as good a reason to look as a change.
            let change = timeout(RECHECK, identity.replaced(&mut seen));
            let Some(changed) = shutdown.run_until_cancelled(change).await else {
                return;
            };
            reason = reason.next(changed.is_ok());
            if reason == Reason::Change {
                self.take_over_or_keep(&identity);
            }
            match identity.verifier() {
                Ok(verifier) => {
                    let (registry, clock) = (&self.host.registry, &**identity.clock());
                    recheck_agents(registry, &verifier, clock, reason).await;
                }
                Err(fault) => {
                    tracing::error!(
                        reason = fault.reason(),
                        error = %WithCauses(&fault),
                        "agents cannot be judged"
                    );
                }
            }
        }
    }

    fn take_over_or_keep(&self, identity: &TunnelIdentity) {
        if let Err(error) = self.take_over(identity) {
            tracing::error!(
                reason = error.reason(),
                error = %WithCauses(&error),
                "the reloaded identity cannot be used, the last good one stays"
            );
        }
    }

    fn take_over(&self, identity: &TunnelIdentity) -> Result<(), TakeOverError> {
        let tls = identity.tls().map_err(TakeOverError::Authorities)?;
        self.endpoint.replace_tls(tls).map_err(TakeOverError::Tls)?;
        let tls = identity.tls().map_err(TakeOverError::Authorities)?;
        self.landing.replace_tls(tls).map_err(TakeOverError::Tls)?;
        tracing::info!("new tunnels are welcomed with the reloaded identity");
        Ok(())
    }
}

/// Ends the tunnels whose certificates are not accepted any more: the authority was removed, it was revoked,
/// or its time ran out. A tunnel that only finishes what runs has no longer a right than the others, with one
/// exception: that its certificate's time is over ends nothing while the same agent has a newer tunnel with a
/// certificate that is accepted. It has renewed, and a watch is not to break for that.
pub(crate) async fn recheck_agents(
    registry: &Registry<Arc<dyn Session>>,
    verifier: &AgentVerifier,
    clock: &dyn Clock,
    reason: Reason,
) {
    let mut accepted = HashSet::new();
    // Those that are registered come first.
    for tunnel in registry.tunnels_and_departing() {
        let session = tunnel.session();
        let agent = (tunnel.name().clone(), tunnel.slot().instance);
        let chain = session.peer_certificates();
        // Ten thousand signatures are two seconds of a core. Where nothing but time has passed there is nothing
        // to verify, as long as that is in time.
        if reason == Reason::Time && verifier.is_in_time(chain) {
            accepted.insert(agent);
            yield_now().await;
            continue;
        }
        let verdict = chain
            .split_first()
            .map(|(leaf, rest)| verifier.verify_client_cert(leaf, rest, clock.now()));
        match verdict {
            Some(Err(error)) if error == EXPIRED && accepted.contains(&agent) => {}
            Some(Err(error)) => {
                tracing::info!(
                    cluster = %tunnel.name(),
                    session = tunnel.id(),
                    reason = verdict_word(&error),
                    %error,
                    "the agent's certificate is not accepted any more"
                );
                tunnel.dismiss(verdict_word(&error));
                session.close(CloseCode::CertificateEnded, &error.to_string());
            }
            _ => {
                accepted.insert(agent);
            }
        }
        // A signature check each: the callers' turn in between.
        yield_now().await;
    }
}

/// Why an agent's certificate is not accepted any more, in a word.
pub(crate) fn verdict_word(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Revoked) => "CertificateRevoked",
        error if *error == EXPIRED => "CertificateExpired",
        _ => "CertificateEnded",
    }
}

/// Why a reloaded identity is not in use.
#[derive(Debug, thiserror::Error)]
enum TakeOverError {
    /// The authorities do not make a verifier.
    #[error("the authorities of agents cannot be used")]
    Authorities(#[source] VerifierFault),
    /// The certificate or its key cannot be used.
    #[error("the relay's certificate cannot be used")]
    Tls(#[source] TlsError),
}

impl TakeOverError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Authorities(fault) => fault.reason(),
            Self::Tls(error) => error.reason(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn after_a_change_it_is_looked_twice_at_everything() {
        let mut reason = Reason::Time;
        let reasons = [false, true, false, false, true, true, false].map(|changed| {
            reason = reason.next(changed);
            reason
        });
        let wanted = [
            Reason::Time,
            Reason::Change,
            Reason::Stragglers,
            Reason::Time,
            Reason::Change,
            Reason::Change,
            Reason::Stragglers,
        ];
        assert_eq!(reasons, wanted);
    }
}

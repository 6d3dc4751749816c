//! One attempt to reach a relay: handshake over QUIC, or over TCP where UDP is blocked, and greet.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use gangplank_config::role::agent::Transport;
use gangplank_config::{Anchors, KeyPair};
use gangplank_pki::WithCauses;
use gangplank_pki::clock::Clock;
use gangplank_pki::peer::{RelayVerifier, VerifierFault};
use gangplank_tunnel::quic::HandshakeError;
use gangplank_tunnel::tls::AgentTls;
use gangplank_tunnel::wire::{CloseCode, Hello, Welcome};
use gangplank_tunnel::{
    Closed, ControlReader, ControlWriter, GreetError, Session, greet, http2, quic,
};
use tokio::time::{Instant, timeout};

use crate::addresses::{LookUpError, first_of, look_up};
use crate::settings::Relay;
use crate::way::{self, WayError};

/// How long one address may take for its handshake: a handshake is one round trip, and lost packets
/// are sent again after 1 and 3 s.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// From the TCP connection to the end of its handshake: four round trips.
const TCP_HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// From the end of the handshake to the welcome: the same patience as the relay's.
const GREETING_LIMIT: Duration = Duration::from_secs(10);

/// How long QUIC has for itself before TCP is tried beside it. Its first packet is sent again after one
/// second: who has not answered the second of them either is not reached, or is far away on a bad day.
pub(crate) const HEAD_START: Duration = Duration::from_secs(2);

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DialError {
    /// The relay has no address.
    #[error("the relay cannot be found")]
    LookUp(#[source] LookUpError),
    /// The authorities cannot be used.
    #[error("the relay's authorities cannot be used")]
    Authorities(#[source] VerifierFault),
    /// No address led to a session.
    #[error("no tunnel to {address}")]
    Handshake {
        /// The last address that was tried.
        address: SocketAddr,
        /// What went wrong there.
        #[source]
        cause: HandshakeError,
    },
    /// No TCP connection.
    #[error("no way to the relay over TCP")]
    Way(#[source] WayError),
    /// A TCP connection, but no tunnel.
    #[error("no tunnel over TCP")]
    OverTcp(#[source] http2::HandshakeError),
    /// Neither transport led to the relay.
    #[error("no tunnel over TCP ({}), and none over QUIC", WithCauses(&**.tcp))]
    Neither {
        /// What went wrong over QUIC.
        #[source]
        quic: Box<Self>,
        /// What went wrong over TCP.
        tcp: Box<Self>,
    },
    /// The relay did not take the tunnel.
    #[error("the relay did not take the tunnel")]
    Greeting(#[source] GreetError),
}

impl DialError {
    /// The error as one word, for metrics.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::LookUp(error) => error.reason(),
            Self::Authorities(_) => "AuthoritiesUnusable",
            Self::Handshake { cause, .. } => cause.reason(),
            Self::Way(error) => error.reason(),
            Self::OverTcp(error) => error.reason(),
            Self::Neither { quic, .. } => quic.reason(),
            Self::Greeting(error) => error.reason(),
        }
    }

    /// Whether a person has to do something: waiting alone will not help.
    pub(crate) fn needs_a_person(&self) -> bool {
        let closed = match self {
            Self::Authorities(_) => return true,
            Self::Handshake {
                cause: HandshakeError::Failed(closed),
                ..
            }
            | Self::OverTcp(http2::HandshakeError::Failed(closed))
            | Self::Greeting(GreetError::Closed(closed)) => closed,
            Self::Handshake {
                cause: HandshakeError::NoProtocol,
                ..
            }
            | Self::OverTcp(
                http2::HandshakeError::NoProtocol | http2::HandshakeError::NoBeginning,
            )
            | Self::Greeting(GreetError::UnknownVersion { .. }) => return true,
            Self::Way(error) => return error.needs_a_person(),
            Self::Neither { quic, tcp } => return quic.needs_a_person() || tcp.needs_a_person(),
            _ => return false,
        };
        matches!(
            closed,
            Closed::RefusedByPeer { .. }
                | Closed::RefusedHere { .. }
                | Closed::ByPeer {
                    code: CloseCode::NameRefused
                        | CloseCode::CertificateEnded
                        | CloseCode::UnknownVersion
                        | CloseCode::ProtocolViolation,
                    ..
                }
        )
    }
}

/// A session that the relay welcomed.
#[derive(Debug)]
pub(crate) struct Welcomed {
    pub(crate) session: Arc<dyn Session>,
    pub(crate) welcome: Welcome,
    pub(crate) reader: ControlReader,
    pub(crate) writer: ControlWriter,
}

/// Who dials, and whom it believes.
#[derive(Clone, Copy)]
pub(crate) struct Papers<'a> {
    pub(crate) identity: &'a KeyPair,
    pub(crate) authorities: &'a Anchors,
    pub(crate) clock: &'a Arc<dyn Clock>,
}

impl Papers<'_> {
    fn tls(&self) -> Result<AgentTls, DialError> {
        let certificates = self.authorities.certificates();
        let verifier = RelayVerifier::new(&certificates, Arc::clone(self.clock))
            .map_err(DialError::Authorities)?;
        Ok(AgentTls {
            chain: self.identity.chain().to_vec(),
            key: self.identity.private_key(),
            relay: Arc::new(verifier),
        })
    }
}

/// Where sessions come from, one a transport. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints {
    pub(crate) quic: quic::AgentEndpoint,
    pub(crate) tcp: http2::AgentEndpoint,
}

impl Endpoints {
    /// A session over `transport`. It has not been greeted.
    pub(crate) async fn reach(
        &self,
        relay: &Relay,
        transport: Transport,
        papers: Papers<'_>,
        head_start: Duration,
    ) -> Result<Arc<dyn Session>, DialError> {
        match transport {
            Transport::Quic => self.over_quic(relay, papers).await,
            Transport::Tcp => self.over_tcp(relay, papers).await,
            Transport::Auto => {
                let over_quic = self.over_quic(relay, papers);
                first_to_stand(over_quic, self.over_tcp(relay, papers), head_start).await
            }
        }
    }

    /// A session over QUIC.
    pub(crate) async fn over_quic(
        &self,
        relay: &Relay,
        papers: Papers<'_>,
    ) -> Result<Arc<dyn Session>, DialError> {
        papers.tls()?;
        let addresses = look_up(&relay.host, relay.port)
            .await
            .map_err(DialError::LookUp)?;
        let mut attempts = Vec::new();
        for address in addresses {
            let (tls, endpoint, server_name) =
                (papers.tls()?, self.quic.clone(), relay.server_name.clone());
            attempts.push(async move {
                let deadline = Instant::now() + HANDSHAKE_LIMIT;
                let dialled = endpoint.dial(address, &server_name, tls, deadline).await;
                dialled.map_err(|cause| DialError::Handshake { address, cause })
            });
        }
        let nowhere = || Err(DialError::LookUp(LookUpError::NoAddress));
        let session = first_of(attempts.into_iter())
            .await
            .unwrap_or_else(nowhere)?;
        Ok(Arc::new(session))
    }

    /// A session over TCP, by way of a proxy where one is set.
    pub(crate) async fn over_tcp(
        &self,
        relay: &Relay,
        papers: Papers<'_>,
    ) -> Result<Arc<dyn Session>, DialError> {
        let tls = papers.tls()?;
        let socket = way::connect(&relay.host, relay.port, relay.proxy.as_ref())
            .await
            .map_err(DialError::Way)?;
        let deadline = Instant::now() + TCP_HANDSHAKE_LIMIT;
        let session = self
            .tcp
            .begin(socket, &relay.server_name, tls, deadline)
            .await
            .map_err(DialError::OverTcp)?;
        Ok(Arc::new(session))
    }

    /// Ends every session.
    pub(crate) fn close(&self) {
        self.quic
            .close(CloseCode::GoingAway, "the agent is going away");
        self.tcp.close();
    }

    /// Waits until every relay was told. Give it a deadline.
    pub(crate) async fn wait_idle(&self) {
        tokio::join!(self.quic.wait_idle(), self.tcp.wait_idle());
    }
}

/// QUIC alone for a moment, unless it fails at once; then both, and the first that stands. The other is given
/// up before it has greeted, so the relay never has two where one was meant.
async fn first_to_stand<T>(
    over_quic: impl Future<Output = Result<T, DialError>>,
    over_tcp: impl Future<Output = Result<T, DialError>>,
    head_start: Duration,
) -> Result<T, DialError> {
    let (mut over_quic, mut over_tcp) = (pin!(over_quic), pin!(over_tcp));
    let quic_failed = match timeout(head_start, &mut over_quic).await {
        Ok(Ok(session)) => return Ok(session),
        Ok(Err(error)) => Some(error),
        Err(_elapsed) => None,
    };
    let (quic, tcp) = if let Some(quic) = quic_failed {
        match over_tcp.await {
            Ok(session) => return Ok(session),
            Err(tcp) => (quic, tcp),
        }
    } else {
        tokio::select! {
            biased;
            dialled = &mut over_quic => match (dialled, &mut over_tcp) {
                (Ok(session), _) => return Ok(session),
                (Err(quic), over_tcp) => match over_tcp.await {
                    Ok(session) => return Ok(session),
                    Err(tcp) => (quic, tcp),
                },
            },
            dialled = &mut over_tcp => match (dialled, &mut over_quic) {
                (Ok(session), _) => return Ok(session),
                (Err(tcp), over_quic) => match over_quic.await {
                    Ok(session) => return Ok(session),
                    Err(quic) => (quic, tcp),
                },
            },
        }
    };
    Err(DialError::Neither {
        quic: Box::new(quic),
        tcp: Box::new(tcp),
    })
}

/// Greets the relay on a session that stands.
pub(crate) async fn introduce(
    session: Arc<dyn Session>,
    hello: Hello,
) -> Result<Welcomed, DialError> {
    match greet(&*session, hello, Instant::now() + GREETING_LIMIT).await {
        Ok((welcome, reader, writer)) => Ok(Welcomed {
            session,
            welcome,
            reader,
            writer,
        }),
        Err(error) => {
            let code = match &error {
                GreetError::UnknownVersion { .. } => CloseCode::UnknownVersion,
                GreetError::TooLate => CloseCode::GreetingTimeout,
                _ => CloseCode::ProtocolViolation,
            };
            session.close(code, &error.to_string());
            Err(DialError::Greeting(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::time::sleep;

    use super::*;

    async fn after(
        millis: u64,
        outcome: Result<&'static str, LookUpError>,
    ) -> Result<&'static str, DialError> {
        sleep(Duration::from_millis(millis)).await;
        outcome.map_err(DialError::LookUp)
    }

    fn fails() -> Result<&'static str, LookUpError> {
        Err(LookUpError::NoAddress)
    }

    #[tokio::test(start_paused = true)]
    async fn quic_is_alone_for_two_seconds() {
        let begun = Instant::now();
        let stood = first_to_stand(after(1900, Ok("quic")), after(0, Ok("tcp")), HEAD_START).await;
        assert_eq!(stood.ok(), Some("quic"));
        let stood = first_to_stand(after(2100, Ok("quic")), after(50, Ok("tcp")), HEAD_START).await;
        assert_eq!(stood.ok(), Some("tcp"));
        assert_eq!(begun.elapsed().as_millis(), 1900 + 2050);
    }

    #[tokio::test(start_paused = true)]
    async fn both_are_tried_until_both_have_failed() {
        let begun = Instant::now();
        let stood = first_to_stand(
            ready(Err(DialError::LookUp(LookUpError::NoAddress))),
            after(9, Ok("tcp")),
            HEAD_START,
        )
        .await;
        assert_eq!((stood.ok(), begun.elapsed().as_millis()), (Some("tcp"), 9));
        let stood = first_to_stand(after(4000, Ok("quic")), after(10, fails()), HEAD_START).await;
        assert_eq!(stood.ok(), Some("quic"));
        let stood = first_to_stand(after(3000, fails()), after(2000, Ok("tcp")), HEAD_START).await;
        assert_eq!(stood.ok(), Some("tcp"));
        let failed = first_to_stand(after(3000, fails()), after(2000, fails()), HEAD_START).await;
        assert!(matches!(failed, Err(DialError::Neither { .. })));
    }
}

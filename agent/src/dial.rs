//! One attempt to reach a relay: look up, handshake, greet.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gangplank_config::{Anchors, KeyPair};
use gangplank_pki::clock::Clock;
use gangplank_pki::peer::{RelayVerifier, VerifierFault};
use gangplank_tunnel::quic::{AgentEndpoint, AgentTls, HandshakeError};
use gangplank_tunnel::wire::{CloseCode, Hello, Welcome};
use gangplank_tunnel::{Closed, ControlReader, ControlWriter, GreetError, Session, greet};
use rustls::client::danger::ServerCertVerifier;
use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::settings::Relay;

/// How long the resolver may take: its own usual patience.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);

/// How long one address may take for its handshake: a handshake is one round trip, and lost packets
/// are sent again after 1 and 3 s.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// From the end of the handshake to the welcome: the same patience as the relay's.
const GREETING_LIMIT: Duration = Duration::from_secs(10);

/// Addresses of one host that are tried in one attempt: a name with more is a load balancer, of
/// which some will do.
const ADDRESSES: usize = 4;

/// How much later than an address the next one is tried (RFC 8305 §5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DialError {
    /// The name could not be looked up.
    #[error("the relay's name could not be looked up; look at `relays` and at this host's DNS")]
    LookUp(#[source] io::Error),
    /// The resolver did not answer.
    #[error("the resolver did not answer in time; look at this host's DNS")]
    ResolverSilent,
    /// The name has no address.
    #[error("the relay's name has no address; look at `relays`")]
    NoAddress,
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
    /// The relay did not take the tunnel.
    #[error("the relay did not take the tunnel")]
    Greeting(#[source] GreetError),
}

impl DialError {
    /// The error as one word, for metrics.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::LookUp(_) => "LookUpFailed",
            Self::ResolverSilent => "ResolverSilent",
            Self::NoAddress => "NoAddress",
            Self::Authorities(_) => "AuthoritiesUnusable",
            Self::Handshake { cause, .. } => cause.reason(),
            Self::Greeting(error) => error.reason(),
        }
    }

    /// Whether a person has to do something: waiting alone will not help.
    pub(crate) const fn needs_a_person(&self) -> bool {
        let closed = match self {
            Self::Authorities(_) => return true,
            Self::Handshake {
                cause: HandshakeError::Failed(closed),
                ..
            }
            | Self::Greeting(GreetError::Closed(closed)) => closed,
            Self::Handshake {
                cause: HandshakeError::NoProtocol,
                ..
            }
            | Self::Greeting(GreetError::UnknownVersion { .. }) => return true,
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

/// Dials `relay` once.
pub(crate) async fn dial(
    endpoint: &AgentEndpoint,
    relay: &Relay,
    papers: Papers<'_>,
    hello: Hello,
) -> Result<Welcomed, DialError> {
    let certificates = papers.authorities.certificates();
    let verifier = RelayVerifier::new(&certificates, Arc::clone(papers.clock))
        .map_err(DialError::Authorities)?;
    let verifier: Arc<dyn ServerCertVerifier> = Arc::new(verifier);
    let addresses = look_up(relay).await?;
    let attempts = addresses.into_iter().take(ADDRESSES).map(|address| {
        let tls = AgentTls {
            chain: papers.identity.chain().to_vec(),
            key: papers.identity.private_key(),
            relay: Arc::clone(&verifier),
        };
        let (endpoint, server_name) = (endpoint.clone(), relay.server_name.clone());
        async move {
            let deadline = Instant::now() + HANDSHAKE_LIMIT;
            let dialled = endpoint.dial(address, &server_name, tls, deadline).await;
            dialled.map_err(|cause| DialError::Handshake { address, cause })
        }
    });
    introduce(Arc::new(first_of(attempts).await?), hello).await
}

/// The first attempt that succeeds. The next one begins when the one before has failed, or after a
/// moment: an address whose packets vanish must not hold up the others. Those that are late are
/// given up.
async fn first_of<T: Send + 'static>(
    attempts: impl Iterator<Item = impl Future<Output = Result<T, DialError>> + Send + 'static>,
) -> Result<T, DialError> {
    let mut waiting = attempts.fuse().peekable();
    let mut running = JoinSet::new();
    let mut failure = DialError::NoAddress;
    loop {
        if let Some(attempt) = waiting.next() {
            running.spawn(attempt);
        }
        let more = waiting.peek().is_some();
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(Ok(Ok(success))) => return Ok(success),
                Some(Ok(Err(error))) => failure = error,
                Some(Err(_panicked)) => {}
                None => return Err(failure),
            },
            () = sleep(NEXT_ADDRESS), if more => {}
        }
    }
}

async fn look_up(relay: &Relay) -> Result<Vec<SocketAddr>, DialError> {
    let looking = lookup_host((relay.host.as_str(), relay.port));
    let found = timeout(LOOKUP_LIMIT, looking)
        .await
        .map_err(|_late| DialError::ResolverSilent)?;
    Ok(found.map_err(DialError::LookUp)?.collect())
}

async fn introduce(session: Arc<dyn Session>, hello: Hello) -> Result<Welcomed, DialError> {
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
    use std::future::{pending, ready};

    use super::*;

    type Attempt = Box<dyn Future<Output = Result<u8, DialError>> + Send + Unpin>;

    fn fails() -> Attempt {
        Box::new(ready(Err(DialError::ResolverSilent)))
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_whose_packets_vanish_holds_nobody_up() {
        let begun = Instant::now();
        let attempts: [Attempt; 3] = [Box::new(pending()), fails(), Box::new(ready(Ok(3)))];
        assert_eq!(first_of(attempts.into_iter()).await.expect("the third"), 3);
        assert_eq!(begun.elapsed(), NEXT_ADDRESS);
    }

    #[tokio::test]
    async fn the_last_failure_is_told() {
        let failed = first_of([fails(), fails()].into_iter())
            .await
            .expect_err("both failed");
        assert_eq!(failed.reason(), "ResolverSilent");
        let none: [Attempt; 0] = [];
        let failed = first_of(none.into_iter()).await.expect_err("no address");
        assert_eq!(failed.reason(), "NoAddress");
    }
}

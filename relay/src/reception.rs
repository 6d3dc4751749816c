//! What the relay serves itself, over TCP, at its own name: enrolment of agents.
//!
//! Here and at the landing of tunnels, and nowhere else, the relay ends TLS. The protocol that the other side offers says what it
//! came for: to join with a token, or to renew the certificate that it shows. One question, one answer.

use std::io::{self, Cursor};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gangplank_enrolment::Office;
use gangplank_pki::peer::VerifierFault;
use gangplank_pki::{WithCauses, crypto};
use gangplank_tunnel::wire::enrolment::{
    EnrolmentAnswer, EnrolmentQuestion, EnrolmentRefusal, JOIN_PROTOCOL, MAX_QUESTION,
    RENEW_PROTOCOL,
};
use gangplank_tunnel::wire::{RECORD_PREFIX, WireFault, record_length};
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::Instrument as _;

use crate::identity::TunnelIdentity;
use crate::metrics::Counters;

/// From the ClientHello to the end of the answer: four round trips, two signatures and a synced write.
const DEADLINE: Duration = Duration::from_secs(15);

/// Who is received at once. Joining is rare, and each handshake costs the relay a signature that callers
/// wait for; a thousand agents that renew in the same hour need three.
const AT_ONCE: usize = 32;

/// The reception.
#[derive(Debug)]
pub(crate) struct Reception {
    office: Office,
    identity: TunnelIdentity,
    places: Semaphore,
    counters: Counters,
}

/// Why a visit came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VisitFault {
    #[error("too many are received at once")]
    Crowded,
    #[error("the visit took too long")]
    TooLate,
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the relay's certificate or its authorities cannot be used")]
    Identity(#[source] IdentityFault),
    #[error("the connection broke off")]
    Broken(#[from] io::Error),
    #[error("the question was not understood")]
    Question(#[from] WireFault),
}

/// Why the relay cannot show itself, or judge who comes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityFault {
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Verifier(#[from] VerifierFault),
    #[error("{0}")]
    File(#[from] gangplank_config::Fault),
}

impl VisitFault {
    /// The word for metrics and logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Crowded => "Crowded",
            Self::TooLate => "TooLate",
            Self::Handshake(_) => "HandshakeFailed",
            Self::Identity(_) => "IdentityUnusable",
            Self::Broken(_) => "BrokenOff",
            Self::Question(_) => "NotUnderstood",
        }
    }
}

/// What somebody came for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Join,
    Renew,
}

impl Reception {
    pub(crate) fn new(office: Office, identity: TunnelIdentity, counters: Counters) -> Self {
        Self {
            office,
            identity,
            places: Semaphore::new(AT_ONCE),
            counters,
        }
    }

    /// Receives one connection from `address` whose first bytes were read already.
    pub(crate) async fn receive(
        &self,
        socket: TcpStream,
        address: SocketAddr,
        first_bytes: Vec<u8>,
    ) {
        let span = tracing::info_span!("visit", client.addr = %address);
        self.answer_in_time(socket, first_bytes)
            .instrument(span)
            .await;
    }

    async fn answer_in_time(&self, socket: TcpStream, first_bytes: Vec<u8>) {
        let visit = timeout(DEADLINE, self.attend(socket, first_bytes));
        match visit.await.unwrap_or(Err(VisitFault::TooLate)) {
            Ok(outcome) => self.counters.enrolled(outcome),
            Err(fault) => {
                self.counters.enrolled(fault.reason());
                if matches!(fault, VisitFault::Identity(_)) {
                    tracing::error!(error = %WithCauses(&fault), "nobody can enrol");
                } else {
                    tracing::debug!(
                        reason = fault.reason(),
                        error = %WithCauses(&fault),
                        "a visit came to nothing"
                    );
                }
            }
        }
    }

    async fn attend(
        &self,
        socket: TcpStream,
        first_bytes: Vec<u8>,
    ) -> Result<&'static str, VisitFault> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(VisitFault::Crowded);
        };
        let (read, write) = socket.into_split();
        let whole = tokio::io::join(Cursor::new(first_bytes).chain(read), write);
        let (purpose, mut stream) = self.shake_hands(whole).await?;
        let answer = self.answer(purpose, &mut stream).await?;
        let outcome = match &answer {
            EnrolmentAnswer::Granted(_) => "Granted",
            EnrolmentAnswer::Refused { code, .. } => code.reason(),
        };
        stream.write_all(&answer.encode()?).await?;
        stream.shutdown().await?;
        Ok(outcome)
    }

    async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: S,
    ) -> Result<(Purpose, TlsStream<S>), VisitFault> {
        let acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket);
        let started = acceptor.await.map_err(VisitFault::Handshake)?;
        let renews = started
            .client_hello()
            .alpn()
            .is_some_and(|mut offered| offered.any(|protocol| protocol == RENEW_PROTOCOL));
        // Who offers neither is refused by the handshake itself (RFC 7301 §3.2).
        let purpose = if renews {
            Purpose::Renew
        } else {
            Purpose::Join
        };
        let config = self.tls(purpose).map_err(VisitFault::Identity)?;
        let stream = started
            .into_stream(Arc::new(config))
            .await
            .map_err(VisitFault::Handshake)?;
        // ... unless it offers nothing at all.
        if stream.get_ref().1.alpn_protocol().is_none() {
            let unspoken = io::Error::other("no protocol was agreed on");
            return Err(VisitFault::Handshake(unspoken));
        }
        Ok((purpose, stream))
    }

    /// Made for each visit, from the newest state of the files.
    fn tls(&self, purpose: Purpose) -> Result<ServerConfig, IdentityFault> {
        let builder = ServerConfig::builder_with_provider(crypto::provider())
            .with_protocol_versions(&[&version::TLS13])?;
        let key_pair = self.identity.key_pair();
        let mut chain = key_pair.chain().to_vec();
        let (builder, protocol) = match purpose {
            Purpose::Join => {
                // Who joins knows one of these by its SHA-256, and nothing else yet.
                chain.extend(self.office.relay_authorities().read()?.certificates());
                (builder.with_no_client_auth(), JOIN_PROTOCOL)
            }
            Purpose::Renew => {
                let verifier = self.identity.verifier()?.with_grace(self.office.grace());
                (
                    builder.with_client_cert_verifier(Arc::new(verifier)),
                    RENEW_PROTOCOL,
                )
            }
        };
        let certified = CertifiedKey::from_der(chain, key_pair.private_key(), &crypto::provider())?;
        let resolver = rustls::sign::SingleCertAndKey::from(certified);
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![protocol.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        purpose: Purpose,
        stream: &mut TlsStream<S>,
    ) -> Result<EnrolmentAnswer, VisitFault> {
        let question = match read_question(stream).await {
            Ok(question) => question,
            Err(VisitFault::Question(fault)) => {
                let code = EnrolmentRefusal::Malformed;
                return Ok(EnrolmentAnswer::refused(code, &fault.to_string()));
            }
            Err(fault) => return Err(fault),
        };
        Ok(match purpose {
            Purpose::Join => self.office.answer_join(&question).await,
            Purpose::Renew => {
                let shown = stream.get_ref().1.peer_certificates();
                let leaf = shown.and_then(<[CertificateDer<'_>]>::first).cloned();
                let leaf = leaf.unwrap_or_else(|| CertificateDer::from(Vec::new()));
                self.office.answer_renewal(&leaf, &question).await
            }
        })
    }
}

async fn read_question<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> Result<EnrolmentQuestion, VisitFault> {
    let mut prefix = [0; RECORD_PREFIX];
    stream.read_exact(&mut prefix).await?;
    let length = record_length(prefix, "enrolment question", MAX_QUESTION)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(EnrolmentQuestion::parse(&body)?)
}

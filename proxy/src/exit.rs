//! The exit: takes callers' connections, wherever they come from, to the API server.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use gangplank_config::role::exit::{ClientAuth, NestedImpersonation};
use gangplank_config::role::limits::Limits;
use gangplank_pki::WithCauses;
use gangplank_pki::caller::CallerVerifier;
use gangplank_pki::clock::Clock;
use prometheus_client::registry::Registry;
use rustls::server::ResolvesServerCert;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::Trail;
use crate::authenticate::{Papers, Trust, Verdict};
use crate::connection::Connection;
use crate::handshake::{Handshake, HandshakeFault};
use crate::metrics::{ClassLabels, HandshakeLabels, HandshakeResult, Metrics};
use crate::nested::Reviews;
use crate::shares::Shares;
use crate::upstream::Client;

/// Where a connection came from, for audit and for limits that are not security.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The address at the caller's end.
    pub address: SocketAddr,
    /// Whose word that is.
    pub said_by: Witness,
    /// The connection's id, which its relay's log has too.
    pub connection: u128,
    /// The tunnel that it came through, if any.
    pub tunnel: Option<Arc<str>>,
    /// The relay that it came by, if any.
    pub relay: Option<Arc<str>>,
}

impl Caller {
    pub(crate) fn connection_text(&self) -> impl fmt::Display {
        uuid::Uuid::from_u128(self.connection)
    }
}

/// Who says what a caller's address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// Our own socket.
    Socket,
    /// A relay, which is not trusted: anything may stand there.
    Relay,
}

impl Witness {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Relay => "relay",
        }
    }
}

/// What an exit is made of.
#[derive(Debug)]
pub struct Parts {
    /// Whom it trusts.
    pub trust: Trust,
    /// Its serving certificate, which may change while it runs.
    pub serving: Arc<dyn ResolvesServerCert>,
    /// When a caller without an accepted certificate is turned away.
    pub client_auth: ClientAuth,
    /// What becomes of callers who ask to be taken for someone else.
    pub nested_impersonation: NestedImpersonation,
    /// The API server's side.
    pub upstream: Client,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where its tasks are counted.
    pub tasks: TaskTracker,
    /// Where its requests' events go.
    pub audit: Trail,
    /// How much of it one organisation, and one caller, may use.
    pub limits: Limits,
}

/// The end of callers' TLS. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Exit {
    shared: Arc<Shared>,
}

/// Serves a connection to its end.
type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What all connections of an exit share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) trust: Trust,
    pub(crate) handshake: Handshake,
    pub(crate) upstream: Client,
    /// Where callers may act as someone else: who says whether.
    pub(crate) reviews: Option<Reviews>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: TaskTracker,
    pub(crate) audit: Trail,
    pub(crate) shares: Shares,
    pub(crate) metrics: Arc<Metrics>,
    /// The operator was told that the API server refuses the exit's account; once is enough.
    pub(crate) account_refused_told: AtomicBool,
    /// The same of reviews.
    pub(crate) reviews_refused_told: AtomicBool,
}

impl Exit {
    /// An exit of these parts that counts in `registry`.
    ///
    /// # Errors
    /// When the crypto provider lacks what TLS needs.
    pub fn new(parts: Parts, registry: &mut Registry) -> Result<Self, rustls::Error> {
        let callers = match parts.client_auth {
            ClientAuth::Request => CallerVerifier::request(),
            ClientAuth::Require => {
                CallerVerifier::require(parts.trust.source(), Arc::clone(&parts.clock))
            }
        };
        let metrics = Arc::new(Metrics::register(registry));
        let reviews = match parts.nested_impersonation {
            NestedImpersonation::Refuse => None,
            NestedImpersonation::Authorize => Some(Reviews::new(Arc::clone(&metrics))),
        };
        let shared = Shared {
            trust: parts.trust,
            handshake: Handshake::new(parts.serving, Arc::new(callers))?,
            upstream: parts.upstream,
            reviews,
            clock: parts.clock,
            tasks: parts.tasks,
            audit: parts.audit,
            shares: Shares::new(parts.limits, metrics.limited.clone()),
            metrics,
            account_refused_told: AtomicBool::new(false),
            reviews_refused_told: AtomicBool::new(false),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Serves one connection until it has ended. When `drain` is cancelled, what runs is finished,
    /// watches end between two events, and nothing new is taken. Dropping the future aborts.
    pub fn serve<IO>(
        &self,
        io: IO,
        caller: Caller,
        drain: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let metrics = Arc::clone(&self.shared.metrics);
        // On the heap for as long as it takes: a connection lives for hours, its handshake for a moment.
        let greeting = Box::pin(greet(Arc::clone(&self.shared), io, caller, drain));
        async move {
            let greeted = greeting.await;
            if let Some(serving) = greeted {
                let _open = Open::count(&metrics);
                serving.await;
            }
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}

/// The handshake, and what becomes of the connection after it.
async fn greet<IO>(
    exit: Arc<Shared>,
    io: IO,
    caller: Caller,
    drain: CancellationToken,
) -> Option<Serving>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let tls = match exit.handshake.accept(io, &caller).await {
        Ok(tls) => tls,
        Err(fault) => {
            exit.note_failed_handshake(&fault, &caller);
            return None;
        }
    };
    exit.note_handshake(HandshakeResult::Done);
    let (_, session) = tls.get_ref();
    let speaks_h2 = session.alpn_protocol() == Some(b"h2");
    let chain = session.peer_certificates().unwrap_or_default().to_vec();
    let papers = Papers::examine(chain, exit.trust.clone(), Arc::clone(&exit.clock));
    exit.note_papers(&papers, &caller);
    let admitted = papers.began_as();
    if admitted.is_some() {
        exit.handshake.remember(&caller);
    }
    let identity = admitted.map(|it| &it.identity);
    let standing = exit
        .shares
        .standing_of(identity, || exit.handshake.place_to_be_told())?;
    let connection = Connection::new(exit, papers, caller, drain, standing);
    Some(if speaks_h2 {
        Box::pin(connection.serve_http2(tls))
    } else {
        Box::pin(connection.serve_http1(tls))
    })
}

impl Shared {
    fn note_handshake(&self, result: HandshakeResult) {
        self.metrics
            .handshakes
            .get_or_create(&HandshakeLabels { result })
            .inc();
    }

    fn note_failed_handshake(&self, fault: &HandshakeFault, caller: &Caller) {
        tracing::debug!(
            client.addr = %caller.address,
            conn.id = %caller.connection_text(),
            reason = fault.reason(),
            error = %WithCauses(fault),
            "no TLS with a caller",
        );
        self.note_handshake(match fault {
            HandshakeFault::Crowded => HandshakeResult::Crowded,
            HandshakeFault::Late => HandshakeResult::Late,
            HandshakeFault::Failed(_) => HandshakeResult::Failed,
        });
    }

    fn note_papers(&self, papers: &Papers, caller: &Caller) {
        match papers.verdict() {
            Verdict::Admitted(admitted) => {
                let end = admitted.identity.valid_until().as_secs();
                let left = end.saturating_sub(self.clock.now().as_secs());
                let left = u32::try_from(left).unwrap_or(u32::MAX);
                self.metrics.certificate_seconds.observe(f64::from(left));
                tracing::debug!(
                    client.addr = %caller.address,
                    conn.id = %caller.connection_text(),
                    user = admitted.identity.username(),
                    provider = %admitted.identity.provider(),
                    "caller let in",
                );
            }
            Verdict::Refused(refusal) => {
                self.metrics
                    .refusals
                    .get_or_create(&ClassLabels {
                        class: refusal.class(),
                    })
                    .inc();
                tracing::debug!(
                    client.addr = %caller.address,
                    conn.id = %caller.connection_text(),
                    class = refusal.class(),
                    "caller refused: {refusal}",
                );
            }
            Verdict::Unwritable | Verdict::Changed => {
                self.metrics
                    .refusals
                    .get_or_create(&ClassLabels {
                        class: "UnusableName",
                    })
                    .inc();
            }
        }
    }
}

/// Counts a connection as long as it is open.
struct Open<'a>(&'a Metrics);

impl<'a> Open<'a> {
    fn count(metrics: &'a Metrics) -> Self {
        metrics.connections.inc();
        Self(metrics)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

#[cfg(test)]
mod tests;

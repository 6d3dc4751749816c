//! A client of an API server over the same connections and with the same credential as the exit's.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use gangplank_apiserver::{Connector, Credential, Deadlines, DialError, Offer, Secured};
use gangplank_config::upstream::Upstream;
use http::header::AUTHORIZATION;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kube::Client;
use kube::client::Body;
use tokio::time::timeout;
use tower::Service;

/// How long a connection may be silent before it is asked whether it still leads anywhere, and how long the answer may
/// take: a lease of 15 s has to be renewed within 10, and a watch says nothing for minutes; one whose server is gone
/// would hear of no revocation.
const SILENCE: Duration = Duration::from_secs(3);

/// What goes wrong below Kubernetes' own answers.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A client of the API server at `upstream`, whose own namespace is `namespace`.
///
/// # Errors
/// When the configured server is not a name that a request can be addressed to.
pub fn client(upstream: &Upstream, namespace: &str) -> Result<Client, http::uri::InvalidUri> {
    let deadlines = Deadlines::default();
    let connector = Connector::new(upstream, deadlines);
    let authority = Authority::try_from(connector.authority())?;
    let transport = legacy::Client::builder(TokioExecutor::new())
        .http2_only(true)
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(SILENCE)
        .http2_keep_alive_timeout(SILENCE)
        .http2_keep_alive_while_idle(true)
        .build(Dial(Arc::new(connector)));
    let questions = Questions {
        transport,
        authority,
        credential: Arc::new(Credential::of(upstream, deadlines.token_age)),
    };
    Ok(Client::new(questions, namespace))
}

/// Requests with our credential to the one server.
#[derive(Clone)]
struct Questions {
    transport: legacy::Client<Dial, Body>,
    authority: Authority,
    credential: Arc<Credential>,
}

impl Questions {
    /// Where `asked` is at this server.
    fn address(&self, asked: &Uri) -> Result<Uri, http::uri::InvalidUriParts> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        let path = asked.path_and_query().cloned();
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        Uri::from_parts(parts)
    }
}

impl Service<Request<Body>> for Questions {
    type Response = Response<Incoming>;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Fault>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            *request.uri_mut() = this.address(request.uri())?;
            if let Some(authorization) = this.credential.authorization().await? {
                request.headers_mut().insert(AUTHORIZATION, authorization);
            }
            Ok(this.transport.request(request).await?)
        })
    }
}

/// Opens connections to the one server, whatever address is asked for.
#[derive(Clone)]
struct Dial(Arc<Connector>);

impl Service<Uri> for Dial {
    type Response = Secure;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Secure, DialError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _server: Uri) -> Self::Future {
        let connector = Arc::clone(&self.0);
        Box::pin(async move {
            let tcp = connector.reach().await?;
            let deadline = connector.deadlines().handshake;
            let Ok(secured) = timeout(deadline, connector.secure(tcp, Offer::Newest)).await else {
                let authority = connector.authority().to_owned();
                return Err(DialError::HandshakeLate {
                    authority,
                    deadline,
                });
            };
            let (io, _certificate) = secured?;
            Ok(Secure(TokioIo::new(io)))
        })
    }
}

/// A connection, as the HTTP library wants it.
struct Secure(TokioIo<Secured>);

impl Connection for Secure {
    fn connected(&self) -> Connected {
        Connected::new().negotiated_h2()
    }
}

impl Read for Secure {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Secure {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }
}

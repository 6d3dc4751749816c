//! A collector that is asked over HTTP/1.1: `POST` with a JSON array of events, answered with any 2xx.
//!
//! A batch is posted until it is accepted, so a collector may get one twice; `request.id` and `stage` tell.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gangplank_config::role::audit;
use gangplank_config::{Anchors, Fault};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Sink, whole_lines};

/// The largest batch: half of what nginx lets pass to a collector by default.
const LARGEST_BATCH: usize = 512 * 1024;

/// How much of an answer is read, so that the connection can be used again. What collectors say is short.
const LARGEST_ANSWER: usize = 64 * 1024;

/// What is sent as `User-Agent`.
const AGENT: &str = concat!("gangplank/", env!("CARGO_PKG_VERSION"));

/// Why a batch was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookFault {
    /// A file that is named for it cannot be used.
    #[error("a file for the audit webhook cannot be used")]
    Material(#[source] Fault),
    /// Its authorities cannot be used.
    #[error("the audit webhook's authorities cannot be used")]
    Authorities(#[source] rustls::Error),
    /// Nobody answers there, or not with TLS as it should be.
    #[error("the audit webhook cannot be connected to")]
    Unreachable(#[source] io::Error),
    /// HTTP broke off.
    #[error("the audit webhook did not answer")]
    BrokeOff(#[source] hyper::Error),
    /// It took too long.
    #[error("the audit webhook did not answer within {0:?}")]
    Late(Duration),
    /// It does not want the batch.
    #[error("the audit webhook answered {0}")]
    Refused(StatusCode),
    /// Its address or its token cannot stand in a request.
    #[error("the request for the audit webhook cannot be made")]
    Request(#[source] http::Error),
}

/// A collector, and a connection to it that is used again.
pub struct Webhook {
    config: audit::Webhook,
    /// For this thread alone: the writer must not depend on how busy the callers' one is.
    runtime: Runtime,
    open: Option<Open>,
}

/// A connection. It runs only while there is something to post.
struct Open {
    sender: SendRequest<Full<Bytes>>,
    running: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<IO: AsyncRead + AsyncWrite + Send + Unpin> Stream for IO {}

impl Webhook {
    /// A collector that nobody has tried yet.
    ///
    /// # Errors
    /// When there is no runtime to be had.
    pub fn new(config: audit::Webhook) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            config,
            runtime,
            open: None,
        })
    }
}

/// Posts a batch. A connection that was used before may have been closed meanwhile, which says nothing
/// about the collector: then a new one is tried at once.
async fn post(
    config: &audit::Webhook,
    open: &mut Option<Open>,
    batch: &Bytes,
) -> Result<(), WebhookFault> {
    if let Some(mut used) = open.take()
        && let Ok(outcome) = used.exchange(config, batch).await
    {
        return settle(outcome, used, open);
    }
    let mut new = Open::dial(config).await?;
    let outcome = new.exchange(config, batch).await?;
    settle(outcome, new, open)
}

/// What an answer means; the connection is kept if it can be used again.
fn settle(
    outcome: (StatusCode, bool),
    used: Open,
    open: &mut Option<Open>,
) -> Result<(), WebhookFault> {
    let (status, is_open) = outcome;
    if is_open {
        *open = Some(used);
    }
    if status.is_success() {
        Ok(())
    } else {
        Err(WebhookFault::Refused(status))
    }
}

impl Open {
    async fn dial(config: &audit::Webhook) -> Result<Self, WebhookFault> {
        let server = &config.server;
        let tcp = TcpStream::connect((server.host.as_str(), server.port))
            .await
            .map_err(WebhookFault::Unreachable)?;
        let io: Box<dyn Stream> = match &config.authorities {
            None => Box::new(tcp),
            Some(authorities) => {
                let authorities = authorities.read().map_err(WebhookFault::Material)?;
                let tls = tls(&authorities).map_err(WebhookFault::Authorities)?;
                let name = server.tls_server_name.clone();
                let tls = TlsConnector::from(tls).connect(name, tcp).await;
                Box::new(tls.map_err(WebhookFault::Unreachable)?)
            }
        };
        let (sender, running) = http1::handshake(TokioIo::new(io))
            .await
            .map_err(WebhookFault::BrokeOff)?;
        Ok(Self {
            sender,
            running: Box::pin(running),
        })
    }

    /// The answer's status, and whether another request can follow.
    async fn exchange(
        &mut self,
        config: &audit::Webhook,
        batch: &Bytes,
    ) -> Result<(StatusCode, bool), WebhookFault> {
        let request = request(config, batch)?;
        let Self { sender, running } = self;
        let mut answer = pin!(async {
            sender.ready().await?;
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST_ANSWER);
            Ok((status, body.collect().await.is_ok()))
        });
        let mut is_running = true;
        loop {
            tokio::select! {
                biased;
                answered = &mut answer => {
                    let (status, is_read) = answered.map_err(WebhookFault::BrokeOff)?;
                    return Ok((status, is_read && is_running));
                }
                // What it ended with is the answer's to say: it may have come before.
                _ = running.as_mut(), if is_running => is_running = false,
            }
        }
    }
}

fn request(config: &audit::Webhook, batch: &Bytes) -> Result<Request<Full<Bytes>>, WebhookFault> {
    let mut request = Request::post(&config.target)
        .header(HOST, &config.server.authority)
        .header(USER_AGENT, AGENT)
        .header(CONTENT_TYPE, "application/json");
    if let Some(token) = &config.token {
        let token = token.read().map_err(WebhookFault::Material)?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", token.secret()));
        let mut bearer = bearer.map_err(|fault| WebhookFault::Request(fault.into()))?;
        bearer.set_sensitive(true);
        request = request.header(AUTHORIZATION, bearer);
    }
    request
        .body(Full::new(batch.clone()))
        .map_err(WebhookFault::Request)
}

fn tls(authorities: &Anchors) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for anchor in authorities.certificates() {
        roots.add(anchor)?;
    }
    let mut tls = ClientConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}

/// Lines as one array: a comma for each newline but the last.
fn array(lines: &[u8]) -> Bytes {
    let mut array = Vec::with_capacity(lines.len() + 2);
    array.push(b'[');
    array.extend_from_slice(lines.strip_suffix(b"\n").unwrap_or(lines));
    for byte in &mut array {
        if *byte == b'\n' {
            *byte = b',';
        }
    }
    array.push(b']');
    Bytes::from(array)
}

impl Sink for Webhook {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let batch = match whole_lines(lines, LARGEST_BATCH) {
            // A single line is never so long.
            [] => lines,
            batch => batch,
        };
        let (config, open, body) = (&self.config, &mut self.open, array(batch));
        let limit = config.timeout;
        let posted = self
            .runtime
            .block_on(async { timeout(limit, post(config, open, &body)).await });
        match posted {
            Ok(Ok(())) => Ok(batch.len()),
            Ok(Err(fault)) => Err(io::Error::other(fault)),
            Err(_) => Err(io::Error::other(WebhookFault::Late(limit))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_an_array() {
        assert_eq!(
            array(b"{\"a\":1}\n{\"a\":2}\n"),
            &b"[{\"a\":1},{\"a\":2}]"[..]
        );
        assert_eq!(array(b"{}\n"), &b"[{}]"[..]);
    }
}

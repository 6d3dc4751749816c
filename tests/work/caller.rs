//! A caller: one mutual TLS connection, with HTTP of the version that the case asks for.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use gangplank_pki::issue::Issued;
use gangplank_pki::{crypto, pem};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;

use crate::papers::Papers;
use crate::site::ENTRANCE;

/// The HTTP that callers speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    /// HTTP/1.1.
    One,
    /// HTTP/2.
    Two,
}

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Callers {
    tls: TlsConnector,
    address: SocketAddr,
    http: Http,
}

/// A connection.
pub(crate) enum Connection {
    /// Of HTTP/1.1.
    One(http1::SendRequest<Empty<Bytes>>),
    /// Of HTTP/2.
    Two(http2::SendRequest<Empty<Bytes>>),
}

impl Callers {
    /// Callers of an exit at `address`.
    ///
    /// # Errors
    ///
    /// When the papers cannot be used.
    pub(crate) fn new(papers: &Papers, address: SocketAddr, http: Http) -> anyhow::Result<Self> {
        let config = client_config(&papers.caller, &papers.exit.ca_pem, http)?;
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            address,
            http,
        })
    }

    /// A new connection.
    ///
    /// # Errors
    ///
    /// When it does not come about.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(ENTRANCE)?;
        let io = TokioIo::new(self.tls.connect(name, socket).await?);
        let tasks = TaskTracker::new();
        Ok(match self.http {
            Http::One => {
                let (sender, connection) = http1::handshake(io).await?;
                tasks.spawn(connection);
                Connection::One(sender)
            }
            Http::Two => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tasks.spawn(connection);
                Connection::Two(sender)
            }
        })
    }
}

impl Connection {
    /// Asks as kubectl does; answers the answer's body once its head is there.
    ///
    /// # Errors
    ///
    /// When the answer is no 200.
    pub(crate) async fn ask(&mut self, target: &str) -> anyhow::Result<Incoming> {
        let response = match self {
            Self::One(sender) => {
                sender.ready().await?;
                let request = request(target).header("host", ENTRANCE);
                sender.send_request(request.body(Empty::new())?).await?
            }
            Self::Two(sender) => {
                sender.ready().await?;
                let request = request(&format!("https://{ENTRANCE}{target}"));
                sender.send_request(request.body(Empty::new())?).await?
            }
        };
        good(response)
    }

    /// Asks and reads the answer to its end; answers its length.
    ///
    /// # Errors
    ///
    /// When the answer is no 200 or breaks off.
    pub(crate) async fn read(&mut self, target: &str) -> anyhow::Result<usize> {
        let mut body = self.ask(target).await?;
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.into_data().map_or(0, |data| data.len());
        }
        Ok(bytes)
    }
}

/// Reads exactly so many bytes of a body.
///
/// # Errors
///
/// When it ends before.
pub(crate) async fn read_exactly(body: &mut Incoming, mut bytes: usize) -> anyhow::Result<()> {
    while bytes > 0 {
        let frame = body.frame().await.context("the body ended")??;
        let read = frame.into_data().map_or(0, |data| data.len());
        bytes = bytes.checked_sub(read).context("more than was sent")?;
    }
    Ok(())
}

fn good(response: Response<Incoming>) -> anyhow::Result<Incoming> {
    let status = response.status();
    ensure!(status == 200, "the answer is {status}");
    Ok(response.into_body())
}

fn request(uri: &str) -> http::request::Builder {
    Request::get(uri)
        .header(
            "accept",
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        )
        .header("accept-encoding", "gzip")
        .header("kubectl-command", "kubectl get")
        .header("kubectl-session", "0b1f0a52-6d5e-4a0e-a6c8-d92ecfcde0d9")
        .header(
            "user-agent",
            "kubectl/v1.35.0 (linux/amd64) kubernetes/0123456",
        )
}

fn client_config(papers: &Issued, authority: &str, http: Http) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for authority in pem::certificates(authority.as_bytes())? {
        roots.add(authority)?;
    }
    let mut config = ClientConfig::builder_with_provider(crypto::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(
            pem::certificates(papers.cert_pem.as_bytes())?,
            pem::private_key(papers.key_pem.as_bytes())?,
        )?;
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![match http {
        Http::One => b"http/1.1".to_vec(),
        Http::Two => b"h2".to_vec(),
    }];
    Ok(config)
}

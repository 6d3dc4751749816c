//! The API server of the gate: answers of fixed size, and watches whose events the gate sends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::stream;
use gangplank_pki::issue::Issued;
use gangplank_pki::{crypto, pem};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

/// A piece of a large body: what a Go server writes at a time.
const PIECE: &[u8] = &[b'x'; 32 * 1024];

/// Watches that the gate has opened and not asked for yet: it asks after each one.
const WATCHES: usize = 8;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Where the events of one watch are put; it ends with this value.
pub(crate) type Feed = mpsc::Sender<Bytes>;

/// A running API server.
#[derive(Debug)]
pub(crate) struct ApiServer {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    watches: mpsc::Receiver<Feed>,
}

impl ApiServer {
    /// Listens with these papers, for HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    ///
    /// When there is no port.
    pub(crate) async fn start(papers: &Issued) -> anyhow::Result<Self> {
        let mut config = ServerConfig::builder_with_provider(crypto::provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                pem::certificates(papers.cert_pem.as_bytes())?,
                pem::private_key(papers.key_pem.as_bytes())?,
            )?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (opened, watches) = mpsc::channel(WATCHES);
        let tasks = TaskTracker::new();
        tasks.clone().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tasks.spawn(serve(acceptor.clone(), socket, opened.clone()));
            }
        });
        Ok(Self { address, watches })
    }

    /// The next watch that was asked for.
    ///
    /// # Errors
    ///
    /// When the server has ended.
    pub(crate) async fn watch(&mut self) -> anyhow::Result<Feed> {
        self.watches.recv().await.context("the API server is gone")
    }
}

async fn serve(acceptor: TlsAcceptor, socket: TcpStream, opened: mpsc::Sender<Feed>) {
    drop(socket.set_nodelay(true));
    let Ok(tls) = acceptor.accept(socket).await else {
        return;
    };
    let two = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request: Request<Incoming>| {
        let opened = opened.clone();
        async move { Ok::<_, Infallible>(answer(&request, &opened).await) }
    });
    // How a connection ends is the part's affair.
    if two {
        let server = http2::Builder::new(TokioExecutor::new());
        drop(server.serve_connection(TokioIo::new(tls), service).await);
    } else {
        let server = http1::Builder::new();
        drop(server.serve_connection(TokioIo::new(tls), service).await);
    }
}

async fn answer(request: &Request<Incoming>, opened: &mpsc::Sender<Feed>) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default();
    if query == "watch=true" {
        let (feed, events) = mpsc::channel(1);
        drop(opened.send(feed).await);
        return of(pieces(events));
    }
    let bytes = query.strip_prefix("bytes=").map(str::parse::<usize>);
    match bytes {
        Some(Ok(bytes)) => of(large(bytes)),
        _ => of(Full::new(Bytes::from_static(POD)).boxed_unsync()),
    }
}

/// The headers of kube-apiserver.
fn of(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    for (name, value) in [
        ("audit-id", "7a3c1a52-6d5e-4a0e-a6c8-d92ecfcde0d9"),
        ("cache-control", "no-cache, private"),
        ("content-type", "application/json"),
        (
            "x-kubernetes-pf-flowschema-uid",
            "3f1d3f5e-2a55-4c4e-8f0e-0d4cf4f9a5f1",
        ),
        (
            "x-kubernetes-pf-prioritylevel-uid",
            "a1b9c1de-94b5-4d4a-9f5e-6f2f1c7f0a3b",
        ),
    ] {
        let value = http::HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

fn pieces(events: mpsc::Receiver<Bytes>) -> Body {
    let frames = stream::unfold(events, |mut events| async move {
        let event = events.recv().await?;
        Some((Ok(Frame::data(event)), events))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn large(bytes: usize) -> Body {
    let frames = stream::unfold(bytes, |left| async move {
        let piece = PIECE.get(..left.min(PIECE.len()))?;
        let rest = left - piece.len();
        (!piece.is_empty()).then_some((Ok(Frame::data(Bytes::from_static(piece))), rest))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// A small object.
const POD: &[u8] = br#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"shop-0","namespace":"shop","uid":"8f5e5a0c-1f0e-4f3c-9d47-3d8a5a0b0c1d","resourceVersion":"4711","creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"containers":[{"name":"shop","image":"registry.example.com/shop:1"}],"nodeName":"node-1"},"status":{"phase":"Running","podIP":"10.0.0.7"}}"#;

//! API servers that misbehave on purpose: HTTP/2 frame by frame, HTTP/1.1 byte by byte.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use gangplank_config::KeyPair;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

use super::support::Papers;

pub(super) type Tls = TlsStream<TcpStream>;

/// TLS as an API server has it; `alpn` in its order of preference.
pub(super) fn tls(pair: &KeyPair, alpn: &[&str]) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(
            (*pair.certified_key()).clone(),
        )));
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// The same, and no connection without a client certificate of `clients`.
pub(super) fn mutual_tls(pair: &KeyPair, clients: &Papers) -> ServerConfig {
    let mut roots = rustls::RootCertStore::empty();
    for anchor in clients.anchors().certificates() {
        roots.add(anchor).unwrap();
    }
    let provider = gangplank_pki::crypto::provider();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(
            (*pair.certified_key()).clone(),
        )));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Accepts on a port of its own and gives each TLS connection with its number to `serve`.
pub(super) async fn listen<F>(config: ServerConfig, serve: F) -> u16
where
    F: Fn(usize, Result<Tls, std::io::Error>) -> BoxFuture<'static, ()> + Send + Sync + 'static,
{
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let tasks = TaskTracker::new();
    let connections = tasks.clone();
    let serve = Arc::new(serve);
    tasks.spawn(async move {
        for number in 0.. {
            let (tcp, _) = listener.accept().await.unwrap();
            let (acceptor, serve) = (acceptor.clone(), Arc::clone(&serve));
            connections.spawn(async move { serve(number, acceptor.accept(tcp).await).await });
        }
    });
    port
}

/// What an HTTP/2 server saw and may be told to do.
#[derive(Default)]
pub(super) struct Sight {
    /// Method and path of every request, in their order.
    pub(super) requests: Mutex<Vec<String>>,
    pub(super) headers: Mutex<Vec<HeaderMap>>,
    pub(super) connections: AtomicUsize,
    /// The most streams open at once on one connection.
    pub(super) crowd: AtomicUsize,
    pub(super) goaway: Notify,
    pub(super) cut: Notify,
    pub(super) freeze: Notify,
    /// Lets every running answer go on.
    pub(super) proceed: Notify,
}

impl Sight {
    pub(super) fn lines(&self) -> Vec<String> {
        self.requests.lock().clone()
    }

    pub(super) fn last_headers(&self) -> HeaderMap {
        self.headers.lock().last().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// One request at an HTTP/2 server.
pub(super) struct Exchange {
    pub(super) request: Parts,
    pub(super) body: RecvStream,
    pub(super) respond: SendResponse<Bytes>,
    pub(super) sight: Arc<Sight>,
}

impl Exchange {
    /// Headers alone, with more to follow.
    pub(super) fn begin(&mut self) -> h2::SendStream<Bytes> {
        self.respond
            .send_response(Response::new(()), false)
            .unwrap()
    }

    /// A whole answer.
    pub(super) fn answer(mut self, status: StatusCode, text: impl Into<Bytes>) {
        let response = Response::builder().status(status).body(()).unwrap();
        let mut stream = self.respond.send_response(response, false).unwrap();
        stream.send_data(text.into(), true).unwrap();
    }

    pub(super) fn refuse(mut self) {
        self.respond.send_reset(Reason::REFUSED_STREAM);
    }

    pub(super) async fn whole_body(&mut self) -> String {
        let mut text = Vec::new();
        while let Some(chunk) = self.body.data().await {
            let chunk = chunk.unwrap();
            self.body
                .flow_control()
                .release_capacity(chunk.len())
                .unwrap();
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text).unwrap()
    }

    /// Answers as the first letter after the slash says; what most tests need.
    ///
    /// `/watch` sends headers and an event, and ends when told to proceed; `/list` sends 1 MiB as far
    /// as the window lets it; `/lines` 60,000
    /// bytes, each in a frame of its own; everything else is answered with its own path.
    pub(super) async fn play(mut self) {
        let path = self.request.uri.path().to_owned();
        if path.starts_with("/watch") {
            let sight = Arc::clone(&self.sight);
            let proceed = sight.proceed.notified();
            let mut stream = self.begin();
            stream
                .send_data(Bytes::from_static(b"event"), false)
                .unwrap();
            tokio::select! {
                () = proceed => stream.send_data(Bytes::from_static(b"end"), true).unwrap(),
                _ = std::future::poll_fn(|cx| stream.poll_reset(cx)) => {}
            }
        } else if path.starts_with("/lines") {
            let mut stream = self.begin();
            for _ in 0..60_000 {
                stream.send_data(Bytes::from_static(b"\n"), false).unwrap();
            }
            stream.send_data(Bytes::new(), true).unwrap();
            drop(std::future::poll_fn(|cx| stream.poll_reset(cx)).await);
        } else if path.starts_with("/list") {
            let mut stream = self.begin();
            stream
                .send_data(Bytes::from(vec![b'x'; 1 << 20]), true)
                .unwrap();
            drop(std::future::poll_fn(|cx| stream.poll_reset(cx)).await);
        } else {
            if self.request.method != http::Method::GET {
                self.whole_body().await;
            }
            self.answer(StatusCode::OK, path);
        }
    }
}

/// An HTTP/2 server that allows `limit` streams and gives each request to `act`.
pub(super) async fn http2<F>(config: ServerConfig, limit: u32, act: F) -> (u16, Arc<Sight>)
where
    F: Fn(Exchange) -> BoxFuture<'static, ()> + Send + Sync + 'static,
{
    let sight = Arc::new(Sight::default());
    let (seen, act) = (Arc::clone(&sight), Arc::new(act));
    let port = listen(config, move |_, tls| {
        let (sight, act) = (Arc::clone(&seen), Arc::clone(&act));
        Box::pin(async move {
            if let Ok(tls) = tls {
                run(tls, limit, act, sight).await;
            }
        })
    })
    .await;
    (port, sight)
}

async fn run<F>(tls: Tls, limit: u32, act: Arc<F>, sight: Arc<Sight>)
where
    F: Fn(Exchange) -> BoxFuture<'static, ()> + Send + Sync + 'static,
{
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(limit)
        .max_header_list_size(1 << 20);
    let Ok(mut server) = builder.handshake(tls).await else {
        return;
    };
    sight.connections.fetch_add(1, Ordering::SeqCst);
    let open = Arc::new(AtomicUsize::new(0));
    let tasks = TaskTracker::new();
    loop {
        tokio::select! {
            accepted = server.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                let (request, body) = Request::into_parts(request);
                let line = format!("{} {}", request.method, request.uri.path_and_query().unwrap());
                sight.requests.lock().push(line);
                sight.headers.lock().push(request.headers.clone());
                sight.crowd.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let (open, sight) = (Arc::clone(&open), Arc::clone(&sight));
                let acting = act(Exchange { request, body, respond, sight });
                tasks.spawn(async move {
                    acting.await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
            () = sight.goaway.notified() => server.graceful_shutdown(),
            () = sight.cut.notified() => return,
            () = sight.freeze.notified() => pending::<()>().await,
        }
    }
}

/// Reads one HTTP/1.1 request's head and, by its Content-Length, body; `None` at the connection's end.
pub(super) async fn read_request(tls: &mut Tls) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        if tls.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        text.extend_from_slice(&byte);
    }
    let text = String::from_utf8(text).unwrap();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    tls.read_exact(&mut body).await.unwrap();
    Some(text + std::str::from_utf8(&body).unwrap())
}

/// An HTTP/1.1 server that answers the requests of each connection with `answers`, one after the other
/// and again from the beginning, and remembers what it read.
pub(super) async fn http1(
    pair: &KeyPair,
    answers: &'static [&'static str],
) -> (u16, Arc<Mutex<Vec<(usize, String)>>>) {
    let read = Arc::new(Mutex::new(Vec::new()));
    let remembered = Arc::clone(&read);
    let port = listen(tls(pair, &["http/1.1"]), move |number, tls| {
        let remembered = Arc::clone(&remembered);
        Box::pin(async move {
            let Ok(mut tls) = tls else { return };
            for answer in answers.iter().cycle() {
                let Some(request) = read_request(&mut tls).await else {
                    return;
                };
                remembered.lock().push((number, request));
                tls.write_all(answer.as_bytes()).await.unwrap();
            }
        })
    })
    .await;
    (port, read)
}

/// A server of both protocols: HTTP/2 as [`Exchange::play`] has it, and over HTTP/1.1 what it is told to say.
/// Once told to cut, an HTTP/1.1 connection ends at its next request without an answer.
pub(super) struct Both {
    pub(super) port: u16,
    pub(super) http2: Arc<Sight>,
    /// Number of the connection, and the request as it was read.
    pub(super) http1: Arc<Mutex<Vec<(usize, String)>>>,
    pub(super) cut_http1: Arc<AtomicBool>,
    /// How many connections of either protocol were made.
    pub(super) connections: Arc<AtomicUsize>,
}

/// What is said to one HTTP/1.1 request.
pub(super) struct Said {
    /// Each sent by itself.
    pub(super) pieces: Vec<Vec<u8>>,
    /// Whether the connection is closed afterwards.
    pub(super) closes: bool,
}

/// Answers to what is short as HTTP/2 does; of `/half` a byte stays out.
pub(super) fn plainly(path: &str) -> Said {
    let missing = usize::from(path.starts_with("/half"));
    let length = path.len() + missing;
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{path}");
    Said {
        pieces: vec![answer.into_bytes()],
        closes: false,
    }
}

pub(super) async fn both(pair: &KeyPair) -> Both {
    both_saying(pair, plainly).await
}

/// The same, with `say` for the answers over HTTP/1.1 by the request's path.
pub(super) async fn both_saying(pair: &KeyPair, say: fn(&str) -> Said) -> Both {
    let both = Both {
        port: 0,
        http2: Arc::default(),
        http1: Arc::default(),
        cut_http1: Arc::default(),
        connections: Arc::default(),
    };
    let seen = (
        Arc::clone(&both.http2),
        Arc::clone(&both.http1),
        Arc::clone(&both.cut_http1),
        Arc::clone(&both.connections),
    );
    let port = listen(tls(pair, &["h2", "http/1.1"]), move |number, tls| {
        let (http2, http1, cut, connections) = seen.clone();
        Box::pin(async move {
            let Ok(mut tls) = tls else { return };
            connections.fetch_add(1, Ordering::SeqCst);
            if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
                let play =
                    |exchange: Exchange| -> BoxFuture<'static, ()> { Box::pin(exchange.play()) };
                return run(tls, 100, Arc::new(play), http2).await;
            }
            while let Some(request) = read_request(&mut tls).await {
                let path = request.split(' ').nth(1).unwrap().to_owned();
                http1.lock().push((number, request));
                if cut.load(Ordering::SeqCst) {
                    return;
                }
                let said = say(&path);
                for piece in said.pieces {
                    // Who gave up reading is not waited for.
                    if tls.write_all(&piece).await.is_err() || tls.flush().await.is_err() {
                        return;
                    }
                }
                if said.closes {
                    drop(tls.shutdown().await);
                    return;
                }
            }
        })
    })
    .await;
    Both { port, ..both }
}

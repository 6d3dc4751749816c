//! An exit between callers and an API server that does what a test says.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::stream;
use gangplank_config::material::{Anchors, KeyPair, Material, Token};
use gangplank_config::reload::Reloaded;
use gangplank_config::role::audit::WhenFull;
use gangplank_config::role::exit::{ClientAuth, NestedImpersonation};
use gangplank_config::role::limits::Limits;
use gangplank_config::upstream::{Credential, Server, Upstream};
use gangplank_pki::bundle::assemble;
use gangplank_pki::clock::{Clock, ManualClock, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Issued, Kind, Request as Wanted};
use gangplank_pki::{Prefix, Provider, ProviderId, TrustBundle, UsernameFrom, crypto, pem};
use http::{HeaderMap, Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::{Sink, Trail};
use crate::authenticate::Trust;
use crate::exit::{Caller, Exit, Parts, Witness};
use crate::upstream;

/// The name that callers connect to.
pub(super) const ENTRANCE: &str = "east.acme.tunnels.example.com";
/// The proxy's own credential.
pub(super) const TOKEN: &str = "the-proxys-own-token";
/// The longest that anything may take in these tests.
pub(super) const BOUND: Duration = Duration::from_secs(10);

pub(super) type AnyBody = BoxBody<Bytes, io::Error>;
type Answering = Pin<Box<dyn Future<Output = Response<AnyBody>> + Send>>;
type Script = dyn Fn(Request<Incoming>) -> Answering + Send + Sync;

/// What reached the API server.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) version: Version,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
}

/// A small API server over TLS that speaks both versions of HTTP.
#[derive(Clone)]
pub(super) struct FakeApi {
    address: SocketAddr,
    ca: Arc<CertificateAuthority>,
    seen: Arc<Mutex<Vec<Seen>>>,
    heard: Heard,
}

/// Every byte that came over HTTP/1.1, in its order; few tests have more than one such connection.
type Heard = Arc<Mutex<Vec<u8>>>;

impl FakeApi {
    async fn start(tasks: &TaskTracker, now: &dyn Clock, script: Arc<Script>) -> Self {
        let ca = CertificateAuthority::create("api", 1, now.now()).unwrap();
        let issued = issue(
            &ca,
            Kind::Relay {
                hosts: vec!["127.0.0.1".into()],
            },
            now,
        );
        let mut tls = ServerConfig::builder_with_provider(crypto::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                pem::certificates(issued.cert_pem.as_bytes()).unwrap(),
                pem::private_key(issued.key_pem.as_bytes()).unwrap(),
            )
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heard = Heard::default();
        let hearing = Arc::clone(&heard);
        let (log, spawner) = (Arc::clone(&seen), tasks.clone());
        tasks.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                let heard = Arc::clone(&hearing);
                let (acceptor, streams) = (acceptor.clone(), spawner.clone());
                spawner.spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else {
                        return;
                    };
                    serve_api(tls, heard, streams, log, script).await;
                });
            }
        });
        Self {
            address,
            ca: Arc::new(ca),
            seen,
            heard,
        }
    }

    /// One that a test plays by itself.
    pub(super) fn elsewhere(address: SocketAddr, ca: CertificateAuthority) -> Self {
        Self {
            address,
            ca: Arc::new(ca),
            seen: Arc::default(),
            heard: Heard::default(),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn heard(&self) -> Vec<u8> {
        self.heard.lock().clone()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

async fn serve_api(
    tls: server::TlsStream<tokio::net::TcpStream>,
    heard: Heard,
    tasks: TaskTracker,
    log: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Script>,
) {
    let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request: Request<Incoming>| {
        log.lock().push(Seen {
            version: request.version(),
            target: request
                .uri()
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            headers: request.headers().clone(),
        });
        let answering = script(request);
        async move { Ok::<_, io::Error>(answering.await) }
    });
    let io = TokioIo::new(Overheard {
        io: tls,
        heard: (!h2).then_some(heard),
    });
    if h2 {
        let mut http = hyper::server::conn::http2::Builder::new(Executor(tasks));
        http.max_header_list_size(1 << 20);
        drop(http.serve_connection(io, service).await);
    } else {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.max_headers(2000);
        drop(http.serve_connection(io, service).with_upgrades().await);
    }
}

/// A connection whose bytes are kept as they are read.
struct Overheard {
    io: server::TlsStream<tokio::net::TcpStream>,
    heard: Option<Heard>,
}

impl AsyncRead for Overheard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if let Some(heard) = &self.heard {
            heard.lock().extend_from_slice(&buffer.filled()[before..]);
        }
        polled
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[derive(Clone)]
pub(super) struct Executor(pub(super) TaskTracker);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// A body of this text.
pub(super) fn text(text: impl Into<Bytes>) -> AnyBody {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed()
}

/// A body that a test feeds; dropping the sender ends it, an error breaks it off.
pub(super) fn fed() -> (mpsc::Sender<io::Result<Bytes>>, AnyBody) {
    let (feed, fed) = mpsc::channel(16);
    let frames = stream::unfold(fed, |mut fed| async move {
        let item: io::Result<Bytes> = fed.recv().await?;
        Some((item.map(Frame::data), fed))
    });
    (
        feed,
        BodyExt::boxed(StreamBody::new(SyncStream(Box::pin(frames)))),
    )
}

/// Streams are polled by one task at a time, which `BoxBody` cannot know.
struct SyncStream<S>(Pin<Box<S>>);

impl<S: stream::Stream + Send> stream::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

/// A sink that keeps the audit trail's lines.
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn new() -> (Self, Arc<Mutex<Vec<u8>>>) {
        let kept = Arc::new(Mutex::new(Vec::new()));
        (Self(Arc::clone(&kept)), kept)
    }
}

impl Sink for Kept {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(lines);
        Ok(lines.len())
    }
}

/// All the parts, and who may come in.
pub(super) struct Stage {
    pub(super) exit: Exit,
    pub(super) api: FakeApi,
    pub(super) clock: Arc<ManualClock>,
    pub(super) tasks: TaskTracker,
    pub(super) partners: CertificateAuthority,
    pub(super) friends: CertificateAuthority,
    /// Whoever next asks whom the exit trusts panics.
    pub(super) panics: Arc<AtomicBool>,
    trail: Arc<Mutex<Vec<u8>>>,
    exit_ca: CertificateAuthority,
    bundle: Arc<ArcSwap<TrustBundle>>,
    changed: watch::Sender<u64>,
}

pub(super) const PARTNERS: &str = "spiffe://source-cluster/";
pub(super) const FRIENDS: &str = "spiffe://friends/";

impl Stage {
    /// An exit that trusts partners and friends, before an API server that answers so.
    pub(super) async fn new<F, A>(script: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        Self::with_client_auth(ClientAuth::Request, script).await
    }

    pub(super) async fn with_client_auth<F, A>(client_auth: ClientAuth, script: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let tasks = TaskTracker::new();
        let script: Arc<Script> = Arc::new(move |request| Box::pin(script(request)));
        let api = FakeApi::start(&tasks, &*clock, script).await;
        Self::before(api, client_auth, clock, tasks, Limits::default())
    }

    /// The usual, with these limits.
    pub(super) async fn with_limits<F, A>(limits: Limits, script: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let tasks = TaskTracker::new();
        let script: Arc<Script> = Arc::new(move |request| Box::pin(script(request)));
        let api = FakeApi::start(&tasks, &*clock, script).await;
        Self::before(api, ClientAuth::Request, clock, tasks, limits)
    }

    /// The usual, whose callers may act as whom the API server lets them.
    pub(super) async fn with_reviews<F, A>(script: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let tasks = TaskTracker::new();
        let script: Arc<Script> = Arc::new(move |request| Box::pin(script(request)));
        let api = FakeApi::start(&tasks, &*clock, script).await;
        let credential = Credential::Token(Token::parse(TOKEN).unwrap());
        let who = (
            ClientAuth::Request,
            NestedImpersonation::Authorize,
            Limits::default(),
        );
        Self::with_credential(credential, api, who, clock, tasks)
    }

    /// An exit before an address where nobody listens.
    pub(super) async fn without_api() -> Self {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ca = CertificateAuthority::create("api", 1, clock.now()).unwrap();
        let api = FakeApi::elsewhere(address, ca);
        let (tasks, limits) = (TaskTracker::new(), Limits::default());
        Self::before(api, ClientAuth::Request, clock, tasks, limits)
    }

    fn before(
        api: FakeApi,
        client_auth: ClientAuth,
        clock: Arc<ManualClock>,
        tasks: TaskTracker,
        limits: Limits,
    ) -> Self {
        let credential = Credential::Token(Token::parse(TOKEN).unwrap());
        let who = (client_auth, NestedImpersonation::Refuse, limits);
        Self::with_credential(credential, api, who, clock, tasks)
    }

    /// An exit that proves itself so to this API server.
    pub(super) fn with_credential(
        credential: Credential,
        api: FakeApi,
        (client_auth, nested_impersonation, limits): (ClientAuth, NestedImpersonation, Limits),
        clock: Arc<ManualClock>,
        tasks: TaskTracker,
    ) -> Self {
        let exit_ca = CertificateAuthority::create("exit", 1, clock.now()).unwrap();
        let names = Kind::Exit {
            dns_names: vec![ENTRANCE.into()],
        };
        let serving = key_pair(&issue(&exit_ca, names, &*clock));
        let partners = CertificateAuthority::create("partners", 1, clock.now()).unwrap();
        let friends = CertificateAuthority::create("friends", 1, clock.now()).unwrap();
        let bundle = Arc::new(ArcSwap::from_pointee(TrustBundle::empty()));
        let (changed, changes) = watch::channel(0);
        let mut registry = Registry::default();
        let client = upstream::Client::new(
            &upstream_at(&api, credential),
            tasks.clone(),
            CancellationToken::new(),
            upstream::Metrics::register(&mut registry),
        );
        let (sink, trail) = Kept::new();
        let panics = Arc::new(AtomicBool::new(false));
        let clock_of_trail: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let (audit, _) = Trail::start(
            Box::new(sink),
            WhenFull::Drop,
            clock_of_trail,
            &mut registry,
        )
        .unwrap();
        let parts = Parts {
            trust: trust_that_may_panic(&bundle, &panics, changes),
            serving: Arc::new(Reloaded::fixed(serving)),
            client_auth,
            nested_impersonation,
            upstream: client,
            clock: Arc::<ManualClock>::clone(&clock),
            tasks: tasks.clone(),
            audit,
            limits,
        };
        let exit = Exit::new(parts, &mut registry).unwrap();
        let stage = Self {
            exit,
            api,
            clock,
            tasks,
            partners,
            friends,
            panics,
            trail,
            exit_ca,
            bundle,
            changed,
        };
        stage.trust(vec![
            stage.provider_partners(PARTNERS),
            stage.provider_friends(),
        ]);
        stage
    }

    pub(super) fn provider_partners(&self, prefix: &str) -> Provider {
        provider("partners", prefix, &self.partners)
    }

    pub(super) fn provider_friends(&self) -> Provider {
        provider("friends", FRIENDS, &self.friends)
    }

    /// From now on these providers are trusted, and no other.
    pub(super) fn trust(&self, providers: Vec<Provider>) {
        let generation = self.trust_unannounced(providers);
        self.changed.send_replace(generation);
    }

    /// The same in the moment before anybody was woken for it; answers the generation.
    pub(super) fn trust_unannounced(&self, providers: Vec<Provider>) -> u64 {
        let assembly = assemble(&self.bundle.load(), providers);
        assert!(assembly.refused.is_empty(), "{:?}", assembly.refused);
        let generation = assembly.bundle.generation();
        self.bundle.store(Arc::new(assembly.bundle));
        generation
    }

    /// The audit trail, once it has so many lines.
    pub(super) async fn trail(&self, count: usize) -> Vec<Value> {
        let all = async {
            loop {
                let lines = self.trail.lock().clone();
                if lines.iter().filter(|byte| **byte == b'\n').count() >= count {
                    return lines;
                }
                tokio::task::yield_now().await;
            }
        };
        let lines = tokio::time::timeout(BOUND, all)
            .await
            .expect("the events come");
        let lines = lines.split_inclusive(|byte| *byte == b'\n');
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    /// A certificate of the partners' CA.
    pub(super) fn partner(&self, common_name: &str) -> Issued {
        issue(&self.partners, caller(common_name), &*self.clock)
    }

    /// A certificate of the friends' CA.
    pub(super) fn friend(&self, common_name: &str) -> Issued {
        issue(&self.friends, caller(common_name), &*self.clock)
    }

    /// TLS as a caller has it.
    pub(super) fn client_config(&self, papers: Option<&Issued>, alpn: &[&[u8]]) -> ClientConfig {
        let roots = self.exit_roots();
        let builder = ClientConfig::builder_with_provider(crypto::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match papers {
            Some(issued) => builder
                .with_client_auth_cert(
                    pem::certificates(issued.cert_pem.as_bytes()).unwrap(),
                    pem::private_key(issued.key_pem.as_bytes()).unwrap(),
                )
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.resumption = Resumption::disabled();
        config
    }

    /// The CA of the exit's certificate.
    pub(super) fn exit_roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.exit_ca.anchor().der().clone().into_owned())
            .unwrap();
        roots
    }

    /// A connection to the exit in memory.
    pub(super) fn dial(&self, drain: CancellationToken) -> DuplexStream {
        let (ours, theirs) = duplex(64 * 1024);
        let exit = self.exit.clone();
        self.tasks
            .spawn(async move { exit.serve(theirs, someone(), drain).await });
        ours
    }

    /// A connection with this TLS.
    pub(super) async fn tls(
        &self,
        config: ClientConfig,
        drain: CancellationToken,
    ) -> io::Result<client::TlsStream<DuplexStream>> {
        secure(config, self.dial(drain)).await
    }

    pub(super) async fn http1(&self, papers: Option<&Issued>) -> http1::SendRequest<AnyBody> {
        self.http1_draining(papers, CancellationToken::new()).await
    }

    pub(super) async fn http1_draining(
        &self,
        papers: Option<&Issued>,
        drain: CancellationToken,
    ) -> http1::SendRequest<AnyBody> {
        let tls = self
            .tls(self.client_config(papers, &[b"http/1.1"]), drain)
            .await
            .unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(tls)).await.unwrap();
        self.tasks
            .spawn(async move { drop(connection.with_upgrades().await) });
        sender
    }

    pub(super) async fn http2(&self, papers: Option<&Issued>) -> http2::SendRequest<AnyBody> {
        self.http2_draining(papers, CancellationToken::new()).await
    }

    pub(super) async fn http2_draining(
        &self,
        papers: Option<&Issued>,
        drain: CancellationToken,
    ) -> http2::SendRequest<AnyBody> {
        let tls = self
            .tls(self.client_config(papers, &[b"h2"]), drain)
            .await
            .unwrap();
        let mut http = http2::Builder::new(Executor(self.tasks.clone()));
        http.max_header_list_size(1 << 20);
        let (sender, connection) = http.handshake(TokioIo::new(tls)).await.unwrap();
        self.tasks.spawn(async move { drop(connection.await) });
        sender
    }
}

/// A caller of either version of HTTP.
pub(super) enum Http {
    One(http1::SendRequest<AnyBody>),
    Two(http2::SendRequest<AnyBody>),
}

impl Http {
    pub(super) async fn both(stage: &Stage, papers: Option<&Issued>) -> [Self; 2] {
        [
            Self::One(stage.http1(papers).await),
            Self::Two(stage.http2(papers).await),
        ]
    }

    pub(super) async fn send(
        &mut self,
        mut request: Request<AnyBody>,
    ) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::One(sender) => {
                sender.ready().await?;
                *request.version_mut() = Version::HTTP_11;
                sender.send_request(request).await
            }
            Self::Two(sender) => {
                sender.ready().await?;
                let uri = format!("https://{ENTRANCE}{}", request.uri());
                *request.uri_mut() = uri.parse().unwrap();
                sender.send_request(request).await
            }
        }
    }

    pub(super) async fn closed(&mut self) {
        let closed = async {
            loop {
                let closed = match self {
                    Self::One(sender) => sender.is_closed(),
                    Self::Two(sender) => sender.is_closed(),
                };
                if closed {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(BOUND, closed)
            .await
            .expect("the connection ends");
    }
}

pub(super) fn get(target: &str) -> Request<AnyBody> {
    Request::get(target)
        .header("host", ENTRANCE)
        .body(text(""))
        .unwrap()
}

pub(super) async fn read(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(super) async fn secure<IO: AsyncRead + AsyncWrite + Unpin>(
    config: ClientConfig,
    io: IO,
) -> io::Result<client::TlsStream<IO>> {
    let name = ServerName::try_from(ENTRANCE).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, io).await
}

pub(super) fn issue(ca: &CertificateAuthority, kind: Kind, clock: &dyn Clock) -> Issued {
    issue_for(ca, kind, clock, Duration::from_secs(3600))
}

pub(super) fn issue_for(
    ca: &CertificateAuthority,
    kind: Kind,
    clock: &dyn Clock,
    lifetime: Duration,
) -> Issued {
    ca.issue(&Wanted {
        kind,
        lifetime,
        now: clock.now(),
    })
    .unwrap()
}

pub(super) fn caller(common_name: &str) -> Kind {
    Kind::Caller {
        common_name: common_name.into(),
        uri: None,
    }
}

fn provider(name: &str, prefix: &str, ca: &CertificateAuthority) -> Provider {
    let id = ProviderId::new("default", name);
    let prefix = Prefix::parse(prefix).unwrap();
    let anchors = vec![ca.anchor().clone()];
    Provider::new(id, prefix, anchors, UsernameFrom::CommonName, vec![]).unwrap()
}

/// The bundle of the moment; whoever asks for it while `panics` is set panics, once.
fn trust_that_may_panic(
    bundle: &Arc<ArcSwap<TrustBundle>>,
    panics: &Arc<AtomicBool>,
    changes: watch::Receiver<u64>,
) -> Trust {
    let (bundle, panics) = (Arc::clone(bundle), Arc::clone(panics));
    let current = move || {
        assert!(!panics.swap(false, Ordering::SeqCst), "injected");
        bundle.load_full()
    };
    Trust::new(current, changes)
}

pub(super) fn key_pair(issued: &Issued) -> KeyPair {
    KeyPair::new(
        pem::certificates(issued.cert_pem.as_bytes()).unwrap(),
        pem::private_key(issued.key_pem.as_bytes()).unwrap(),
    )
    .unwrap()
}

fn upstream_at(api: &FakeApi, credential: Credential) -> Upstream {
    Upstream {
        server: Server {
            host: api.address.ip().to_string(),
            port: api.address.port(),
            authority: api.address.to_string(),
            tls_server_name: ServerName::from(api.address.ip()),
        },
        authorities: Material::fixed(Anchors::new(vec![api.ca.anchor().clone()])),
        credential,
    }
}

fn someone() -> Caller {
    Caller {
        address: "192.0.2.7:4711".parse().unwrap(),
        said_by: Witness::Relay,
        connection: 7,
        tunnel: Some(Arc::from("east.acme")),
        relay: Some(Arc::from("relay.example.com:443")),
    }
}

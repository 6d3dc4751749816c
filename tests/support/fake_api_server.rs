//! A hand-made API server, for what a real one cannot be made to do: record what arrived byte by byte, cut a
//! body, send GOAWAY, answer oddly. It speaks TLS and HTTP/1.1 or HTTP/2, as it is told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream;
use gangplank_link::Host;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::certificates::{Authority, Papers};
use super::hosts;

/// The token the exit has for it.
pub(crate) const TOKEN: &str = "the-exits-own-token";

/// As much as kube-apiserver takes (`MaxHeaderBytes`).
const HEADER_LIST: u32 = 1 << 20;

/// A response body that may fail.
pub(crate) type AnswerBody = BoxBody<Bytes, std::io::Error>;

/// The answer to one request, made with time and thought.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Response<AnswerBody>> + Send>>;

/// What arrived, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    /// The method.
    pub(crate) method: String,
    /// Path and query, byte for byte.
    pub(crate) target: String,
    /// All header lines in order.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub(crate) version: String,
    authority: Option<String>,
}

impl Arrived {
    /// The server it was meant for, from `:authority` or the one `Host`.
    pub(crate) fn authority(&self) -> String {
        let named: Vec<String> = self
            .authority
            .iter()
            .cloned()
            .chain(self.values("host"))
            .collect();
        assert_eq!(named.len(), 1, "it names one server once: {self:?}");
        named[0].clone()
    }

    /// All values of a header, in order.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        self.headers
            .iter()
            .filter(|(found, _)| found == name)
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect()
    }
}

/// A running fake.
#[derive(Debug)]
pub(crate) struct FakeApiServer {
    folder: TempDir,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    authority: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

/// A kubeconfig whose token is in a file.
#[derive(Debug)]
pub(crate) struct TokenFile {
    /// The kubeconfig.
    pub(crate) kubeconfig: PathBuf,
    /// The token's file.
    pub(crate) path: PathBuf,
}

impl TokenFile {
    /// Replaces the token in one step, as a kubelet does.
    pub(crate) fn write(&self, token: &str) {
        let written = self.path.with_extension("new");
        std::fs::write(&written, token).expect("written");
        std::fs::rename(&written, &self.path).expect("renamed");
    }
}

impl FakeApiServer {
    /// A fake that answers each request with `answer`; `protocols` are its ALPN names.
    pub(crate) async fn start(
        protocols: &[&str],
        answer: impl Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let authority = Authority::new("fake API server CA");
        let papers = authority.relay("127.0.0.1");
        Self::start_as(&authority, &papers, protocols, answer).await
    }

    /// A fake that shows these papers, while the exit is told to trust `authority` for it.
    pub(crate) async fn start_as(
        authority: &Authority,
        papers: &Papers,
        protocols: &[&str],
        answer: impl Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::listen(listener, authority, acceptor(papers, protocols), answer)
    }

    /// A fake of both protocols on a host of the test's own.
    pub(crate) fn start_on(
        host: &Host,
        answer: impl Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let bound = hosts::at(Some(host), || std::net::TcpListener::bind("127.0.0.1:0"));
        let listener = bound.expect("a port");
        listener.set_nonblocking(true).expect("our own socket");
        let listener = TcpListener::from_std(listener).expect("our own socket");
        let authority = Authority::new("fake API server CA");
        let acceptor = acceptor(&authority.relay("127.0.0.1"), &["h2", "http/1.1"]);
        Self::listen(listener, &authority, acceptor, answer)
    }

    fn listen(
        listener: TcpListener,
        authority: &Authority,
        acceptor: TlsAcceptor,
        answer: impl Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("an address");
        let folder = tempfile::Builder::new()
            .prefix("fake-api-server-")
            .tempdir()
            .expect("a temporary folder");
        write_kubeconfig(
            folder.path(),
            address,
            authority,
            &format!("token: {TOKEN}"),
        );
        let (arrived, connections) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicUsize::new(0)),
        );
        let (answer, seen, count) = (
            Arc::new(answer),
            Arc::clone(&arrived),
            Arc::clone(&connections),
        );
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(
                    acceptor.clone(),
                    socket,
                    Arc::clone(&answer),
                    Arc::clone(&seen),
                ));
            }
        });
        Self {
            folder,
            address,
            authority: authority.pem(),
            arrived,
            connections,
            accepting,
        }
    }

    /// A fake of both protocols that answers 200 with a JSON object.
    pub(crate) async fn echo() -> Self {
        Self::echo_over(&["h2", "http/1.1"]).await
    }

    /// One over HTTP/2 that sends the head of an answer to `/watch` and then nothing.
    pub(crate) async fn with_a_watch() -> Self {
        Self::start(&["h2"], |request| {
            let mut answer = ok("{}");
            if request.uri().path() == "/watch" {
                *answer.body_mut() = silent();
            }
            Box::pin(async { answer })
        })
        .await
    }

    /// The same as [`echo`](Self::echo) with these ALPN names.
    pub(crate) async fn echo_over(protocols: &[&str]) -> Self {
        Self::start(protocols, |_| Box::pin(async { ok("{}") })).await
    }

    /// The kubeconfig of the exit for it.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// The same with a token in a file, which this writes.
    pub(crate) fn kubeconfig_with_token_file(&self, token: &str) -> TokenFile {
        let path = self.folder.path().join("token");
        let folder = self.folder.path().join("with-token-file");
        std::fs::create_dir(&folder).expect("a folder");
        write_kubeconfig_pem(
            &folder,
            self.address,
            &self.authority,
            &format!("tokenFile: {}", path.display()),
        );
        let file = TokenFile {
            kubeconfig: folder.join("kubeconfig"),
            path,
        };
        file.write(token);
        file
    }

    /// How many connections were ever made to it, whatever came of them.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Stops listening; connections that are there go on.
    pub(crate) fn stop_listening(&self) {
        self.accepting.abort();
    }

    /// Everything that has arrived.
    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().clone()
    }

    /// What has arrived with this target.
    pub(crate) fn arrived_at(&self, target: &str) -> Vec<Arrived> {
        self.arrived()
            .into_iter()
            .filter(|request| request.target == target)
            .collect()
    }
}

/// 200 with a JSON body.
pub(crate) fn ok(text: &'static str) -> Response<AnswerBody> {
    Response::builder()
        .header("content-type", "application/json")
        .body(whole(text))
        .expect("a response")
}

/// A whole body.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> AnswerBody {
    Full::new(bytes.into())
        .map_err(|never: Infallible| match never {})
        .boxed()
}

/// A body that never comes.
pub(crate) fn silent() -> AnswerBody {
    StreamBody::new(stream::pending::<Result<Frame<Bytes>, std::io::Error>>()).boxed()
}

async fn serve<F>(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    answer: Arc<F>,
    seen: Arc<Mutex<Vec<Arrived>>>,
) where
    F: Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
{
    let Ok(stream) = acceptor.accept(socket).await else {
        return;
    };
    let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request: Request<Incoming>| {
        seen.lock().push(Arrived {
            method: request.method().to_string(),
            target: request
                .uri()
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            headers: request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
            version: format!("{:?}", request.version()),
            authority: request.uri().authority().map(ToString::to_string),
        });
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // How a connection ends is the test's affair.
    if two {
        let mut server = http2::Builder::new(TokioExecutor::new());
        server.max_header_list_size(HEADER_LIST);
        drop(server.serve_connection(TokioIo::new(stream), service).await);
    } else {
        drop(
            // kube-apiserver does not count header lines; hyper would after a hundred.
            http1::Builder::new()
                .max_headers(1024)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await,
        );
    }
}

/// A TLS acceptor with these papers.
pub(crate) fn acceptor(papers: &Papers, protocols: &[&str]) -> TlsAcceptor {
    let mut config = ServerConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(papers.chain(), papers.key())
        .expect("papers that fit");
    config.alpn_protocols = protocols
        .iter()
        .map(|protocol| protocol.as_bytes().to_vec())
        .collect();
    TlsAcceptor::from(Arc::new(config))
}

/// Writes `kubeconfig` and `ca.crt` for the exit; `credential` is its user's one line.
pub(crate) fn write_kubeconfig(
    folder: &Path,
    address: SocketAddr,
    authority: &Authority,
    credential: &str,
) {
    write_kubeconfig_pem(folder, address, &authority.pem(), credential);
}

fn write_kubeconfig_pem(folder: &Path, address: SocketAddr, authority: &str, credential: &str) {
    std::fs::write(folder.join("ca.crt"), authority).expect("written");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: fake\n\
         clusters: [{{name: fake, cluster: {{server: \"https://{address}\", certificate-authority: {}/ca.crt}}}}]\n\
         users: [{{name: exit, user: {{{credential}}}}}]\n\
         contexts: [{{name: fake, context: {{cluster: fake, user: exit}}}}]\n",
        folder.display()
    );
    std::fs::write(folder.join("kubeconfig"), text).expect("written");
}

//! Certificates, identities, requests and waiting for the tests of the API server's side.

use std::convert::Infallible;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use gangplank_config::upstream::{Credential, Server, Upstream};
use gangplank_config::{Anchors, KeyPair, Material, Token};
use gangplank_pki::bundle::assemble;
use gangplank_pki::clock::{Clock, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Issued, Kind, Request as Wanted};
use gangplank_pki::{
    Identity, Prefix, Provider, ProviderId, TrustBundle, UsernameFrom, identify, pem,
};
use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::{RequestBody, UpstreamBody};
use crate::upstream::limits::Pace;
use crate::upstream::{Client, Expected, Metrics, OnBehalf, UpstreamError};

/// Nothing in these tests takes longer unless it hangs.
pub(super) const LONG: Duration = Duration::from_secs(20);

pub(super) const USER: &str = "spiffe://a/ns/x/id/default";

/// An authority for everything in one test.
pub(super) struct Papers {
    ca: CertificateAuthority,
}

impl Papers {
    pub(super) fn new() -> Self {
        let ca = CertificateAuthority::create("test", 1, SystemClock.now()).unwrap();
        Self { ca }
    }

    fn issue(&self, kind: Kind) -> Issued {
        let lifetime = Duration::from_secs(3600);
        self.ca
            .issue(&Wanted {
                kind,
                lifetime,
                now: SystemClock.now(),
            })
            .unwrap()
    }

    pub(super) fn server(&self, host: &str) -> KeyPair {
        pair(&self.issue(Kind::Relay {
            hosts: vec![host.to_owned()],
        }))
    }

    pub(super) fn client(&self) -> KeyPair {
        pair(&self.issue(Kind::Caller {
            common_name: "gangplank".to_owned(),
            uri: None,
        }))
    }

    pub(super) fn exit_pem(&self) -> Issued {
        self.issue(Kind::Exit {
            dns_names: vec!["c.a.example.com".to_owned()],
        })
    }

    /// Writes a new client certificate and its key.
    pub(super) fn write_client(&self, folder: &Path) {
        let client = self.issue(Kind::Caller {
            common_name: "gangplank".to_owned(),
            uri: None,
        });
        std::fs::write(folder.join("c.crt"), client.cert_pem).unwrap();
        std::fs::write(folder.join("c.key"), client.key_pem).unwrap();
    }

    pub(super) fn anchors(&self) -> Anchors {
        Anchors::new(vec![self.ca.anchor().clone()])
    }

    /// The upstream on that port of 127.0.0.1, with a fixed token.
    pub(super) fn upstream(&self, port: u16) -> Upstream {
        Upstream {
            server: Server {
                host: "127.0.0.1".to_owned(),
                port,
                authority: format!("127.0.0.1:{port}"),
                tls_server_name: ServerName::try_from("127.0.0.1").unwrap(),
            },
            authorities: Material::fixed(self.anchors()),
            credential: Credential::Token(Token::parse("secret").unwrap()),
        }
    }
}

fn pair(issued: &Issued) -> KeyPair {
    let chain = pem::certificates(issued.cert_pem.as_bytes()).unwrap();
    KeyPair::new(chain, pem::private_key(issued.key_pem.as_bytes()).unwrap()).unwrap()
}

/// Somebody called [`USER`], in the group `readers`.
pub(super) fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let papers = Papers::new();
        let caller = Kind::Caller {
            common_name: "ns/x/id/default".to_owned(),
            uri: None,
        };
        let leaf = papers.issue(caller);
        let provider = Provider::new(
            ProviderId::new("n", "p"),
            Prefix::parse("spiffe://a/").unwrap(),
            vec![papers.ca.anchor().clone()],
            UsernameFrom::CommonName,
            vec!["readers".to_owned()],
        )
        .unwrap();
        let bundle = assemble(&TrustBundle::empty(), vec![provider]).bundle;
        let chain = pem::certificates(leaf.cert_pem.as_bytes()).unwrap();
        identify(&bundle, &chain, SystemClock.now()).unwrap()
    })
}

/// A client with what is needed to look at it and to end it.
pub(super) struct Harness {
    pub(super) client: Client,
    pub(super) metrics: Metrics,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Harness {
    pub(super) fn new(upstream: &Upstream) -> Self {
        Self::with_pace(upstream, Pace::default())
    }

    pub(super) fn with_pace(upstream: &Upstream, pace: Pace) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let metrics = Metrics::default();
        let client =
            Client::with_pace(upstream, tasks.clone(), stop.clone(), metrics.clone(), pace);
        Self {
            client,
            metrics,
            tasks,
            stop,
        }
    }

    pub(super) async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        self.send_expecting(request, Expected::Long).await
    }

    /// Sends a request whose answer is expected at once, or not.
    pub(super) async fn send_expecting(
        &self,
        request: Request<RequestBody>,
        expected: Expected,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let (parts, body) = request.into_parts();
        let again = || Some(Request::from_parts(parts.clone(), ()));
        let request = Request::from_parts(parts.clone(), body);
        let sent = self
            .client
            .send(OnBehalf::caller(identity()), request, expected, &again);
        within(sent).await
    }

    pub(super) async fn get(&self, path: &str) -> Result<Response<UpstreamBody>, UpstreamError> {
        self.send(get(path)).await
    }

    /// The text of the answer to a GET.
    pub(super) async fn text(&self, path: &str) -> String {
        text(self.get(path).await.unwrap()).await
    }
}

pub(super) fn head(method: Method, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("impersonate-user", USER)
}

pub(super) fn get(path: &str) -> Request<RequestBody> {
    head(Method::GET, path).body(RequestBody::empty()).unwrap()
}

pub(super) async fn post(path: &str, body: &'static str) -> Request<RequestBody> {
    head(Method::POST, path)
        .header("content-length", body.len())
        .body(received_body(body).await)
        .unwrap()
}

pub(super) async fn text(response: Response<UpstreamBody>) -> String {
    let bytes = within(response.into_body().collect())
        .await
        .unwrap()
        .to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A body as a caller's connection yields it.
async fn received_body(text: &'static str) -> RequestBody {
    let (mut caller, proxy) = tokio::io::duplex(64 * 1024);
    let (bodies, mut body) = mpsc::channel(1);
    TaskTracker::new().spawn(async move {
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let bodies = bodies.clone();
            async move {
                bodies.send(request.into_body()).await.unwrap();
                std::future::pending::<()>().await;
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new();
        drop(
            connection
                .serve_connection(TokioIo::new(proxy), service)
                .await,
        );
    });
    let request = format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    caller.write_all(request.as_bytes()).await.unwrap();
    let incoming = body.recv().await.unwrap();
    // The caller's end stays open until the body is read: it is kept by the task.
    TaskTracker::new().spawn(async move {
        let _caller = caller;
        std::future::pending::<()>().await;
    });
    RequestBody::new(incoming, Version::HTTP_11, CancellationToken::new())
}

/// Fails instead of hanging.
pub(super) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LONG, future)
        .await
        .expect("this hangs")
}

/// Waits until something has become true.
pub(super) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let looking = async {
        while !is() {
            tokio::task::yield_now().await;
        }
    };
    assert!(
        tokio::time::timeout(LONG, looking).await.is_ok(),
        "never came true: {what}"
    );
}

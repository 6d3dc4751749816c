//! A relay and an agent over loopback, with certificates as the program issues them.

use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gangplank_pki::TunnelName;
use gangplank_pki::clock::{Clock, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Issued, Kind, Request};
use gangplank_pki::peer::{AgentVerifier, RelayVerifier};
use gangplank_pki::pem;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::http2;
use crate::quic::{
    AgentEndpoint, AgentTls, CongestionControl, HandshakeError, QuicSession, RelayEndpoint,
    RelaySecret, RelayTls,
};
use crate::session::Session;
use crate::stream::Stream;

/// The relay's name in its certificate.
pub(crate) const RELAY_NAME: &str = "relay.example.com";

/// Ample on a machine that builds beside the tests; only ever waited for when a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits with a bound.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .expect("this takes too long")
}

pub(crate) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// Two CAs, one a kind.
pub(crate) struct Authorities {
    pub(crate) agents: CertificateAuthority,
    pub(crate) relays: CertificateAuthority,
}

pub(crate) fn authority() -> CertificateAuthority {
    CertificateAuthority::create("test CA", 1, SystemClock.now()).expect("a CA")
}

pub(crate) fn request(kind: Kind) -> Request {
    Request {
        kind,
        lifetime: Duration::from_secs(3600),
        now: SystemClock.now(),
    }
}

pub(crate) fn agent_kind() -> Kind {
    Kind::Agent {
        tunnel: TunnelName::parse("one.acme").expect("a tunnel's name"),
    }
}

pub(crate) fn relay_kind(name: &str) -> Kind {
    Kind::Relay {
        hosts: vec![name.to_owned()],
    }
}

pub(crate) fn identity(issued: &Issued) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    (
        pem::certificates(issued.cert_pem.as_bytes()).expect("a certificate"),
        pem::private_key(issued.key_pem.as_bytes()).expect("a key"),
    )
}

fn anchors(authority: &CertificateAuthority) -> Vec<CertificateDer<'static>> {
    pem::certificates(authority.certificate_pem().as_bytes()).expect("a CA's certificate")
}

impl Authorities {
    pub(crate) fn new() -> Self {
        Self {
            agents: authority(),
            relays: authority(),
        }
    }

    pub(crate) fn relay_tls(&self) -> RelayTls {
        self.relay_tls_as(
            &self
                .relays
                .issue(&request(relay_kind(RELAY_NAME)))
                .expect("issued"),
        )
    }

    pub(crate) fn relay_tls_as(&self, issued: &Issued) -> RelayTls {
        let (chain, key) = identity(issued);
        let agents = AgentVerifier::new(&anchors(&self.agents), Arc::new(SystemClock));
        RelayTls {
            chain,
            key,
            agents: Arc::new(agents.expect("a verifier")),
        }
    }

    pub(crate) fn agent_tls(&self) -> AgentTls {
        self.agent_tls_as(&self.agents.issue(&request(agent_kind())).expect("issued"))
    }

    pub(crate) fn agent_tls_as(&self, issued: &Issued) -> AgentTls {
        let (chain, key) = identity(issued);
        AgentTls {
            chain,
            key,
            relay: self.relay_verifier(),
        }
    }

    pub(crate) fn relay_verifier(&self) -> Arc<RelayVerifier> {
        let verifier = RelayVerifier::new(&anchors(&self.relays), Arc::new(SystemClock));
        Arc::new(verifier.expect("a verifier"))
    }
}

/// A relay's endpoint on a port of the kernel's choice.
pub(crate) fn relay_endpoint(tls: RelayTls) -> RelayEndpoint {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let secret = RelaySecret::new([7; 32]);
    RelayEndpoint::bind(address, tls, secret, CongestionControl::default()).expect("an endpoint")
}

/// What comes of one dial at both ends.
pub(crate) async fn dial(
    relay: &RelayEndpoint,
    agent: &AgentEndpoint,
    tls: AgentTls,
) -> (
    Result<QuicSession, HandshakeError>,
    Result<QuicSession, HandshakeError>,
) {
    let address = relay.local_address().expect("an address");
    let arrival = async {
        relay
            .accept()
            .await
            .expect("an arrival")
            .complete(deadline())
            .await
    };
    soon(async { tokio::join!(arrival, agent.dial(address, RELAY_NAME, tls, deadline())) }).await
}

/// Both ends of a session, and what keeps them alive.
pub(crate) struct Pair {
    pub(crate) relay: Arc<dyn Session>,
    pub(crate) agent: Arc<dyn Session>,
    pub(crate) agent_endpoint: AgentEndpoint,
    _relay_endpoint: Option<RelayEndpoint>,
}

pub(crate) async fn pair() -> Pair {
    let authorities = Authorities::new();
    let relay_endpoint = relay_endpoint(authorities.relay_tls());
    let agent_endpoint = AgentEndpoint::bind().expect("an endpoint");
    let (relay, agent) = dial(&relay_endpoint, &agent_endpoint, authorities.agent_tls()).await;
    Pair {
        relay: Arc::new(relay.expect("the relay's end")),
        agent: Arc::new(agent.expect("the agent's end")),
        agent_endpoint,
        _relay_endpoint: Some(relay_endpoint),
    }
}

/// Two sockets that are joined.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.expect("connected"), far.expect("accepted").0)
}

/// What comes of one attempt over TCP at both ends.
pub(crate) async fn begin(
    relay: &http2::RelayEndpoint,
    agent: &http2::AgentEndpoint,
    tls: AgentTls,
) -> (
    Result<http2::Http2Session, http2::HandshakeError>,
    Result<http2::Http2Session, http2::HandshakeError>,
) {
    let (near, far) = tcp_pair().await;
    let remote = far.peer_addr().expect("an address");
    let arrival = relay.complete((far, remote), Vec::new(), deadline());
    let dialled = agent.begin(near, RELAY_NAME, tls, deadline());
    soon(async { tokio::join!(arrival, dialled) }).await
}

/// The same as [`pair`] where UDP is blocked.
pub(crate) async fn pair_over_tcp() -> Pair {
    let authorities = Authorities::new();
    let relay = http2::RelayEndpoint::new(authorities.relay_tls()).expect("an endpoint");
    let agent = http2::AgentEndpoint::default();
    let (relay, agent) = begin(&relay, &agent, authorities.agent_tls()).await;
    Pair {
        relay: Arc::new(relay.expect("the relay's end")),
        agent: Arc::new(agent.expect("the agent's end")),
        agent_endpoint: AgentEndpoint::bind().expect("an endpoint"),
        _relay_endpoint: None,
    }
}

/// Tests that take a [`Pair`], run over each transport.
macro_rules! over_each_transport {
    ($($test:ident)*) => {
        mod over_quic {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::fixture::pair().await).await;
            })*
        }
        mod over_tcp {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::fixture::pair_over_tcp().await).await;
            })*
        }
    };
}
pub(crate) use over_each_transport;

impl Pair {
    /// Both ends of a stream that the relay opened; the one byte that shows it is read again.
    pub(crate) async fn stream(&self) -> (Stream, Stream) {
        soon(async {
            let mut at_relay = self.relay.open().await.expect("a stream");
            at_relay.write_all(b"!").await.expect("written");
            let mut at_agent = self.agent.accept().await.expect("a stream");
            assert_eq!(at_agent.read_u8().await.expect("read"), b'!');
            (at_relay, at_agent)
        })
        .await
    }

    /// Holds that a stream carries while callers of many others stop reading, with such a window each.
    pub(crate) async fn carries_beside_the_stalled(&self, window: u32) {
        const STALLED: usize = 120;
        let mut held = Vec::new();
        let mut writing = JoinSet::new();
        for _ in 0..STALLED {
            let (at_relay, mut at_agent) = self.stream().await;
            held.push(at_relay);
            writing.spawn(async move {
                let window = usize::try_from(window).expect("fits");
                // The byte that showed the stream went the other way: the whole window is there.
                at_agent
                    .write_all(&vec![0; window])
                    .await
                    .expect("the window takes it");
                let mut beyond = Box::pin(at_agent.write_u8(0));
                let polled = poll_fn(|cx| std::task::Poll::Ready(beyond.as_mut().poll(cx))).await;
                assert!(polled.is_pending(), "a stalled stream is bounded");
                drop(beyond);
                at_agent
            });
        }
        let stalled = soon(writing.join_all()).await;
        assert_eq!(stalled.len(), STALLED);
        let (mut at_relay, mut at_agent) = self.stream().await;
        let bulk = 16 << 20;
        let sending = TaskTracker::new().spawn(async move {
            at_agent.write_all(&vec![1; bulk]).await.expect("written");
            at_agent.shutdown().await.expect("ended");
        });
        let mut heard = Vec::new();
        soon(at_relay.read_to_end(&mut heard))
            .await
            .expect("an end of file");
        assert_eq!(heard.len(), bulk);
        sending.await.expect("sent");
    }
}

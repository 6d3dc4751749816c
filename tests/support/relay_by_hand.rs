//! A relay that says what the test likes, on any stream: real agents dial it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use gangplank_pki::clock::SystemClock;
use gangplank_pki::peer::AgentVerifier;
use gangplank_tunnel::quic::{CongestionControl, RelaySecret};
use gangplank_tunnel::tls::RelayTls;
use gangplank_tunnel::wire::{ControlFrame, EntranceDomain, VERSION, Welcome};
use gangplank_tunnel::{Session, Stream, http2, quic};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::path::{DOMAIN, RELAY_NAME, Relay};
use super::wait::{self, PATIENCE};

/// What carries its tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// QUIC.
    Quic,
    /// HTTP/2 over TCP.
    Tcp,
}

impl Carrier {
    /// As the agent's file says it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Quic => "Quic",
            Self::Tcp => "Tcp",
        }
    }
}

/// A relay in the test's hands.
#[derive(Debug)]
pub(crate) struct RelayByHand {
    /// Where agents dial it.
    pub(crate) address: SocketAddr,
    arrivals: mpsc::Receiver<Arc<dyn Session>>,
    accepting: AbortHandle,
}

impl RelayByHand {
    /// A relay that agents of `other` take for one of the same authority.
    pub(crate) async fn beside(other: &Relay, carrier: Carrier) -> Self {
        let (sender, arrivals) = mpsc::channel(64);
        let papers = other.authority().relay(RELAY_NAME);
        let agents = CertificateDer::from_pem_slice(other.agents().pem().as_bytes());
        let anchors = [agents.expect("an authority")];
        let verifier = AgentVerifier::new(&anchors, Arc::new(SystemClock)).expect("a verifier");
        let tls = RelayTls {
            chain: papers.chain(),
            key: papers.key(),
            agents: Arc::new(verifier),
        };
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (address, accepting) = match carrier {
            Carrier::Quic => {
                let endpoint = quic::RelayEndpoint::bind(
                    any,
                    tls,
                    RelaySecret::new([3; 32]),
                    CongestionControl::default(),
                );
                let endpoint = endpoint.expect("a port");
                let address = endpoint.local_address().expect("an address");
                (address, tokio::spawn(accept_quic(endpoint, sender)))
            }
            Carrier::Tcp => {
                let listener = TcpListener::bind(any).await.expect("a port");
                let address = listener.local_addr().expect("an address");
                let endpoint = http2::RelayEndpoint::new(tls).expect("an endpoint");
                (
                    address,
                    tokio::spawn(accept_tcp(listener, endpoint, sender)),
                )
            }
        };
        Self {
            address,
            arrivals,
            accepting: accepting.abort_handle(),
        }
    }

    /// The next agent's session, and its control stream, of which nothing was read.
    pub(crate) async fn agent(&mut self) -> (Arc<dyn Session>, Stream) {
        let session = wait::within("an agent", self.arrivals.recv()).await;
        let session = session.expect("it accepts");
        let control = wait::within("a control stream", session.accept()).await;
        (session, control.expect("it stands"))
    }
}

impl Drop for RelayByHand {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept_quic(endpoint: quic::RelayEndpoint, sender: mpsc::Sender<Arc<dyn Session>>) {
    while let Some(arrival) = endpoint.accept().await {
        if let Ok(session) = arrival.complete(Instant::now() + PATIENCE).await
            && sender.send(Arc::new(session)).await.is_err()
        {
            return;
        }
    }
}

async fn accept_tcp(
    listener: TcpListener,
    endpoint: http2::RelayEndpoint,
    sender: mpsc::Sender<Arc<dyn Session>>,
) {
    while let Ok(arrived) = listener.accept().await {
        let until = Instant::now() + PATIENCE;
        if let Ok(session) = endpoint.complete(arrived, Vec::new(), until).await
            && sender.send(Arc::new(session)).await.is_err()
        {
            return;
        }
    }
}

/// What a relay says to an agent that it takes, with the version before it.
pub(crate) fn welcome() -> Vec<u8> {
    let welcome = ControlFrame::Welcome(Welcome {
        relay_instance: 3,
        entrance_domain: EntranceDomain::fitting(DOMAIN),
    });
    let frame = welcome.encode().expect("a frame");
    [&[VERSION], &frame[..]].concat()
}

/// Says it, or learns that the other side has ended the stream.
pub(crate) async fn say(stream: &mut Stream, bytes: &[u8]) -> std::io::Result<()> {
    wait::within("bytes to leave", async {
        stream.write_all(bytes).await?;
        stream.flush().await
    })
    .await
}

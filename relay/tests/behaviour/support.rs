//! A relay on loopback, agents that dial it, callers that connect.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gangplank_config::role;
use gangplank_enrolment::Office;
use gangplank_pki::TunnelName;
use gangplank_pki::clock::{Clock, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Issued, Kind, Request};
use gangplank_pki::peer::RelayVerifier;
use gangplank_pki::pem;
use gangplank_relay::{Relay, RelayView, TunnelView};
use gangplank_tunnel::quic::{AgentEndpoint, AgentTls, QuicSession};
use gangplank_tunnel::wire::{CloseCode, Hello, SoftwareName, StreamHeader, StreamStatus};
use gangplank_tunnel::{
    Closed, ControlReader, ControlWriter, GreetError, Session, Stream, answer, greet,
    receive_header,
};
use prometheus_client::registry::Registry;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) const DOMAIN: &str = "tunnels.example.com";
pub(crate) const RELAY_NAME: &str = "relay.example.com";

/// Longer than anything here takes; a test that reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something, but not for ever.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("not soon enough: {what}"))
}

/// Waits until it is so, but not for ever.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let looking = async {
        let mut look = interval(Duration::from_millis(5));
        while !so() {
            look.tick().await;
        }
    };
    soon(what, looking).await;
}

/// Bytes that are not all alike.
pub(crate) fn noise(length: usize, seed: u8) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// What a caller's TLS sends first.
pub(crate) fn client_hello(name: &str) -> Vec<u8> {
    let config = rustls::ClientConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

pub(crate) fn issue(authority: &CertificateAuthority, kind: Kind) -> Issued {
    let lifetime = Duration::from_secs(3600);
    authority
        .issue(&Request {
            kind,
            lifetime,
            now: SystemClock.now(),
        })
        .unwrap()
}

pub(crate) fn authority(name: &str) -> CertificateAuthority {
    CertificateAuthority::create(name, 10, SystemClock.now()).unwrap()
}

/// A relay that runs.
pub(crate) struct Harness {
    pub(crate) address: SocketAddr,
    pub(crate) view: RelayView,
    pub(crate) metrics: Registry,
    pub(crate) shutdown: CancellationToken,
    pub(crate) abort: CancellationToken,
    pub(crate) running: JoinHandle<()>,
    pub(crate) agents_authority: CertificateAuthority,
    pub(crate) relays_authority: CertificateAuthority,
    pub(crate) office: Option<Office>,
    files: TempDir,
}

impl Harness {
    /// A relay with these lines added to its file.
    pub(crate) async fn start(more: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let (relays_authority, agents_authority) = (authority("relays"), authority("agents"));
        let identity = issue(
            &relays_authority,
            Kind::Relay {
                hosts: vec![RELAY_NAME.to_owned()],
            },
        );
        let file = files.path().join("relay.yaml");
        for (name, text) in [
            ("relay.crt", identity.cert_pem.as_str()),
            ("relay.key", identity.key_pem.as_str()),
            ("agents-ca.crt", agents_authority.certificate_pem()),
            ("agents-ca.key", &agents_authority.key_pem()),
            ("relay-ca.crt", relays_authority.certificate_pem()),
        ] {
            std::fs::write(files.path().join(name), text).unwrap();
        }
        let text = format!(
            "listen: 127.0.0.1:0\ndomain: {DOMAIN}\ntunnel:\n  serverName: {RELAY_NAME}\n  \
             certificateFile: relay.crt\n  keyFile: relay.key\n  clientCAFile: agents-ca.crt\n{more}"
        );
        std::fs::write(&file, text).unwrap();
        let config = role::relay::load(&file).unwrap();
        let mut metrics = Registry::default();
        let office = Office::open(&config, Arc::new(SystemClock)).unwrap();
        let relay = Relay::bind(config, Arc::new(SystemClock), &mut metrics)
            .await
            .unwrap();
        let (shutdown, abort) = (CancellationToken::new(), CancellationToken::new());
        Self {
            address: relay.local_address(),
            view: relay.view(),
            metrics,
            shutdown: shutdown.clone(),
            running: tokio::spawn(relay.run(shutdown, abort.clone().cancelled_owned())),
            abort,
            agents_authority,
            relays_authority,
            office,
            files,
        }
    }

    /// An agent for this tunnel, registered.
    pub(crate) async fn agent(&self, tunnel: &str, instance: u128, epoch: u64) -> Agent {
        let identity = self.agent_certificate(tunnel);
        let agent = self.dial(&identity, instance, epoch).await.unwrap();
        until("the tunnel is registered", || {
            self.tunnel(instance)
                .is_some_and(|tunnel| tunnel.epoch == epoch)
        })
        .await;
        agent
    }

    pub(crate) fn agent_certificate(&self, tunnel: &str) -> Issued {
        let tunnel = TunnelName::parse(tunnel).unwrap();
        issue(&self.agents_authority, Kind::Agent { tunnel })
    }

    /// Dials and greets with this certificate.
    pub(crate) async fn dial(
        &self,
        identity: &Issued,
        instance: u128,
        epoch: u64,
    ) -> Result<Agent, GreetError> {
        let anchors = pem::certificates(self.relays_authority.certificate_pem().as_bytes());
        let verifier = RelayVerifier::new(&anchors.unwrap(), Arc::new(SystemClock)).unwrap();
        let tls = AgentTls {
            chain: pem::certificates(identity.cert_pem.as_bytes()).unwrap(),
            key: pem::private_key(identity.key_pem.as_bytes()).unwrap(),
            relay: Arc::new(verifier),
        };
        let endpoint = AgentEndpoint::bind().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let session = endpoint
            .dial(self.address, RELAY_NAME, tls, deadline)
            .await
            .unwrap();
        let software = SoftwareName::fitting("test agent");
        let hello = Hello {
            instance,
            slot: 0,
            epoch,
            software,
        };
        let (welcome, reader, writer) = greet(&session, hello, deadline).await?;
        assert_eq!(welcome.entrance_domain.as_str(), DOMAIN);
        Ok(Agent {
            session,
            reader,
            writer,
            _endpoint: endpoint,
        })
    }

    pub(crate) fn tunnel(&self, instance: u128) -> Option<TunnelView> {
        self.view
            .tunnels()
            .into_iter()
            .find(|tunnel| tunnel.instance == instance)
    }

    /// Puts another text into one of the relay's files, whole or not at all.
    pub(crate) fn rewrite(&self, name: &str, text: &str) {
        let draft = self.files.path().join("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(draft, self.files.path().join(name)).unwrap();
    }

    /// A caller's bare connection.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A caller that has sent its hello.
    pub(crate) async fn call(&self, name: &str) -> TcpStream {
        let mut caller = self.connect().await;
        caller.write_all(&client_hello(name)).await.unwrap();
        caller
    }

    /// A caller that this agent has taken, and its stream there.
    pub(crate) async fn on_board(&self, name: &str, agent: &Agent) -> (TcpStream, Stream) {
        let caller = self.call(name).await;
        let (_, stream) = agent.take().await;
        self.all_on_board().await;
        (caller, stream)
    }

    /// Waits until every caller is on board.
    pub(crate) async fn all_on_board(&self) {
        until("the caller is on board", || {
            self.view.waiting_callers() == 0
        })
        .await;
    }

    pub(crate) fn scrape(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        text
    }
}

/// An agent with one tunnel.
pub(crate) struct Agent {
    pub(crate) session: QuicSession,
    pub(crate) reader: ControlReader,
    pub(crate) writer: ControlWriter,
    _endpoint: AgentEndpoint,
}

impl Agent {
    /// The next caller, with its header, not answered yet.
    pub(crate) async fn knock(&self) -> (StreamHeader, Stream) {
        let mut stream = soon("a stream", self.session.accept()).await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        let header = receive_header(&mut stream, deadline).await.unwrap();
        (header, stream)
    }

    /// The next caller, taken.
    pub(crate) async fn take(&self) -> (StreamHeader, Stream) {
        let (header, mut stream) = self.knock().await;
        answer(&mut stream, &StreamStatus::Accepted).await.unwrap();
        (header, stream)
    }
}

/// How the relay closes this session.
pub(crate) async fn closed(session: &dyn Session) -> CloseCode {
    match soon("the session ends", session.closed()).await {
        Closed::ByPeer { code, .. } => code,
        closed => panic!("{closed:?}"),
    }
}

/// Everything that comes until the end.
pub(crate) async fn read_all(mut from: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut all = Vec::new();
    soon("the end of the stream", from.read_to_end(&mut all))
        .await
        .unwrap();
    all
}

/// Exactly so many bytes.
pub(crate) async fn read_some(from: &mut (impl tokio::io::AsyncRead + Unpin), n: usize) -> Vec<u8> {
    let mut some = vec![0; n];
    soon("some bytes", from.read_exact(&mut some))
        .await
        .unwrap();
    some
}

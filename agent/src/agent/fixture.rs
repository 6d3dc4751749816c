//! A relay to dial, and an agent from a file as people write it.

use std::fs;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gangplank_config::role;
use gangplank_config::upstream::InCluster;
use gangplank_pki::TunnelName;
use gangplank_pki::clock::{Clock, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Issued, Kind, Request};
use gangplank_pki::peer::AgentVerifier;
use gangplank_pki::pem;
use gangplank_tunnel::quic::{CongestionControl, RelayEndpoint, RelaySecret, RelayTls};
use gangplank_tunnel::wire::{EntranceDomain, Hello, ServerName, StreamHeader, Welcome};
use gangplank_tunnel::{
    BoxFuture, ControlReader, ControlWriter, Session, Stream, announce, await_hello, await_status,
};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Agent;
use crate::boarding::{Boarding, Handoff, Refusal};
use crate::settings::Settings;
use crate::view::AgentView;

/// Ample on a machine that builds beside the tests; only ever waited for when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits with a bound.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .expect("this takes too long")
}

/// Waits, with a bound, until something holds.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    soon(async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(super) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

fn authority() -> CertificateAuthority {
    CertificateAuthority::create("test CA", 1, SystemClock.now()).expect("a CA")
}

fn issue(authority: &CertificateAuthority, kind: Kind) -> Issued {
    let request = Request {
        kind,
        lifetime: Duration::from_secs(3600),
        now: SystemClock.now(),
    };
    authority.issue(&request).expect("issued")
}

/// A relay, the CAs, and the folder with the agent's files.
pub(super) struct Harbour {
    pub(super) endpoint: RelayEndpoint,
    pub(super) folder: TempDir,
    agents: CertificateAuthority,
}

/// An agent at a harbour.
pub(super) struct Guest {
    pub(super) session: Arc<dyn Session>,
    pub(super) hello: Hello,
    pub(super) hears: ControlReader,
    pub(super) says: ControlWriter,
}

impl Harbour {
    /// With a trust that is right, or with the authority of somebody else.
    pub(super) fn open(trusted: bool) -> Self {
        let (agents, relays, exits) = (authority(), authority(), authority());
        let hosts = vec!["relay.example.com".to_owned()];
        let own = issue(&relays, Kind::Relay { hosts });
        let certificates = |text: &str| pem::certificates(text.as_bytes()).expect("certificates");
        let verifier = AgentVerifier::new(
            &certificates(agents.certificate_pem()),
            Arc::new(SystemClock),
        );
        let tls = RelayTls {
            chain: certificates(&own.cert_pem),
            key: pem::private_key(own.key_pem.as_bytes()).expect("a key"),
            agents: Arc::new(verifier.expect("a verifier")),
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let secret = RelaySecret::new([1; 32]);
        let endpoint = RelayEndpoint::bind(address, tls, secret, CongestionControl::default());
        let folder = tempfile::tempdir().expect("a folder");
        let harbour = Self {
            endpoint: endpoint.expect("an endpoint"),
            folder,
            agents,
        };
        let other = authority();
        let trust = if trusted { &relays } else { &other };
        harbour.write("relay-ca.crt", trust.certificate_pem());
        harbour.write("ca.crt", exits.certificate_pem());
        harbour.write("token", "a-token");
        let dns_names = vec!["one.acme.example.com".to_owned()];
        let exit = issue(&exits, Kind::Exit { dns_names });
        harbour.write("exit.crt", &exit.cert_pem);
        harbour.write("exit.key", &exit.key_pem);
        fs::create_dir(harbour.folder.path().join("trust")).expect("a folder");
        harbour.renew();
        harbour
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("written");
    }

    /// A new certificate for the agent.
    pub(super) fn renew(&self) {
        let tunnel = TunnelName::parse("one.acme").expect("a tunnel's name");
        let issued = issue(&self.agents, Kind::Agent { tunnel });
        self.write("agent.key", &issued.key_pem);
        self.write("agent.crt", &issued.cert_pem);
    }

    /// The agent's file, loaded.
    pub(super) fn settings(&self, drain_limit: &str) -> Settings {
        let port = self.endpoint.local_address().expect("an address").port();
        // A name, not an address: on most hosts it leads to ::1 first, where nobody is.
        let text = format!(
            "relays: [{{ address: \"localhost:{port}\", serverName: relay.example.com, \
             caFile: relay-ca.crt }}]\n\
             tunnel: {{ certificateFile: agent.crt, keyFile: agent.key }}\n\
             exit:\n  servingCertificate: {{ certificateFile: exit.crt, keyFile: exit.key }}\n  \
             trust: {{ directory: trust }}\n  upstream: {{ inCluster: true }}\n\
             drain: {{ settle: 0s, limit: {drain_limit} }}\n"
        );
        self.write("agent.yaml", &text);
        let in_cluster = InCluster {
            host: Some("192.0.2.1".to_owned()),
            port: Some("443".to_owned()),
            service_account: self.folder.path().to_owned(),
        };
        let path: &Path = &self.folder.path().join("agent.yaml");
        Settings::from(&role::agent::load(path, &in_cluster).expect("a good file"))
    }

    /// The next agent whose certificate is good.
    pub(super) async fn arrival(&self) -> Arc<dyn Session> {
        soon(async {
            loop {
                let arrival = self.endpoint.accept().await.expect("an arrival");
                // A second address of the same host is given up half-way.
                if let Ok(session) = arrival.complete(deadline()).await {
                    let session: Arc<dyn Session> = Arc::new(session);
                    return session;
                }
            }
        })
        .await
    }

    /// The next agent, welcomed.
    pub(super) async fn guest(&self) -> Guest {
        let session = self.arrival().await;
        let greeting = await_hello(&*session, deadline()).await.expect("a hello");
        let hello = greeting.hello().clone();
        let entrance_domain = EntranceDomain::fitting("example.com");
        let welcome = Welcome {
            relay_instance: 1,
            entrance_domain,
        };
        let (hears, says) = greeting.welcome(welcome).await.expect("welcomed");
        Guest {
            session,
            hello,
            hears,
            says,
        }
    }
}

impl Guest {
    /// A caller's stream, announced.
    pub(super) async fn caller(&self, connection: u128) -> Stream {
        let header = StreamHeader {
            connection,
            sni: ServerName::fitting("one.acme.example.com"),
            caller: "192.0.2.7:40000".parse().expect("an address"),
            traceparent: None,
        };
        let mut stream = soon(self.session.open()).await.expect("a stream");
        announce(&mut stream, &header, b"hello")
            .await
            .expect("announced");
        stream
    }
}

/// A handoff that passes callers to the test.
pub(super) struct Gate {
    boarded: mpsc::Sender<Boarding>,
    pub(super) refusal: Option<Refusal>,
}

impl Handoff for Gate {
    fn refusal(&self) -> Option<Refusal> {
        self.refusal.clone()
    }

    fn board(&self, boarding: Boarding) -> BoxFuture<'static, ()> {
        let boarded = self.boarded.clone();
        Box::pin(async move { drop(boarded.send(boarding).await) })
    }
}

/// A running agent.
pub(super) struct Running {
    pub(super) view: AgentView,
    pub(super) shutdown: CancellationToken,
    pub(super) abort: CancellationToken,
    pub(super) boarded: mpsc::Receiver<Boarding>,
    pub(super) task: JoinHandle<()>,
    metrics: Registry,
}

impl Running {
    pub(super) fn start(settings: &Settings) -> Self {
        Self::start_refusing(settings, None)
    }

    /// One that always waits as long as it ever would.
    pub(super) fn start_patient(settings: &Settings) -> Self {
        Self::start_with(settings, None, |agent| agent.random = || u64::MAX)
    }

    pub(super) fn start_refusing(settings: &Settings, refusal: Option<Refusal>) -> Self {
        Self::start_with(settings, refusal, |_| {})
    }

    fn start_with(
        settings: &Settings,
        refusal: Option<Refusal>,
        change: impl FnOnce(&mut Agent),
    ) -> Self {
        let (sender, boarded) = mpsc::channel(8);
        let gate = Arc::new(Gate {
            boarded: sender,
            refusal,
        });
        let mut metrics = Registry::default();
        let agent = Agent::new(settings, gate, Arc::new(SystemClock), &mut metrics);
        let mut agent = agent.expect("an agent");
        change(&mut agent);
        let (view, shutdown) = (agent.view(), CancellationToken::new());
        let abort = CancellationToken::new();
        let running = agent.run(shutdown.clone(), abort.clone().cancelled_owned());
        let task = TaskTracker::new().spawn(running);
        Self {
            view,
            shutdown,
            abort,
            boarded,
            task,
            metrics,
        }
    }

    /// A caller whom the agent has taken: its stream at the relay, and what the handoff got.
    pub(super) async fn board(&mut self, guest: &Guest, connection: u128) -> (Stream, Boarding) {
        let mut at_relay = guest.caller(connection).await;
        let boarding = soon(self.boarded.recv()).await.expect("a caller");
        soon(await_status(&mut at_relay, deadline()))
            .await
            .expect("a status");
        (at_relay, boarding)
    }

    pub(super) fn metrics(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.metrics).expect("metrics");
        text
    }
}

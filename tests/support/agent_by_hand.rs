//! An agent without an exit behind it: it dials a real relay and gives the test each caller's raw stream.

use std::sync::Arc;

use gangplank_pki::clock::SystemClock;
use gangplank_pki::peer::RelayVerifier;
use gangplank_tunnel::quic::{AgentEndpoint, AgentTls};
use gangplank_tunnel::wire::{Hello, SoftwareName, StreamHeader, StreamStatus};
use gangplank_tunnel::{Session, Stream, answer, greet, receive_header};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

use super::path::{DOMAIN, RELAY_NAME, Relay};
use super::wait::{self, PATIENCE};

/// Callers that may wait for the test; more would mean that the test forgot to look.
const WAITING: usize = 64;

/// A tunnel in the test's hands.
#[derive(Debug)]
pub(crate) struct AgentByHand {
    /// The relay it is at.
    pub(crate) relay: Arc<Relay>,
    /// The name callers ask for.
    pub(crate) entrance: String,
    /// The tunnel itself.
    pub(crate) session: Arc<dyn Session>,
    callers: Mutex<mpsc::Receiver<(StreamHeader, Stream)>>,
    _endpoint: AgentEndpoint,
}

impl AgentByHand {
    /// A tunnel of that name at a relay of its own.
    pub(crate) async fn start(name: &str) -> Self {
        Self::at(&Arc::new(Relay::start()), name).await
    }

    /// A tunnel of that name at a relay.
    pub(crate) async fn at(relay: &Arc<Relay>, name: &str) -> Self {
        let papers = relay.agents().agent(name);
        let anchors = vec![
            CertificateDer::from_pem_slice(relay.authority().pem().as_bytes())
                .expect("an authority"),
        ];
        let verifier = RelayVerifier::new(&anchors, Arc::new(SystemClock)).expect("a verifier");
        let tls = AgentTls {
            chain: papers.chain(),
            key: papers.key(),
            relay: Arc::new(verifier),
        };
        let endpoint = AgentEndpoint::bind().expect("a socket");
        let deadline = Instant::now() + PATIENCE;
        let session = endpoint
            .dial(relay.address, RELAY_NAME, tls, deadline)
            .await
            .expect("the relay takes it");
        let session: Arc<dyn Session> = Arc::new(session);
        let hello = Hello {
            instance: 7,
            slot: 0,
            epoch: 1,
            software: SoftwareName::fitting("agent by hand"),
        };
        let control = greet(&*session, hello, deadline)
            .await
            .expect("the relay greets");
        let (sender, callers) = mpsc::channel(WAITING);
        let accepting = Arc::clone(&session);
        tokio::spawn(async move {
            // The control stream stays open as long as the tunnel.
            let _control = control;
            while let Ok(mut stream) = accepting.accept().await {
                let Ok(header) = receive_header(&mut stream, Instant::now() + PATIENCE).await
                else {
                    continue;
                };
                if answer(&mut stream, &StreamStatus::Accepted).await.is_ok()
                    && sender.send((header, stream)).await.is_err()
                {
                    return;
                }
            }
        });
        let registered = Arc::clone(relay);
        let wanted = name.to_owned();
        wait::until("the tunnel to be registered", move || {
            registered.has_tunnel(&wanted).then_some(())
        });
        Self {
            relay: Arc::clone(relay),
            entrance: format!("{name}.{DOMAIN}"),
            session,
            callers: Mutex::new(callers),
            _endpoint: endpoint,
        }
    }

    /// The next caller's announcement and stream.
    pub(crate) async fn caller(&self) -> (StreamHeader, Stream) {
        wait::within("a caller", async { self.callers.lock().await.recv().await })
            .await
            .expect("the tunnel is there")
    }

    /// Whether nobody is waiting.
    pub(crate) async fn nobody_came(&self) -> bool {
        self.callers.lock().await.is_empty()
    }
}

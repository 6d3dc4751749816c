//! An agent with QUIC alone between it and the relay: it need not keep to our rules.

use std::sync::Arc;

use gangplank_tunnel::wire::{ControlFrame, Hello, SoftwareName, VERSION};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig,
};

use super::certificates::Papers;
use super::path::{RELAY_NAME, Relay};
use super::{caller, wait};

/// Such an agent.
#[derive(Debug)]
pub(crate) struct BareAgent {
    /// Its session.
    pub(crate) connection: Connection,
    /// Its control stream, after the greeting.
    pub(crate) control: (SendStream, RecvStream),
    /// What it dialled with; it keeps whatever the relay has given it for the next time.
    pub(crate) endpoint: Endpoint,
}

impl BareAgent {
    /// One of that name that the relay has welcomed.
    pub(crate) async fn start(relay: &Relay, name: &str) -> Self {
        Self::start_with(relay, name, TransportConfig::default()).await
    }

    /// The same with a transport of its own.
    pub(crate) async fn start_with(relay: &Relay, name: &str, transport: TransportConfig) -> Self {
        let endpoint = endpoint(relay, &relay.agents().agent(name), transport);
        let connection = dial(&endpoint, relay).await;
        let connection = connection.expect("the relay takes it");
        let mut control = connection.open_bi().await.expect("a control stream");
        let greeting = greeting(9);
        control
            .0
            .write_all(&greeting)
            .await
            .expect("the relay reads");
        let mut welcome = [0; 1];
        wait::within("the welcome", control.1.read_exact(&mut welcome))
            .await
            .expect("a welcome");
        Self {
            connection,
            control,
            endpoint,
        }
    }
}

/// What dials a relay as the owner of these papers.
pub(crate) fn endpoint(relay: &Relay, papers: &Papers, transport: TransportConfig) -> Endpoint {
    let tls = caller::config(relay.authority(), Some(papers), &["gangplank/1"]);
    let crypto = QuicClientConfig::try_from(tls).expect("TLS 1.3");
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    let mut endpoint =
        Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a socket");
    endpoint.set_default_client_config(config);
    endpoint
}

/// One attempt. TLS 1.3 lets an agent believe for a moment that it was let in.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    relay: &Relay,
) -> Result<Connection, ConnectionError> {
    let connecting = endpoint
        .connect(relay.address, RELAY_NAME)
        .expect("it begins");
    wait::within("a session", connecting).await
}

/// What an agent says first.
pub(crate) fn greeting(instance: u128) -> Vec<u8> {
    let hello = Hello {
        instance,
        slot: 0,
        epoch: 1,
        software: SoftwareName::fitting("bare"),
    };
    let frame = ControlFrame::Hello(hello).encode().expect("a hello");
    [&[VERSION], &frame[..]].concat()
}

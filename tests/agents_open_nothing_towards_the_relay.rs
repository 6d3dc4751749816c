//! A tunnel leads one way: an agent cannot open a stream or send a datagram through its relay to anyone, so that one
//! cluster's agent is no way into another's.

use std::sync::Arc;
use std::time::Duration;

use gangplank_tunnel::wire::{CloseCode, ControlFrame, Hello, SoftwareName, VERSION};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendDatagramError, SendStream};
use tokio::time::timeout;

use crate::support::agent_by_hand::AgentByHand;
use crate::support::path::{RELAY_NAME, Relay};
use crate::support::{caller, wait};

/// For something that must not happen. However slow the machine, a test that waits this long in vain is right.
const MOMENT: Duration = Duration::from_millis(300);

/// An agent with QUIC alone between it and the relay.
struct BareAgent {
    connection: Connection,
    control: (SendStream, RecvStream),
    _endpoint: Endpoint,
}

impl BareAgent {
    async fn start(relay: &Relay, name: &str) -> Self {
        let papers = relay.agents().agent(name);
        let tls = caller::config(relay.authority(), Some(&papers), &["gangplank/1"]);
        let crypto = QuicClientConfig::try_from(tls).expect("TLS 1.3");
        let endpoint =
            Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a socket");
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let connecting = endpoint
            .connect_with(config, relay.address, RELAY_NAME)
            .expect("it begins");
        let connection = wait::within("a session", connecting)
            .await
            .expect("the relay takes it");
        let mut control = connection.open_bi().await.expect("a control stream");
        let hello = Hello {
            instance: 9,
            slot: 0,
            epoch: 1,
            software: SoftwareName::fitting("bare"),
        };
        let frame = ControlFrame::Hello(hello).encode().expect("a hello");
        control
            .0
            .write_all(&[&[VERSION], &frame[..]].concat())
            .await
            .expect("the relay reads");
        let mut welcome = [0; 1];
        wait::within("the welcome", control.1.read_exact(&mut welcome))
            .await
            .expect("a welcome");
        Self {
            connection,
            control,
            _endpoint: endpoint,
        }
    }
}

/// Case E35.
#[tokio::test(flavor = "multi_thread")]
async fn neither_streams_nor_datagrams() {
    let other = AgentByHand::start("harbour.acme").await;
    let agent = BareAgent::start(&other.relay, "evil.acme").await;
    assert!(
        timeout(MOMENT, agent.connection.open_bi()).await.is_err(),
        "no second stream"
    );
    assert!(
        timeout(MOMENT, agent.connection.open_uni()).await.is_err(),
        "no stream of one direction"
    );
    let sent = agent
        .connection
        .send_datagram(b"to whom it may concern"[..].into());
    assert_eq!(sent, Err(SendDatagramError::UnsupportedByPeer));
    assert!(
        timeout(MOMENT, other.session.open()).await.is_err(),
        "the same through our own library"
    );
    assert!(agent.connection.close_reason().is_none() && other.nobody_came().await);
}

/// Ending the control stream gives no room for another stream: it ends the session.
#[tokio::test(flavor = "multi_thread")]
async fn nor_in_place_of_the_control_stream() {
    let other = AgentByHand::start("harbour.acme").await;
    let BareAgent {
        connection,
        control: (mut send, mut receive),
        _endpoint,
    } = BareAgent::start(&other.relay, "evil.acme").await;
    send.finish().expect("our end");
    receive.stop(0_u32.into()).expect("nothing more is read");
    let closed = wait::within("the end of the session", connection.closed()).await;
    let ConnectionError::ApplicationClosed(close) = closed else {
        panic!("{closed}")
    };
    assert_eq!(close.error_code, CloseCode::Done.number().into());
    assert!(other.nobody_came().await);
    assert!(
        other.relay.has_tunnel("harbour.acme"),
        "nobody else's tunnel is touched"
    );
}

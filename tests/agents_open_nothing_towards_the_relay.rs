//! A tunnel leads one way: an agent cannot open a stream or send a datagram through its relay to anyone, so that one
//! cluster's agent is no way into another's.

use std::time::Duration;

use gangplank_tunnel::wire::CloseCode;
use quinn::{ConnectionError, SendDatagramError};
use tokio::time::timeout;

use crate::support::agent_by_hand::AgentByHand;
use crate::support::bare_agent::BareAgent;
use crate::support::wait;

/// For something that must not happen. However slow the machine, a test that waits this long in vain is right.
const MOMENT: Duration = Duration::from_millis(300);

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
        endpoint: _endpoint,
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

use std::time::Duration;

use gangplank_tunnel::wire::CloseCode;
use gangplank_tunnel::{Notice, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Harness, client_hello, closed, read_some, soon, until};

const NAME: &str = "c.acme.tunnels.example.com";

#[tokio::test]
async fn agents_are_told_the_port_closes_and_what_runs_goes_on_to_its_end() {
    let relay = Harness::start("drain: { settle: 0s, limit: 60s }\n").await;
    assert!(relay.view.ready() || !relay.view.draining());
    let mut agent = relay.agent("c.acme", 1, 1).await;
    let (mut running, mut its_stream) = relay.on_board(NAME, &agent).await;

    relay.shutdown.cancel();
    let notice = soon("the drain notice", agent.reader.next()).await.unwrap();
    assert_eq!(
        notice,
        Some(Notice::Drain {
            limit: Duration::from_secs(60)
        })
    );
    assert!(relay.view.draining() && !relay.view.ready());
    let refused = async {
        while TcpStream::connect(relay.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon("the port is closed", refused).await;

    its_stream.write_all(b"last words").await.unwrap();
    its_stream.shutdown().await.unwrap();
    assert_eq!(read_some(&mut running, 10).await, b"last words");
    assert!(!relay.running.is_finished());
    running.shutdown().await.unwrap();
    soon("the relay ends", relay.running).await.unwrap();
    assert_eq!(closed(&agent.session).await, CloseCode::GoingAway);
}

#[tokio::test]
async fn what_still_runs_at_the_limit_is_reset() {
    let relay = Harness::start("drain: { settle: 0s, limit: 100ms }\n").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    let (mut running, _its_stream) = relay.on_board(NAME, &agent).await;
    relay.shutdown.cancel();
    let mut rest = Vec::new();
    let ended = soon("the end", running.read_to_end(&mut rest)).await;
    assert_eq!(
        ended.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    soon("the relay ends", relay.running).await.unwrap();
}

#[tokio::test]
async fn abort_cuts_the_drain_short_and_agents_are_told() {
    let relay = Harness::start("drain: { settle: 60s, limit: 60s }\n").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    let (mut running, _its_stream) = relay.on_board(NAME, &agent).await;
    relay.shutdown.cancel();
    until("the relay drains", || relay.view.draining()).await;
    relay.abort.cancel();
    let mut rest = Vec::new();
    let ended = soon("the end", running.read_to_end(&mut rest)).await;
    assert_eq!(
        ended.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    assert_eq!(closed(&agent.session).await, CloseCode::GoingAway);
    soon("the relay ends", relay.running).await.unwrap();
}

#[tokio::test]
async fn during_the_settle_time_callers_are_still_taken() {
    let relay = Harness::start("drain: { settle: 2s, limit: 1s }\n").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    relay.shutdown.cancel();
    until("readiness is gone", || relay.view.draining()).await;
    let _late = relay.call(NAME).await;
    let _taken = agent.take().await;
}

#[tokio::test]
async fn streams_of_a_superseded_tunnel_hear_of_the_drain_too() {
    let relay = Harness::start("drain: { settle: 0s, limit: 60s }\n").await;
    let mut older = relay.agent("c.acme", 1, 1).await;
    let (running, its_stream) = relay.on_board(NAME, &older).await;
    let _newer = relay.agent("c.acme", 1, 2).await;
    relay.shutdown.cancel();
    let notice = soon("the drain notice", older.reader.next()).await.unwrap();
    let limit = Duration::from_secs(60);
    assert_eq!(notice, Some(Notice::Drain { limit }));
    drop((running, its_stream));
    soon("the relay ends", relay.running).await.unwrap();
}

#[tokio::test]
async fn agent_that_drains_while_the_relay_does_is_let_go_when_nobody_is_on_board() {
    let relay = Harness::start("drain: { settle: 0s, limit: 60s }\n").await;
    let mut leaving = relay.agent("c.acme", 1, 1).await;
    let staying = relay.agent("d.acme", 2, 1).await;
    let _running = relay.call("d.acme.tunnels.example.com").await;
    let _its_stream = staying.take().await;
    relay.shutdown.cancel();
    soon("the drain notice", leaving.reader.next())
        .await
        .unwrap();
    leaving.writer.drain(Duration::from_secs(60)).await.unwrap();
    soon("the session ends", leaving.session.closed()).await;
    assert!(!relay.running.is_finished());
}

/// Whoever has connected before the port closes is taken, though nobody has accepted it yet.
#[tokio::test]
async fn who_has_connected_when_the_port_closes_is_not_reset() {
    let relay = Harness::start("drain: { settle: 0s, limit: 60s }\n").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    // In the kernel's queue: on this one thread the relay does nothing until the test waits.
    let mut callers: Vec<_> = (0..100)
        .map(|_| std::net::TcpStream::connect(relay.address).unwrap())
        .collect();
    relay.shutdown.cancel();
    until("the relay drains", || relay.view.draining()).await;
    for caller in &mut callers {
        std::io::Write::write_all(caller, &client_hello(NAME)).unwrap();
    }
    for _ in &callers {
        drop(agent.take().await);
    }
}

use std::time::Duration;

use gangplank_tunnel::wire::CloseCode;
use gangplank_tunnel::{Closed, GreetError, Session};
use tokio::io::AsyncWriteExt;

use crate::support::{Harness, closed, read_some, soon, until};

const NAME: &str = "c.acme.tunnels.example.com";

#[tokio::test]
async fn callers_board_the_instance_that_carries_fewest() {
    let relay = Harness::start("").await;
    let (first, second) = (
        relay.agent("c.acme", 1, 1).await,
        relay.agent("c.acme", 2, 1).await,
    );
    let mut aboard = Vec::new();
    for _ in 0..6 {
        let caller = relay.call(NAME).await;
        let stream = tokio::select! {
            (_, stream) = first.take() => stream,
            (_, stream) = second.take() => stream,
        };
        relay.all_on_board().await;
        aboard.push((caller, stream));
    }
    assert_eq!(relay.tunnel(1).unwrap().open_streams, 3);
    assert_eq!(relay.tunnel(2).unwrap().open_streams, 3);
}

#[tokio::test]
async fn newer_epoch_gets_the_new_callers_and_the_older_keeps_its_own_until_they_leave() {
    let relay = Harness::start("").await;
    let older = relay.agent("c.acme", 1, 1).await;
    let (mut running, mut its_stream) = relay.on_board(NAME, &older).await;

    let newer = relay.agent("c.acme", 1, 2).await;
    assert_eq!(relay.view.tunnels().len(), 1);
    let _next = relay.call(NAME).await;
    let _taken = newer.take().await;

    its_stream.write_all(b"still here").await.unwrap();
    assert_eq!(read_some(&mut running, 10).await, b"still here");
    its_stream.shutdown().await.unwrap();
    running.shutdown().await.unwrap();
    assert_eq!(closed(&older.session).await, CloseCode::Superseded);
    assert_eq!(relay.tunnel(1).unwrap().epoch, 2);
}

#[tokio::test]
async fn older_epoch_is_turned_away() {
    let relay = Harness::start("").await;
    let _newer = relay.agent("c.acme", 1, 7).await;
    let identity = relay.agent_certificate("c.acme");
    let refused = soon("an answer", relay.dial(&identity, 1, 6))
        .await
        .err()
        .unwrap();
    assert!(
        matches!(
            refused,
            GreetError::Closed(Closed::ByPeer {
                code: CloseCode::Superseded,
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(relay.tunnel(1).unwrap().epoch, 7);
}

#[tokio::test]
async fn agent_that_drains_gets_no_new_callers_and_keeps_its_own() {
    let relay = Harness::start("").await;
    let mut leaving = relay.agent("c.acme", 1, 1).await;
    let mut running = relay.call(NAME).await;
    let (_, mut its_stream) = leaving.take().await;
    leaving.writer.drain(Duration::from_secs(60)).await.unwrap();
    until("the tunnel is withdrawn", || relay.tunnel(1).is_none()).await;
    let staying = relay.agent("c.acme", 2, 1).await;
    let _next = relay.call(NAME).await;
    let _taken = staying.take().await;
    its_stream.write_all(b"bye").await.unwrap();
    assert_eq!(read_some(&mut running, 3).await, b"bye");
    drop((running, its_stream));
    assert_eq!(closed(&leaving.session).await, CloseCode::GoingAway);
}

#[tokio::test]
async fn streams_of_a_session_that_dies_end_and_the_next_caller_finds_the_other() {
    let relay = Harness::start("").await;
    let dying = relay.agent("c.acme", 1, 1).await;
    let (mut running, _its_stream) = relay.on_board(NAME, &dying).await;
    dying.session.close(CloseCode::Done, "");
    let mut rest = Vec::new();
    let ended = tokio::io::AsyncReadExt::read_to_end(&mut running, &mut rest);
    assert_eq!(
        soon("the end", ended).await.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    let other = relay.agent("c.acme", 2, 1).await;
    let _next = relay.call(NAME).await;
    let _taken = other.take().await;
}

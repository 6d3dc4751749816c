use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::support::{Harness, read_some, soon, until};
use tokio::io::AsyncWriteExt;

const NAME: &str = "c.acme.tunnels.example.com";

/// More than one source may have on the quay: those who have waited longest are sent away, and a caller
/// that says its name is served at once, from the very same address.
#[tokio::test]
async fn crowd_of_silent_connections_of_one_source_does_not_shut_it_out() {
    let relay = Harness::start("").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    let mut silent = Vec::new();
    for _ in 0..1100 {
        silent.push(relay.connect().await);
    }
    let arrived = Instant::now();
    let mut caller = relay.call(NAME).await;
    let (_, mut stream) = agent.take().await;
    stream.write_all(b"ok").await.unwrap();
    assert_eq!(read_some(&mut caller, 2).await, b"ok");
    assert!(
        arrived.elapsed() < Duration::from_secs(1),
        "{:?}",
        arrived.elapsed()
    );
    until("the quay is within its bound", || {
        relay.view.waiting_callers() <= 1024
    })
    .await;
    let mut nothing = [0; 1];
    let sent_away = soon("the first is sent away", silent[0].read(&mut nothing)).await;
    assert_eq!(
        sent_away.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
}

//! Many streams, few connections, and connections that go away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use http_body_util::BodyExt;

use super::fake::{self, Exchange, Sight};
use super::support::{Harness, Papers, get, post, text, until, within};
use crate::upstream::limits::Pace;
use crate::upstream::metrics::ProtocolLabels;

async fn playing(limit: u32) -> (Harness, Arc<Sight>) {
    let papers = Papers::new();
    let config = fake::tls(&papers.server("127.0.0.1"), &["h2", "http/1.1"]);
    let (port, sight) = fake::http2(config, limit, |exchange| Box::pin(exchange.play())).await;
    (Harness::new(&papers.upstream(port)), sight)
}

fn open_connections(harness: &Harness) -> i64 {
    harness
        .metrics
        .connections
        .get_or_create(&ProtocolLabels::HTTP2)
        .get()
}

#[tokio::test]
async fn two_hundred_and_fifty_watches_leave_room_for_a_get() {
    let (harness, sight) = playing(100).await;
    let watches = join_all((0..250).map(|_| harness.get("/watch"))).await;
    let watches: Vec<_> = watches.into_iter().map(Result::unwrap).collect();
    assert_eq!(harness.text("/get").await, "/get");
    assert!(sight.crowd.load(Ordering::SeqCst) <= 100);
    assert!(
        (3..=5).contains(&sight.connections()),
        "{}",
        sight.connections()
    );
    assert_eq!(harness.metrics.streams.get(), 250);
    drop(watches);
    assert_eq!(harness.metrics.streams.get(), 0);
    assert_eq!(harness.text("/get").await, "/get");
}

#[tokio::test]
async fn a_server_with_few_streams_is_never_asked_for_more() {
    let (harness, sight) = playing(3).await;
    let watches = join_all((0..20).map(|_| harness.get("/watch"))).await;
    assert!(watches.iter().all(Result::is_ok));
    assert_eq!(harness.text("/get").await, "/get");
    assert_eq!(sight.crowd.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn the_next_connection_is_open_before_it_is_needed() {
    let (harness, sight) = playing(8).await;
    let watches = join_all((0..8).map(|_| harness.get("/watch"))).await;
    assert!(watches.iter().all(Result::is_ok));
    until("a second connection is open", || {
        open_connections(&harness) == 2
    })
    .await;
    assert_eq!(sight.connections(), 2);
}

#[tokio::test]
async fn bodies_that_nobody_reads_stall_nobody() {
    let (harness, sight) = playing(100).await;
    let mut lists = Vec::new();
    for _ in 0..80 {
        let mut list = harness.get("/list").await.unwrap().into_body();
        // Its first bytes are there, so its window fills up.
        lists.push((within(list.frame()).await.unwrap().unwrap(), list));
    }
    assert_eq!(sight.connections(), 1);
    assert_eq!(harness.text("/get").await, "/get");
    // And the one that is read in the end is whole.
    let (first, mut list) = lists.pop().unwrap();
    let mut length = first.into_data().unwrap().len();
    while let Some(frame) = within(list.frame()).await {
        length += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(length, 1 << 20);
}

#[tokio::test]
async fn tiny_frames_that_nobody_reads_end_nothing() {
    let (harness, sight) = playing(100).await;
    let lines = harness.get("/lines").await.unwrap();
    // Frames come in their order: with this answer all those are here.
    for _ in 0..100 {
        assert_eq!(harness.text("/get").await, "/get");
    }
    assert_eq!(text(lines).await.len(), 60_000);
    assert_eq!(sight.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_goes_away_finishes_its_watch() {
    let (harness, sight) = playing(100).await;
    let watch = harness.get("/watch").await.unwrap();
    sight.goaway.notify_one();
    until("a new connection is used", || sight.connections() == 1).await;
    // Until the GOAWAY is here requests may still go the old way, and are answered.
    for _ in 0..200 {
        assert_eq!(harness.text("/get").await, "/get");
        if sight.connections() == 2 {
            break;
        }
    }
    assert_eq!(sight.connections(), 2);
    sight.proceed.notify_waiters();
    assert_eq!(text(watch).await, "eventend");
}

#[tokio::test]
async fn requests_on_a_connection_that_goes_away_are_executed_once() {
    let (harness, sight) = playing(100).await;
    for round in 0..20 {
        // Only to connections that are there already.
        sight.goaway.notify_waiters();
        let requests = (0..10).map(|number| format!("/{round}/{number}"));
        let harness = &harness;
        let sent = requests.map(|path| async move {
            let response = harness.send(post(&path, "body").await).await.unwrap();
            assert_eq!(text(response).await, path);
        });
        join_all(sent).await;
    }
    let mut lines = sight.lines();
    assert_eq!(lines.len(), 200);
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 200);
}

#[tokio::test]
async fn a_post_after_the_server_closed_an_idle_connection_arrives_once() {
    let (harness, sight) = playing(100).await;
    assert_eq!(harness.text("/first").await, "/first");
    sight.cut.notify_one();
    until("the end is noticed", || open_connections(&harness) == 0).await;
    let response = harness.send(post("/pods", "body").await).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(sight.lines(), ["GET /first", "POST /pods"]);
}

#[tokio::test]
async fn idle_connections_are_closed_and_busy_ones_are_not() {
    let papers = Papers::new();
    let config = fake::tls(&papers.server("127.0.0.1"), &["h2"]);
    let (port, sight) =
        fake::http2(config, 2, |exchange: Exchange| Box::pin(exchange.play())).await;
    let pace = Pace {
        idle: Duration::from_millis(50),
        idle_check: Duration::from_millis(10),
        ..Pace::default()
    };
    let harness = Harness::with_pace(&papers.upstream(port), pace);
    let watches = join_all((0..5).map(|_| harness.get("/watch"))).await;
    let mut watches: Vec<_> = watches.into_iter().map(Result::unwrap).collect();
    until("there are several", || open_connections(&harness) >= 3).await;
    watches.truncate(1);
    until("only the busy one is left", || {
        open_connections(&harness) == 1
    })
    .await;
    assert_eq!(harness.text("/get").await, "/get");
    assert!(sight.connections() >= 3);
}

#[tokio::test]
async fn a_client_that_was_stopped_takes_nothing_new_and_ends() {
    let (harness, sight) = playing(100).await;
    let watch = harness.get("/watch").await.unwrap();
    harness.stop.cancel();
    assert_eq!(
        harness.send(get("/get")).await.unwrap_err().reason(),
        "Stopping"
    );
    sight.proceed.notify_waiters();
    assert_eq!(text(watch).await, "eventend");
    harness.tasks.close();
    within(harness.tasks.wait()).await;
    assert_eq!(open_connections(&harness), 0);
}

#[tokio::test]
async fn connections_do_not_outlive_their_client() {
    let (harness, _sight) = playing(100).await;
    assert_eq!(harness.text("/get").await, "/get");
    let Harness { client, tasks, .. } = harness;
    drop(client);
    tasks.close();
    within(tasks.wait()).await;
}

#[tokio::test]
async fn readiness_opens_the_connection_that_the_next_request_uses() {
    let (harness, sight) = playing(100).await;
    harness.client.reachable().await.unwrap();
    harness.client.reachable().await.unwrap();
    assert_eq!(harness.text("/get").await, "/get");
    assert_eq!(sight.connections(), 1);
    assert_eq!(sight.lines(), ["GET /get"]);
}

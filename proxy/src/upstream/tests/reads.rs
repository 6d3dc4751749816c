//! Plain reads, which take turns on HTTP/1.1 connections beside the HTTP/2 ones.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;

use super::fake::{self, Both};
use super::support::{Harness, Papers, get, head, post, text, until, within};
use crate::body::RequestBody;
use crate::upstream::limits::{Pace, READING_CONNECTIONS, READING_DIALS};
use crate::upstream::metrics::{OutcomeLabels, ProtocolLabels};
use crate::upstream::{Expected, UpstreamError};

async fn server() -> (Harness, Both) {
    server_with(Pace::default()).await
}

async fn server_with(pace: Pace) -> (Harness, Both) {
    let papers = Papers::new();
    let server = fake::both(&papers.server("127.0.0.1")).await;
    (
        Harness::with_pace(&papers.upstream(server.port), pace),
        server,
    )
}

async fn read(harness: &Harness, path: &str) -> String {
    let answer = harness.send_expecting(get(path), Expected::Soon).await;
    text(answer.unwrap()).await
}

fn open(harness: &Harness) -> i64 {
    let connections = &harness.metrics.connections;
    connections
        .get_or_create_owned(&ProtocolLabels::HTTP1)
        .get()
}

/// Reads until a connection for reads is there and idle.
async fn settle(harness: &Harness, server: &Both) {
    while server.http1.lock().is_empty() {
        assert_eq!(read(harness, "/get").await, "/get");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn reads_take_turns_on_one_connection_and_nothing_else_does() {
    let (harness, server) = server().await;
    settle(&harness, &server).await;
    let before = server.http2.lines().len();
    for _ in 0..5 {
        assert_eq!(read(&harness, "/get").await, "/get");
    }
    assert_eq!(server.http2.lines().len(), before);
    assert_eq!(open(&harness), 1);
    let watch = harness.get("/watch").await.unwrap();
    let written = harness
        .send_expecting(post("/pods", "body").await, Expected::Soon)
        .await;
    assert_eq!(text(written.unwrap()).await, "/pods");
    let deleted = head(Method::DELETE, "/pods/p")
        .body(RequestBody::empty())
        .unwrap();
    let deleted = harness.send_expecting(deleted, Expected::Soon).await;
    assert_eq!(text(deleted.unwrap()).await, "/pods/p");
    drop(watch);
    let over_http2 = server.http2.lines().split_off(before);
    assert_eq!(over_http2, ["GET /watch", "POST /pods", "DELETE /pods/p"]);
    let over_http1 = server.http1.lock().clone();
    assert!(
        over_http1
            .iter()
            .all(|(_, request)| request.starts_with("GET /get "))
    );
}

#[tokio::test]
async fn reads_beyond_the_bound_share_http2() {
    let (harness, server) = server().await;
    settle(&harness, &server).await;
    // Answers that nobody reads keep their connections.
    let mut answers = Vec::new();
    for _ in 0..READING_CONNECTIONS.div_ceil(READING_DIALS) + 1 {
        answers.extend(
            join_all((0..20).map(|_| harness.send_expecting(get("/get"), Expected::Soon))).await,
        );
        until("the dials are done", || {
            harness.client.0.pool.dialling_for_reads() == 0
        })
        .await;
    }
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(open(&harness), i64::try_from(READING_CONNECTIONS).unwrap());
}

/// Each of these costs the connection that it had, and the next one costs a handshake.
#[tokio::test]
async fn reads_that_are_given_up_cost_no_more_handshakes_than_there_may_be_connections() {
    let (harness, server) = server_with(Pace {
        reading_spell: Duration::from_secs(3600),
        ..Pace::default()
    })
    .await;
    settle(&harness, &server).await;
    for _ in 0..3 * READING_CONNECTIONS {
        let answer = harness.send_expecting(get("/half"), Expected::Soon).await;
        drop(answer.unwrap());
        until("the dial is done", || {
            harness.client.0.pool.dialling_for_reads() == 0
        })
        .await;
    }
    assert_eq!(open(&harness), 0);
    // And one that speaks HTTP/2.
    let connections = server.connections.load(Ordering::SeqCst);
    assert_eq!(connections, READING_CONNECTIONS + 1);
    assert_eq!(read(&harness, "/get").await, "/get");
}

#[tokio::test]
async fn a_read_that_met_a_closing_connection_is_asked_again_over_http2() {
    let (harness, server) = server().await;
    settle(&harness, &server).await;
    let before = server.http2.lines().len();
    server.cut_http1.store(true, Ordering::SeqCst);
    assert_eq!(read(&harness, "/get/once").await, "/get/once");
    assert_eq!(server.http2.lines().split_off(before), ["GET /get/once"]);
    let closing = OutcomeLabels { outcome: "closing" };
    assert_eq!(harness.metrics.sent_again.get_or_create(&closing).get(), 1);
}

/// Case C31: a server that was stopped takes what is sent and says nothing, and HTTP/1.1 has no PING to find that out.
#[tokio::test]
async fn a_read_that_gets_no_answer_is_asked_again_over_http2() {
    let pace = Pace {
        reading_silence: Duration::from_millis(100),
        ..Pace::default()
    };
    let papers = Papers::new();
    let server = fake::both_saying(&papers.server("127.0.0.1"), |path| fake::Said {
        pieces: match path {
            "/get/mute" => Vec::new(),
            _ => fake::plainly(path).pieces,
        },
        closes: false,
    })
    .await;
    let harness = Harness::with_pace(&papers.upstream(server.port), pace);
    settle(&harness, &server).await;
    let before = server.http2.lines().len();
    let answer = Box::pin(within(read(&harness, "/get/mute"))).await;
    assert_eq!(answer, "/get/mute");
    assert_eq!(server.http2.lines().split_off(before), ["GET /get/mute"]);
    let silent = OutcomeLabels { outcome: "silent" };
    assert_eq!(harness.metrics.sent_again.get_or_create(&silent).get(), 1);
    assert_eq!(open(&harness), 0, "nobody else waits on that connection");
    assert_eq!(read(&harness, "/get").await, "/get");
}

#[tokio::test]
async fn an_answer_that_was_not_read_to_its_end_closes_its_connection() {
    let (harness, server) = server().await;
    settle(&harness, &server).await;
    let answer = harness
        .send_expecting(get("/half"), Expected::Soon)
        .await
        .unwrap();
    let open_meanwhile = open(&harness);
    drop(answer);
    assert_eq!((open_meanwhile, open(&harness)), (1, 0));
}

#[tokio::test]
async fn idle_connections_are_closed_in_time_and_at_the_end() {
    let pace = Pace {
        idle: Duration::from_millis(20),
        idle_check: Duration::from_millis(5),
        ..Pace::default()
    };
    let (harness, server) = server_with(pace).await;
    settle(&harness, &server).await;
    until("the idle connection is closed", || open(&harness) == 0).await;
    let (harness, server) = server_with(Pace::default()).await;
    settle(&harness, &server).await;
    assert_eq!(open(&harness), 1);
    harness.stop.cancel();
    until("the last connection is closed", || open(&harness) == 0).await;
}

/// Over HTTP/1.1 such a request would swallow the next one, which may be another caller's.
#[tokio::test]
async fn a_read_that_announces_a_body_without_one_is_not_sent() {
    let (harness, server) = server().await;
    settle(&harness, &server).await;
    let before = server.http1.lock().len();
    for (name, value) in [("content-length", "5"), ("transfer-encoding", "chunked")] {
        let request = head(Method::GET, "/get").header(name, value);
        let request = request.body(RequestBody::empty()).unwrap();
        let answer = harness.send_expecting(request, Expected::Soon).await;
        assert!(
            matches!(answer, Err(UpstreamError::Target(_))),
            "{answer:?}"
        );
    }
    let request = head(Method::GET, "/get").header("content-length", "0");
    let request = request.body(RequestBody::empty()).unwrap();
    let answer = harness.send_expecting(request, Expected::Soon).await;
    assert_eq!(text(answer.unwrap()).await, "/get");
    assert_eq!(server.http1.lock().len(), before + 1);
}

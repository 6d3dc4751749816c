//! Servers that speak HTTP/1.1 only.

use super::fake;
use super::support::{Harness, Papers, post, text, until};
use crate::upstream::UpstreamError;
use crate::upstream::metrics::ProtocolLabels;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_connection_is_used_again() {
    let papers = Papers::new();
    let (port, read) = fake::http1(&papers.server("127.0.0.1"), &[OK]).await;
    let harness = Harness::new(&papers.upstream(port));
    for _ in 0..3 {
        assert_eq!(harness.text("/get//x?y=%zz").await, "ok");
    }
    let response = harness.send(post("/pods", "body").await).await.unwrap();
    assert_eq!(text(response).await, "ok");
    let requests = read.lock().clone();
    assert!(
        requests.iter().all(|(connection, _)| *connection == 0),
        "{requests:?}"
    );
    let (_, first) = &requests[0];
    assert!(
        first.starts_with("GET /get//x?y=%zz HTTP/1.1\r\n"),
        "{first}"
    );
    assert!(
        first.contains(&format!("\r\nhost: 127.0.0.1:{port}\r\n")),
        "{first}"
    );
    assert_eq!(first.matches("authorization: Bearer secret\r\n").count(), 1);
    // The body may come behind the head, and the server answers without waiting for it.
    until("the body is there", || {
        read.lock()[3].1.ends_with("\r\n\r\nbody")
    })
    .await;
}

/// hyper leaves the body of a GET out where no length is announced.
#[tokio::test]
async fn a_body_of_unknown_length_is_sent_whatever_the_method() {
    let papers = Papers::new();
    for method in ["GET", "DELETE"] {
        let (port, read) = fake::http1(&papers.server("127.0.0.1"), &[OK]).await;
        let harness = Harness::new(&papers.upstream(port));
        let mut request = post("/pods", "body").await;
        *request.method_mut() = method.parse().unwrap();
        request.headers_mut().remove("content-length");
        drop(harness.send(request).await.unwrap());
        until("the chunks are there", || {
            let read = read.lock().clone();
            let text: String = read.into_iter().map(|(_, text)| text).collect();
            text.contains("\r\ntransfer-encoding: chunked\r\n")
                && text.ends_with("\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
        })
        .await;
    }
}

#[tokio::test]
async fn requests_at_the_same_time_have_connections_of_their_own() {
    let papers = Papers::new();
    let (port, read) = fake::http1(&papers.server("127.0.0.1"), &[OK]).await;
    let harness = Harness::new(&papers.upstream(port));
    let answers = futures_util::future::join_all((0..20).map(|_| harness.get("/get"))).await;
    // Nobody has read an answer yet, so no connection could be used twice.
    assert!(answers.iter().all(Result::is_ok));
    let mut connections: Vec<_> = read.lock().iter().map(|(number, _)| *number).collect();
    connections.sort_unstable();
    connections.dedup();
    assert_eq!(connections.len(), 20);
}

#[tokio::test]
async fn a_truncated_answer_is_an_error_and_its_connection_is_not_used_again() {
    let papers = Papers::new();
    let (port, read) = fake::http1(
        &papers.server("127.0.0.1"),
        &["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nok"],
    )
    .await;
    let harness = Harness::new(&papers.upstream(port));
    let body = harness.get("/get").await.unwrap().into_body();
    drop(body);
    drop(harness.get("/get").await.unwrap());
    assert_eq!(read.lock()[1].0, 1);
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_an_error() {
    let papers = Papers::new();
    let (port, _read) = fake::http1(
        &papers.server("127.0.0.1"),
        &["HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"],
    )
    .await;
    let harness = Harness::new(&papers.upstream(port));
    let error = harness.get("/get").await.unwrap_err();
    assert!(matches!(error, UpstreamError::WrongProtocol), "{error:?}");
    let open = harness
        .metrics
        .connections
        .get_or_create_owned(&ProtocolLabels::HTTP1);
    until("its connection is closed", || open.get() == 0).await;
}

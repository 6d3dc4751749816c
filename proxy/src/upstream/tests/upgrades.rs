//! Upgrades, granted and not.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::fake;
use super::support::{Harness, Papers, head, identity, text, within};
use crate::upstream::limits::Pace;
use crate::upstream::{OnBehalf, UpgradeAnswer, UpstreamError};

fn spdy() -> Request<()> {
    head(Method::POST, "/exec?command=x")
        .header("upgrade", "SPDY/3.1")
        .header("x-stream-protocol-version", "v4.channel.k8s.io")
        .header("x-stream-protocol-version", "v3.channel.k8s.io")
        .body(())
        .unwrap()
}

/// A server that answers one request with `answer` and then gives back all it reads.
async fn echoing(papers: &Papers, answer: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let read = Arc::new(Mutex::new(Vec::new()));
    let remembered = Arc::clone(&read);
    let config = fake::tls(&papers.server("127.0.0.1"), &["h2", "http/1.1"]);
    let port = fake::listen(config, move |_, tls| {
        let remembered = Arc::clone(&remembered);
        Box::pin(async move {
            let mut tls = tls.unwrap();
            assert_eq!(
                tls.get_ref().1.alpn_protocol(),
                Some(b"http/1.1".as_slice())
            );
            let Some(request) = fake::read_request(&mut tls).await else {
                return;
            };
            remembered.lock().push(request);
            tls.write_all(answer.as_bytes()).await.unwrap();
            let mut bytes = [0; 1024];
            while let Ok(length @ 1..) = tls.read(&mut bytes).await {
                tls.write_all(&bytes[..length]).await.unwrap();
            }
        })
    })
    .await;
    (port, read)
}

#[tokio::test]
async fn bytes_right_behind_the_101_come_first() {
    let papers = Papers::new();
    let (port, read) = echoing(
        &papers,
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: spdy/3.1\r\n\
         x-stream-protocol-version: v4.channel.k8s.io\r\n\r\nearly",
    )
    .await;
    let harness = Harness::new(&papers.upstream(port));
    let answer = within(harness.client.upgrade(OnBehalf::caller(identity()), spdy()))
        .await
        .unwrap();
    let UpgradeAnswer::Switched { response, io } = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(
        response.headers()["x-stream-protocol-version"],
        "v4.channel.k8s.io"
    );
    let mut io = TokioIo::new(io);
    io.write_all(b"-late").await.unwrap();
    let mut bytes = [0; 10];
    within(io.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"early-late");

    let request = read.lock()[0].to_ascii_lowercase();
    assert!(
        request.starts_with("post /exec?command=x http/1.1\r\n"),
        "{request}"
    );
    for line in [
        "connection: upgrade\r\n",
        "upgrade: spdy/3.1\r\n",
        "authorization: bearer secret\r\n",
        "impersonate-user: spiffe://a/ns/x/id/default\r\n",
        "x-stream-protocol-version: v4.channel.k8s.io\r\nx-stream-protocol-version: v3.channel.k8s.io",
    ] {
        assert_eq!(request.matches(line).count(), 1, "{line} in {request}");
    }
}

#[tokio::test]
async fn another_protocol_is_an_error_and_the_connection_is_closed() {
    let papers = Papers::new();
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: SPDY/3.1\r\nupgrade: SPDY/3.1\r\n\r\n",
    ] {
        let (closed, was_closed) = oneshot::channel();
        let closed = Mutex::new(Some(closed));
        let config = fake::tls(&papers.server("127.0.0.1"), &["http/1.1"]);
        let port = fake::listen(config, move |_, tls| {
            let closed = closed.lock().take().unwrap();
            Box::pin(async move {
                let mut tls = tls.unwrap();
                fake::read_request(&mut tls).await.unwrap();
                tls.write_all(answer.as_bytes()).await.unwrap();
                let mut bytes = Vec::new();
                drop(tls.read_to_end(&mut bytes).await);
                closed.send(bytes).unwrap();
            })
        })
        .await;
        let harness = Harness::new(&papers.upstream(port));
        let error = within(harness.client.upgrade(OnBehalf::caller(identity()), spdy()))
            .await
            .unwrap_err();
        assert!(matches!(error, UpstreamError::WrongProtocol), "{error:?}");
        assert_eq!(error.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(within(was_closed).await.unwrap(), b"");
    }
}

#[tokio::test]
async fn a_refusal_is_relayed_with_its_body() {
    let papers = Papers::new();
    let (port, _read) = echoing(
        &papers,
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\nwarning: 299 - \"w\"\r\n\r\nforbidden",
    )
    .await;
    let harness = Harness::new(&papers.upstream(port));
    let answer = within(harness.client.upgrade(OnBehalf::caller(identity()), spdy()))
        .await
        .unwrap();
    let UpgradeAnswer::Refused(response) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()["warning"], "299 - \"w\"");
    assert_eq!(text(response).await, "forbidden");
    harness.stop.cancel();
    harness.tasks.close();
    within(harness.tasks.wait()).await;
}

#[tokio::test]
async fn requests_that_do_not_ask_properly_are_not_sent() {
    let papers = Papers::new();
    let (port, read) = echoing(&papers, "HTTP/1.1 200 OK\r\n\r\n").await;
    let harness = Harness::new(&papers.upstream(port));
    let ask = || head(Method::POST, "/exec");
    for request in [
        ask(),
        ask()
            .header("upgrade", "websocket")
            .header("upgrade", "h2c"),
        ask()
            .header("upgrade", "websocket")
            .header("content-length", "5"),
        ask()
            .header("upgrade", "websocket")
            .header("transfer-encoding", "chunked"),
    ] {
        let request = request.body(()).unwrap();
        let error = within(
            harness
                .client
                .upgrade(OnBehalf::caller(identity()), request),
        )
        .await
        .unwrap_err();
        assert!(matches!(error, UpstreamError::Target(_)), "{error:?}");
    }
    let foreign = Request::builder()
        .uri("/exec")
        .header("upgrade", "websocket");
    let foreign = foreign.header("impersonate-user", "root").body(()).unwrap();
    let error = within(
        harness
            .client
            .upgrade(OnBehalf::caller(identity()), foreign),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, UpstreamError::IdentityHeaders(_)),
        "{error:?}"
    );
    assert_eq!(read.lock().len(), 0);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let papers = Papers::new();
    let (port, _read) = echoing(&papers, "").await;
    let pace = Pace {
        upgrade_answer: Duration::from_millis(100),
        ..Pace::default()
    };
    let harness = Harness::with_pace(&papers.upstream(port), pace);
    let error = within(harness.client.upgrade(OnBehalf::caller(identity()), spdy()))
        .await
        .unwrap_err();
    assert!(matches!(error, UpstreamError::UpgradeLate(_)), "{error:?}");
    assert_eq!(error.status(), StatusCode::GATEWAY_TIMEOUT);
}

//! exec, attach, port-forward: after the 101, and not before.

use gangplank_pki::issue::Issued;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stage::{AnyBody, BOUND, ENTRANCE, Http, Stage, TOKEN, get, text};

/// An API server that switches to what is asked for and sends back what it gets.
pub(super) async fn echoing(mut request: Request<Incoming>) -> Response<AnyBody> {
    let Some(protocol) = request.headers().get("upgrade").cloned() else {
        return Response::new(text("plain"));
    };
    let on_upgrade = hyper::upgrade::on(&mut request);
    TaskTracker::new().spawn(async move {
        let Ok(io) = on_upgrade.await else { return };
        let (mut reading, mut writing) = split(TokioIo::new(io));
        drop(copy(&mut reading, &mut writing).await);
        drop(writing.shutdown().await);
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "Upgrade")
        .header("upgrade", protocol)
        .header("x-stream-protocol-version", "v4.channel.k8s.io")
        .body(text(""))
        .unwrap()
}

pub(super) fn asking(protocol: &str) -> Request<AnyBody> {
    Request::post("/api/v1/namespaces/a/pods/p/exec?command=secret")
        .header("host", ENTRANCE)
        .header("connection", "Upgrade")
        .header("upgrade", protocol)
        .header("x-stream-protocol-version", "v4.channel.k8s.io")
        .body(text(""))
        .unwrap()
}

pub(super) async fn upgraded(stage: &Stage, papers: &Issued, protocol: &str) -> TokioIo<Upgraded> {
    let mut sender = stage.http1(Some(papers)).await;
    let mut response = sender.send_request(asking(protocol)).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["upgrade"], protocol);
    assert_eq!(
        response.headers()["x-stream-protocol-version"],
        "v4.channel.k8s.io"
    );
    TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap())
}

#[tokio::test]
async fn bytes_pass_both_ways_and_the_end_of_one_half_is_passed_on() {
    let stage = Stage::new(echoing).await;
    let papers = stage.partner("x");
    for protocol in ["SPDY/3.1", "websocket", "SPDY/3.1+portforward.k8s.io"] {
        let io = upgraded(&stage, &papers, protocol).await;
        let (mut reading, mut writing) = split(io);
        let sent: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let expected = sent.clone();
        let (received, ()) = tokio::join!(
            async {
                let mut received = Vec::new();
                timeout(BOUND, reading.read_to_end(&mut received))
                    .await
                    .unwrap()
                    .unwrap();
                received
            },
            async {
                writing.write_all(&sent).await.unwrap();
                writing.shutdown().await.unwrap();
            }
        );
        assert!(received == expected);
    }
    for seen in stage.api.seen() {
        let one = |name: &str| {
            let values: Vec<_> = seen.headers.get_all(name).iter().collect();
            assert_eq!(values.len(), 1, "{name}");
            values[0].to_str().unwrap().to_owned()
        };
        assert_eq!(one("impersonate-user"), "spiffe://source-cluster/x");
        assert_eq!(one("authorization"), format!("Bearer {TOKEN}"));
    }
}

#[tokio::test]
async fn identity_headers_are_the_same_on_upgrades() {
    let stage = Stage::new(echoing).await;
    let papers = stage.partner("x");
    let mut sender = stage.http1(Some(&papers)).await;
    let mut request = asking("websocket");
    for (name, value) in [
        ("authorization", "Bearer mine"),
        ("x-remote-user", "root"),
        ("x-custom", "1"),
        (
            "sec-websocket-protocol",
            "base64url.bearer.authorization.k8s.io.bWluZQ, v5.channel.k8s.io",
        ),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
        .headers_mut()
        .insert("connection", "Upgrade, X-Custom".parse().unwrap());
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let seen = stage.api.seen().pop().unwrap();
    assert_eq!(seen.headers["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(seen.headers["sec-websocket-protocol"], "v5.channel.k8s.io");
    assert_eq!(seen.headers["connection"], "Upgrade");
    for name in ["x-remote-user", "x-custom"] {
        assert!(!seen.headers.contains_key(name), "{name}");
    }

    let mut sender = stage.http1(Some(&papers)).await;
    let mut request = asking("SPDY/3.1");
    request
        .headers_mut()
        .append("impersonate-user", "root".parse().unwrap());
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(stage.api.seen().len(), 1);
}

#[tokio::test]
async fn what_is_sent_ahead_goes_on_after_the_101_only_once_and_in_order() {
    let stage = Stage::new(echoing).await;
    let papers = stage.partner("x");
    let config = stage.client_config(Some(&papers), &[b"http/1.1"]);
    let mut tls = stage.tls(config, CancellationToken::new()).await.unwrap();
    let ahead = b"POST /exec HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: spdy/3.1\r\n\
        Content-Length: 0\r\n\r\nahead-1;";
    tls.write_all(ahead).await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"ahead-1;") {
        timeout(BOUND, tls.read_buf(&mut got))
            .await
            .unwrap()
            .unwrap();
    }
    let text = String::from_utf8(got).unwrap();
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    assert_eq!(text.matches("ahead-1;").count(), 1, "{text}");
    tls.write_all(b"more-2;").await.unwrap();
    let mut more = [0; 7];
    timeout(BOUND, tls.read_exact(&mut more))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&more, b"more-2;");
}

#[tokio::test]
async fn what_is_sent_ahead_of_a_refusal_goes_nowhere() {
    let stage = Stage::new(|_| async {
        Response::builder()
            .status(StatusCode::FORBIDDEN)
            .body(text("no"))
            .unwrap()
    })
    .await;
    let papers = stage.partner("x");
    let config = stage.client_config(Some(&papers), &[b"http/1.1"]);
    let mut tls = stage.tls(config, CancellationToken::new()).await.unwrap();
    let ahead =
        b"POST /exec HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n\
        GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    tls.write_all(ahead).await.unwrap();
    let mut got = String::new();
    timeout(BOUND, tls.read_to_string(&mut got))
        .await
        .unwrap()
        .unwrap();
    assert!(got.starts_with("HTTP/1.1 403 "), "{got}");
    assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{got}");
    let seen: Vec<_> = stage
        .api
        .seen()
        .into_iter()
        .map(|seen| seen.target)
        .collect();
    assert_eq!(seen, ["/exec"]);
}

#[tokio::test]
async fn another_protocol_or_an_unasked_switch_is_a_bad_gateway() {
    let stage = Stage::new(|_| async {
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .body(text(""))
            .unwrap()
    })
    .await;
    let papers = stage.partner("x");
    let mut sender = stage.http1(Some(&papers)).await;
    let response = sender.send_request(asking("SPDY/3.1")).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    for mut http in Http::both(&stage, Some(&papers)).await {
        let response = http.send(get("/api")).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    }
}

#[tokio::test]
async fn an_upgrade_with_a_body_is_refused_and_protocols_we_do_not_know_are_plain_requests() {
    let stage = Stage::new(echoing).await;
    let papers = stage.partner("x");
    let mut sender = stage.http1(Some(&papers)).await;
    let mut request = asking("SPDY/3.1");
    *request.body_mut() = text("leak");
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(stage.api.seen().is_empty());

    for protocol in ["h2c", "TLS/1.0", "websocket, SPDY/3.1", "SPDY/3.1+other"] {
        let mut sender = stage.http1(Some(&papers)).await;
        let response = sender.send_request(asking(protocol)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{protocol}");
    }
    for seen in stage.api.seen() {
        assert!(!seen.headers.contains_key("upgrade"));
        assert!(!seen.headers.contains_key("connection"));
    }
}

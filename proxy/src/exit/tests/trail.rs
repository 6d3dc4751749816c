//! What the audit trail says of a request.

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::stage::{ENTRANCE, Http, Stage, get, read, text};
use super::upgrades::{echoing, upgraded};

#[tokio::test]
async fn one_line_a_request_and_two_for_what_runs_long() {
    let stage = Stage::new(|request: Request<Incoming>| async {
        request.into_body().collect().await.unwrap();
        Response::new(text("four"))
    })
    .await;
    make_requests(&stage).await;
    let lines = stage.trail(4).await;
    let short = &lines[0];
    for (field, value) in [
        ("stage", "ended"),
        ("user", "spiffe://source-cluster/ns/a/id/b"),
        ("provider", "default/partners"),
        ("client.addr", "192.0.2.7:4711"),
        ("client.addr_from", "relay"),
        ("tunnel", "east.acme"),
        ("verb", "create"),
        ("api.version", "v1"),
        ("resource", "pods"),
        ("subresource", "exec"),
        ("namespace", "a"),
        ("name", "p"),
        ("method", "POST"),
        ("path", "/api/v1/namespaces/a/pods/p/exec"),
        ("ended", "whole"),
        ("caller.audit_id", "theirs"),
        ("user_agent", "kubectl \\x5cx1b[31m"),
    ] {
        assert_eq!(short[field], value, "{field}");
    }
    assert_eq!(
        [
            &short["status"],
            &short["bytes.received"],
            &short["bytes.sent"]
        ],
        [200, 5, 4]
    );
    assert!(
        short["certificate"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
    let sent = &stage.api.seen()[0].headers["audit-id"];
    assert_eq!(short["request.id"], sent.to_str().unwrap());
    assert!(!format!("{lines:?}").contains("secret"));
    for (line, field, value) in [
        (1, "stage", "started"),
        (1, "kind", "watch"),
        (1, "verb", "watch"),
        (2, "stage", "ended"),
        (2, "ended", "whole"),
        (3, "class", "NoCertificate"),
    ] {
        assert_eq!(lines[line][field], value, "{line} {field}");
    }
    assert_eq!(lines[3]["status"], 401);
    assert_eq!(lines[3].get("user"), None);
}

#[tokio::test]
async fn upgraded_connections_have_their_bytes_however_they_end() {
    let stage = Stage::new(echoing).await;
    let papers = stage.partner("x");
    let mut io = upgraded(&stage, &papers, "websocket").await;
    io.write_all(b"three").await.unwrap();
    io.read_exact(&mut [0; 5]).await.unwrap();
    stage.trust(vec![stage.provider_friends()]);
    let lines = stage.trail(2).await;
    for (line, field, value) in [
        (0, "stage", "started"),
        (0, "kind", "upgrade"),
        (0, "subresource", "exec"),
        (1, "stage", "ended"),
        (1, "ended", "Revoked"),
    ] {
        assert_eq!(lines[line][field], value, "{line} {field}");
    }
    let ended = &lines[1];
    assert_eq!([&ended["bytes.received"], &ended["bytes.sent"]], [5, 5]);
}

async fn make_requests(stage: &Stage) {
    let papers = stage.partner("ns/a/id/b");
    let mut http = Http::One(stage.http1(Some(&papers)).await);
    let request = Request::post("/api/v1/namespaces/a/pods/p/exec?command=secret&x=\u{e9}")
        .header("host", ENTRANCE)
        .header("user-agent", "kubectl \\x1b[31m")
        .header("audit-id", "theirs")
        .header("authorization", "Bearer secret")
        .body(text("three"))
        .unwrap();
    drop(read(http.send(request).await.unwrap()).await);
    drop(read(http.send(get("/api/v1/pods?watch=1")).await.unwrap()).await);
    let mut refused = Http::One(stage.http1(None).await);
    drop(read(refused.send(get("/api")).await.unwrap()).await);
}

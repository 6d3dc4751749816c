//! HTTP/2 that breaks the form is refused where it stands, and so is a switch of protocols over it; other streams go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt as _;

use crate::support::caller;
use crate::support::certificates::{Organisation, Papers};
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::{FakeApiServer, ok};
use crate::support::frames::{DATA, END_STREAM, Field, Frames, HEADERS};
use crate::support::path::{Site, Way};

const METHOD: Field<'_> = (b":method", b"GET");
const SCHEME: Field<'_> = (b":scheme", b"https");
const PATH: Field<'_> = (b":path", b"/bad");
const AUTHORITY: Field<'_> = (b":authority", b"a");

/// Requests that are none.
const MALFORMED: [(&str, &[Field<'_>]); 22] = [
    (
        "connection",
        &[METHOD, SCHEME, PATH, AUTHORITY, (b"connection", b"close")],
    ),
    (
        "keep-alive",
        &[METHOD, SCHEME, PATH, AUTHORITY, (b"keep-alive", b"1")],
    ),
    (
        "upgrade",
        &[METHOD, SCHEME, PATH, AUTHORITY, (b"upgrade", b"websocket")],
    ),
    (
        "transfer-encoding",
        &[
            METHOD,
            SCHEME,
            PATH,
            AUTHORITY,
            (b"transfer-encoding", b"chunked"),
        ],
    ),
    (
        "upper case",
        &[
            METHOD,
            SCHEME,
            PATH,
            AUTHORITY,
            (b"Impersonate-User", b"root"),
        ],
    ),
    (
        "CR in a value",
        &[METHOD, SCHEME, PATH, AUTHORITY, (b"x", b"a\rb")],
    ),
    (
        "LF in a value",
        &[
            METHOD,
            SCHEME,
            PATH,
            AUTHORITY,
            (b"x", b"a\nimpersonate-user: root"),
        ],
    ),
    (
        "NUL in a value",
        &[METHOD, SCHEME, PATH, AUTHORITY, (b"x", b"a\0b")],
    ),
    (
        "a blank in a name",
        &[METHOD, SCHEME, PATH, AUTHORITY, (b"x y", b"1")],
    ),
    (
        "a colon in a name",
        &[METHOD, SCHEME, PATH, AUTHORITY, (b"x:y", b"1")],
    ),
    ("no name", &[METHOD, SCHEME, PATH, AUTHORITY, (b"", b"1")]),
    (
        "a blank in the method",
        &[(b":method", b"GET /x"), SCHEME, PATH, AUTHORITY],
    ),
    (
        "a blank in the path",
        &[METHOD, SCHEME, (b":path", b"/bad HTTP/1.1"), AUTHORITY],
    ),
    (
        "a line in the path",
        &[METHOD, SCHEME, (b":path", b"/bad\r\nx: y"), AUTHORITY],
    ),
    (
        "an empty path",
        &[METHOD, SCHEME, (b":path", b""), AUTHORITY],
    ),
    ("no path", &[METHOD, SCHEME, AUTHORITY]),
    ("no method", &[SCHEME, PATH, AUTHORITY]),
    (
        "two paths",
        &[METHOD, SCHEME, PATH, (b":path", b"/other"), AUTHORITY],
    ),
    (
        "two methods",
        &[METHOD, (b":method", b"POST"), SCHEME, PATH, AUTHORITY],
    ),
    (
        "two authorities",
        &[METHOD, SCHEME, PATH, AUTHORITY, (b":authority", b"b")],
    ),
    (
        "a pseudo field nobody knows",
        &[METHOD, SCHEME, PATH, AUTHORITY, (b":user", b"root")],
    ),
    (
        "a pseudo field behind others",
        &[METHOD, SCHEME, PATH, (b"x", b"1"), AUTHORITY],
    ),
];

/// Case B22.
#[tokio::test(flavor = "multi_thread")]
async fn request_by_request() {
    let fake = FakeApiServer::echo().await;
    let (site, papers) = site_before(&fake);
    for (what, fields) in MALFORMED {
        let mut frames = open(&site, &papers).await;
        frames.send_headers(1, END_STREAM, fields).await;
        // A reset, the connection's end, or an answer of our own.
        frames.outcome(1).await;
        let arrived = fake.arrived();
        assert!(arrived.is_empty(), "{what}: {arrived:?}");
    }
    let mut good = Connection::open(&site, Some(&papers), Protocol::Two).await;
    assert_eq!(good.fetch("/good").await.expect("an answer").0, 200);
}

/// Case B22: a body of another length than was said never looks complete.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_another_length() {
    let whole = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&whole);
    let fake = FakeApiServer::start(&["h2", "http/1.1"], move |request| {
        let count = Arc::clone(&count);
        Box::pin(async move {
            if request.into_body().collect().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
            ok("{}")
        })
    })
    .await;
    let (site, papers) = site_before(&fake);
    for (said, body) in [("5", "123"), ("3", "12345"), ("x", "123"), ("+3", "123")] {
        let mut frames = open(&site, &papers).await;
        let fields = [
            (&b":method"[..], &b"POST"[..]),
            SCHEME,
            PATH,
            AUTHORITY,
            (b"content-length", said.as_bytes()),
        ];
        frames.send_headers(1, 0, &fields).await;
        frames.send(DATA, END_STREAM, 1, body.as_bytes()).await;
        frames.outcome(1).await;
    }
    assert_eq!(whole.load(Ordering::SeqCst), 0, "none was completed");
}

/// Case D17: HTTP/2 does not switch; what asks for it is refused, and the connection serves the next stream.
#[tokio::test(flavor = "multi_thread")]
async fn switches_of_protocol() {
    let fake = FakeApiServer::echo().await;
    let (site, papers) = site_before(&fake);
    let mut frames = open(&site, &papers).await;
    let connect = [
        (&b":method"[..], &b"CONNECT"[..]),
        (b":protocol", b"websocket"),
        SCHEME,
        (b":path", b"/exec"),
        AUTHORITY,
    ];
    frames.send_headers(1, 0, &connect).await;
    frames.outcome(1).await;
    assert!(fake.arrived().is_empty(), "{:?}", fake.arrived());
    let good = [METHOD, SCHEME, (&b":path"[..], &b"/good"[..]), AUTHORITY];
    frames.send_headers(3, END_STREAM, &good).await;
    assert_eq!(frames.outcome(3).await, Some(HEADERS), "it goes on");
    assert_eq!(fake.arrived_at("/good").len(), 1);
}

fn site_before(fake: &FakeApiServer) -> (Site, Papers) {
    let organisation = Organisation::new("acme");
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);
    let papers = organisation.caller("a");
    (site, papers)
}

async fn open(site: &Site, papers: &Papers) -> Frames {
    let stream = caller::board(site, Some(papers), &["h2"]).await;
    Frames::over(stream.expect("the handshake")).await
}

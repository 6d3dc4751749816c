//! The last look before the wire at a request in the name of someone else than its caller; and the exit's own
//! questions, which are in nobody's name.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::fake;
use super::support::{Harness, Papers, USER, head, identity, within};
use crate::body::RequestBody;
use crate::nested::{Grant, Wish};
use crate::upstream::outgoing::Head;
use crate::upstream::{Expected, OnBehalf, UpstreamError};

const ORIGINAL: &str = "impersonate-extra-gangplank.dev%2foriginal-user";

/// What was granted, as it must stand in the head.
const LINES: [(&str, &str); 6] = [
    ("impersonate-user", "bob"),
    ("impersonate-uid", "7"),
    ("impersonate-group", "a"),
    ("impersonate-group", "b"),
    ("impersonate-extra-k", "v"),
    (ORIGINAL, USER),
];

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    headers
}

fn grant_to(original: &str) -> Grant {
    let asked = headers(&LINES[..5]);
    Grant::unreviewed(original, Wish::of(&asked).unwrap().unwrap())
}

fn looked_at(grant: &Grant, lines: &[(&str, &str)]) -> Result<Head, UpstreamError> {
    let (mut parts, ()) = http::Request::get("/").body(()).unwrap().into_parts();
    parts.headers = headers(lines);
    Head::new(OnBehalf::nested(identity(), grant), parts, None)
}

#[test]
fn exactly_what_was_granted_passes() {
    let grant = grant_to(USER);
    assert!(looked_at(&grant, &LINES).is_ok());
    let without = |left_out: usize| {
        let lines = LINES.iter().enumerate();
        let lines = lines.filter(|(at, _)| *at != left_out);
        lines.map(|(_, line)| *line).collect::<Vec<_>>()
    };
    for left_out in 0..LINES.len() {
        let lines = without(left_out);
        assert!(looked_at(&grant, &lines).is_err(), "without {left_out}");
        // One of the others twice, so that their number is right.
        let twice = [&lines[..], &lines[4..]].concat();
        assert!(looked_at(&grant, &twice).is_err(), "instead of {left_out}");
    }
    for further in [
        ("impersonate-user", "bob"),
        ("impersonate-group", "system:masters"),
        ("impersonate-group", "a"),
        ("impersonate-extra-other", "v"),
        (ORIGINAL, USER),
        ("x-remote-user", "root"),
    ] {
        let lines = [&LINES[..], &[further]].concat();
        assert!(looked_at(&grant, &lines).is_err(), "{further:?}");
    }
    for (at, other) in [(0, USER), (1, "8"), (3, "a"), (4, "w"), (5, "spiffe://b/x")] {
        let mut lines = LINES;
        lines[at].1 = other;
        assert!(looked_at(&grant, &lines).is_err(), "{at}: {other}");
    }
}

#[test]
fn a_grant_is_good_for_one_caller_only() {
    let other = grant_to("spiffe://b/ns/x/id/default");
    assert!(looked_at(&other, &LINES).is_err());
    let mut lines = LINES;
    lines[5].1 = "spiffe://b/ns/x/id/default";
    assert!(looked_at(&other, &lines).is_err());
    let (mut parts, ()) = http::Request::get("/").body(()).unwrap().into_parts();
    parts.headers = headers(&LINES);
    let own = Head::new(OnBehalf::caller(identity()), parts, None);
    assert!(own.is_err(), "without a grant it is nothing");
}

#[test]
fn a_question_of_the_exits_own_names_nobody() {
    for line in [("impersonate-user", USER), ("x-remote-group", "a")] {
        let (mut parts, ()) = http::Request::post("/").body(()).unwrap().into_parts();
        parts.headers = headers(&[line]);
        assert!(Head::of_own_request(parts, None).is_err(), "{line:?}");
    }
}

/// A server that takes back what it did not process is asked once more: a review changes nothing there.
#[tokio::test]
async fn a_review_that_was_not_processed_is_asked_again() {
    let papers = Papers::new();
    let config = fake::tls(&papers.server("127.0.0.1"), &["h2"]);
    let (port, sight) = fake::http2(config, 100, |mut exchange| {
        Box::pin(async move { exchange.respond.send_reset(h2::Reason::REFUSED_STREAM) })
    })
    .await;
    let harness = Harness::new(&papers.upstream(port));
    let asked = within(harness.client.review(Bytes::from_static(b"{}"))).await;
    assert!(matches!(
        asked.unwrap_err(),
        UpstreamError::RefusedUnprocessed { attempts: 2 }
    ));
    let path = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews";
    assert_eq!(sight.lines(), [path, path]);
}

/// The same head as it is sent, on a connection.
#[tokio::test]
async fn a_granted_request_arrives_as_it_was_granted() {
    let papers = Papers::new();
    let config = fake::tls(&papers.server("127.0.0.1"), &["h2"]);
    let (port, sight) = fake::http2(config, 100, |exchange| Box::pin(exchange.play())).await;
    let harness = Harness::new(&papers.upstream(port));
    let mut request = head(Method::GET, "/get")
        .body(RequestBody::empty())
        .unwrap();
    *request.headers_mut() = headers(&LINES);
    let grant = grant_to(USER);
    let who = OnBehalf::nested(identity(), &grant);
    let sent = harness.client.send(who, request, Expected::Soon, &|| None);
    assert_eq!(within(sent).await.unwrap().status(), 200);
    assert_eq!(sight.lines(), ["GET /get"]);
}

//! Only the API server's 101 opens the stream: what a caller sends earlier waits for it, or is never sent.

use std::time::Duration;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::path::{Site, WAYS, Way};
use crate::support::raw_api_server::{Asked, RawApiServer};
use crate::support::wire::{self, Wire};

/// Long enough for bytes that should not come to come; a correct exit passes however long it is.
const MOMENT: Duration = Duration::from_millis(300);

const UPGRADE: &str =
    "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n";

/// Bytes of the other protocol may look like a request of this one.
const EARLY: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n";

/// Case D6, the switch comes: the early bytes follow it, once, and before later ones.
#[tokio::test(flavor = "multi_thread")]
async fn until_it_comes() {
    let (organisation, raw) = (Organisation::new("acme"), RawApiServer::start().await);
    for way in WAYS {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        let (mut wire, mut asked) = early(&site, &organisation, &raw).await;
        asked.wire.say(SWITCH).await;
        assert_eq!(wire::status(&wire.head().await), 101, "{way:?}");
        wire.say("later").await;
        let expected = format!("{EARLY}later");
        assert_eq!(asked.wire.take(expected.len()).await, expected.as_bytes());
        wire.finish().await;
        assert_eq!(asked.wire.rest().await, b"", "nothing twice");
    }
}

/// Case D6, it does not come: nothing that the caller sent ahead reaches the API server, in whatever form.
#[tokio::test(flavor = "multi_thread")]
async fn or_for_ever() {
    let (organisation, raw) = (Organisation::new("acme"), RawApiServer::start().await);
    for way in WAYS {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        let (mut wire, mut asked) = early(&site, &organisation, &raw).await;
        let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
        asked.wire.say(refusal).await;
        let (head, body) = wire.answer().await;
        assert_eq!((wire::status(&head), body.as_str()), (403, "no"), "{way:?}");
        assert_eq!(wire.rest().await, b"", "nothing else is answered");
        asked.wire.finish().await;
        assert_eq!(asked.wire.rest().await, b"", "nothing was sent on");
    }
    assert!(raw.was_not_asked().await, "nor as a request of its own");
}

/// Case D6: an upgrade that the exit itself refuses ends the connection too.
#[tokio::test(flavor = "multi_thread")]
async fn also_when_the_exit_refuses() {
    let (organisation, raw) = (Organisation::new("acme"), RawApiServer::start().await);
    let site = Site::start(Way::Direct, &raw.kubeconfig(), &[&organisation]);
    let mut wire = Wire::open(&site, &organisation.caller("a")).await;
    let upgrade = UPGRADE.replace("Host: a", "Host: a\r\nImpersonate-User: root");
    wire.say(format!("{upgrade}{EARLY}")).await;
    let (head, _) = wire.answer().await;
    assert_eq!(wire::status(&head), 403, "{head}");
    assert_eq!(wire.rest().await, b"", "nothing else is answered");
    assert!(raw.was_not_asked().await, "nothing arrived");
}

/// Case D20: an upgrade with a body is refused, and its body is neither read as a request nor sent on; and the connection
/// of an upgrade that is over serves nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_no_early_payload() {
    let (organisation, raw) = (Organisation::new("acme"), RawApiServer::start().await);
    let papers = organisation.caller("a");
    for way in WAYS {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        let chunked = format!(
            "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{EARLY}\r\n0",
            EARLY.len()
        );
        for body in [
            format!("Content-Length: {}\r\n\r\n{EARLY}", EARLY.len()),
            format!("{chunked}\r\n\r\n"),
        ] {
            let mut wire = Wire::open(&site, &papers).await;
            let head = UPGRADE.strip_suffix("\r\n").expect("a blank line");
            wire.say(format!("{head}{body}")).await;
            let (head, _) = wire.answer().await;
            assert_eq!(wire::status(&head), 400, "{way:?}: {head}");
            assert_eq!(wire.rest().await, b"", "nothing else is answered");
            assert!(raw.was_not_asked().await, "{way:?}: nothing arrived");
        }

        let mut wire = Wire::open(&site, &papers).await;
        wire.say(UPGRADE).await;
        let mut over = raw.asked().await;
        over.wire.say(SWITCH).await;
        assert_eq!(wire::status(&wire.head().await), 101, "{way:?}");
        wire.finish().await;
        assert_eq!(
            over.wire.rest().await,
            b"",
            "{way:?}: its end, and no request"
        );
        let mut other = Connection::open(&site, Some(&papers), Protocol::One).await;
        let answering = async {
            let mut asked = raw.asked().await;
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
            asked.wire.say(answer).await;
        };
        let (answer, ()) = tokio::join!(other.fetch("/plain"), answering);
        assert_eq!(answer.expect("an answer").0, 200, "{way:?}");
        over.wire.finish().await;
        assert_eq!(over.wire.rest().await, b"", "{way:?}");
    }
}

/// A caller that sends [`EARLY`] right behind its request; the API server has got the request and no more.
async fn early(
    site: &Site,
    organisation: &Organisation,
    raw: &RawApiServer,
) -> (CallersEnd, Asked) {
    let mut wire = Wire::open(site, &organisation.caller("a")).await;
    wire.say(format!("{UPGRADE}{EARLY}")).await;
    let mut asked = raw.asked().await;
    let silent = asked.wire.is_silent(MOMENT).await;
    assert!(silent, "the early bytes came before the switch");
    (wire, asked)
}

type CallersEnd = Wire<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>;

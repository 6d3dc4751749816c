//! Only the API server's 101 opens the stream: what a caller sends earlier waits for it, or is never sent.

use std::time::Duration;

use crate::support::caller;
use crate::support::certificates::Organisation;
use crate::support::path::{Site, WAYS};
use crate::support::raw_api_server::{Asked, RawApiServer};
use crate::support::wire::{self, Wire};

/// Long enough for bytes that should not come to come; a correct exit passes however long it is.
const MOMENT: Duration = Duration::from_millis(300);

const UPGRADE: &str =
    "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n";

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
        assert_eq!(asked.wire.take(10).await, b"earlylater");
        wire.finish().await;
        assert_eq!(asked.wire.rest().await, b"", "nothing twice");
    }
}

/// Case D6, it does not come: whatever the caller sent, none of it reaches the API server raw.
#[tokio::test(flavor = "multi_thread")]
async fn or_for_ever() {
    let (organisation, raw) = (Organisation::new("acme"), RawApiServer::start().await);
    for way in WAYS {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        let (mut wire, mut asked) = early(&site, &organisation, &raw).await;
        asked
            .wire
            .say("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            .await;
        let (head, body) = wire.answer().await;
        assert_eq!((wire::status(&head), body.as_str()), (403, "no"), "{way:?}");
        assert!(
            asked.wire.is_silent(MOMENT).await || asked.wire.rest().await.is_empty(),
            "{way:?}"
        );
        wire.finish().await;
        drop(wire);
        asked.wire.say("").await;
        asked.wire.finish().await;
        assert_eq!(
            asked.wire.rest().await,
            b"",
            "the early bytes were not sent on"
        );
    }
    assert!(raw.was_not_asked().await, "nor as a request of their own");
}

/// A caller that sends `early` right behind its request; the API server has got the request and no more.
async fn early(
    site: &Site,
    organisation: &Organisation,
    raw: &RawApiServer,
) -> (
    Wire<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>,
    Asked,
) {
    let stream = caller::board(site, Some(&organisation.caller("a")), &["http/1.1"]).await;
    let mut wire = Wire::new(stream.expect("the handshake"));
    wire.say(format!("{UPGRADE}early")).await;
    let mut asked = raw.asked().await;
    assert!(
        asked.wire.is_silent(MOMENT).await,
        "the early bytes came before the switch"
    );
    (wire, asked)
}

//! A 101 that nobody asked for, or to something else, opens nothing.

use crate::support::certificates::Organisation;
use crate::support::path::{Site, WAYS};
use crate::support::raw_api_server::RawApiServer;
use crate::support::wire::{self, Wire};

/// Case D8: 502 and the end of the connection; neither side's bytes reach the other.
#[tokio::test(flavor = "multi_thread")]
async fn and_ends_the_connection() {
    let (organisation, raw) = (Organisation::new("acme"), RawApiServer::start().await);
    let plain = "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n";
    let spdy = "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n";
    let cases = [
        ("a plain request", plain, "Upgrade: SPDY/3.1\r\n"),
        ("another protocol", spdy, "Upgrade: websocket\r\n"),
        ("a protocol nobody knows", spdy, "Upgrade: h2c\r\n"),
        ("none named", spdy, ""),
    ];
    for way in WAYS {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        for (what, request, upgrade) in cases {
            let mut wire = Wire::open(&site, &organisation.caller("a")).await;
            wire.say(request).await;
            let mut asked = raw.asked().await;
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{upgrade}\r\nleaked"
            );
            asked.wire.say(answer).await;
            let (head, body) = wire.answer().await;
            assert_eq!(wire::status(&head), 502, "{way:?} {what}: {head}");
            assert!(body.contains("\"kind\":\"Status\""), "{body}");
            let rest = wire.rest().await;
            assert_eq!(String::from_utf8_lossy(&rest), "", "{way:?} {what}");
            assert_eq!(asked.wire.rest().await, b"", "{way:?} {what}");
        }
    }
}

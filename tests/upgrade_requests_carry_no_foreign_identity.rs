//! An upgrade goes to the API server by another road than other requests; the same rules hold on it.

use crate::support::certificates::Organisation;
use crate::support::fake_api_server::TOKEN;
use crate::support::path::{Site, WAYS};
use crate::support::raw_api_server::RawApiServer;
use crate::support::wire::{self, Wire};

/// Case D4: identity, credentials, tokens in the WebSocket subprotocol, headers about the connection.
#[tokio::test(flavor = "multi_thread")]
async fn neither_header_nor_subprotocol() {
    let organisation = Organisation::new("acme");
    let raw = RawApiServer::start().await;
    for way in WAYS {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        let mut wire = Wire::open(&site, &organisation.caller("a")).await;
        wire.say(
            "GET /exec?command=x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, X-Hop\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://a\r\n\
             Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.c3RvbGVu, v5.channel.k8s.io\r\n\
             Sec-WebSocket-Protocol: Base64URL.bearer.authorization.k8s.io.c3RvbGVu\r\n\
             Authorization: Bearer stolen\r\nX-Remote-User: root\r\nX-Remote-Group: system:masters\r\n\
             X_Remote_User: root\r\nX-Forwarded-For: 10.0.0.1\r\nProxy-Authorization: Basic c3RvbGVu\r\n\
             X-Hop: one\r\nKeep-Alive: timeout=5\r\n\r\n",
        )
        .await;
        let asked = raw.asked().await;
        let value = |name: &str| wire::values(&asked.head, name);
        assert_eq!(
            value("impersonate-user"),
            [organisation.username("a")],
            "{way:?}: {}",
            asked.head
        );
        assert_eq!(value("authorization"), [format!("Bearer {TOKEN}")]);
        assert_eq!(value("sec-websocket-protocol"), ["v5.channel.k8s.io"]);
        assert_eq!(value("sec-websocket-version"), ["13"]);
        assert_eq!(value("origin"), ["https://a"]);
        let lower = asked.head.to_lowercase();
        for foreign in [
            "x-remote",
            "x_remote",
            "stolen",
            "c3rvbgvu",
            "x-forwarded",
            "x-hop",
            "keep-alive",
            "proxy-",
        ] {
            assert!(!lower.contains(foreign), "{foreign}: {}", asked.head);
        }
    }
}

/// Case D4: to ask for someone else's name is refused here as well.
#[tokio::test(flavor = "multi_thread")]
async fn impersonation_is_refused() {
    let organisation = Organisation::new("acme");
    let raw = RawApiServer::start().await;
    for way in WAYS {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        for header in [
            "Impersonate-User",
            "Impersonate-Group",
            "impersonate-extra-a",
        ] {
            let mut wire = Wire::open(&site, &organisation.caller("a")).await;
            wire.say(format!(
                "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n{header}: root\r\n\r\n"
            ))
            .await;
            assert_eq!(wire::status(&wire.head().await), 403, "{way:?} {header}");
        }
    }
    assert!(raw.was_not_asked().await, "nothing arrived");
}

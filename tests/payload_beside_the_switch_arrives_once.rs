//! Bytes that travel in one segment with the request or with the 101 are part of the stream, once and in order.

use crate::support::certificates::Organisation;
use crate::support::path::{Site, WAYS};
use crate::support::raw_api_server::RawApiServer;
use crate::support::wire::{self, Wire};

/// Case D10: both sides' first bytes are glued to their heads.
#[tokio::test(flavor = "multi_thread")]
async fn and_in_order() {
    let (organisation, raw) = (Organisation::new("acme"), RawApiServer::start().await);
    for way in WAYS {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        for protocol in ["SPDY/3.1", "websocket"] {
            let mut wire = Wire::open(&site, &organisation.caller("a")).await;
            wire.say(format!(
                "GET /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\nfrom the caller 1,"
            ))
            .await;
            let mut asked = raw.asked().await;
            let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade";
            asked
                .wire
                .say(format!(
                    "{switch}\r\nUpgrade: {protocol}\r\n\r\nfrom the server 1,"
                ))
                .await;
            assert_eq!(wire::status(&wire.head().await), 101, "{way:?} {protocol}");
            wire.say("from the caller 2").await;
            asked.wire.say("from the server 2").await;
            asked.wire.finish().await;
            wire.finish().await;
            let (at_caller, at_server) = tokio::join!(wire.rest(), asked.wire.rest());
            assert_eq!(
                String::from_utf8_lossy(&at_caller),
                "from the server 1,from the server 2"
            );
            assert_eq!(
                String::from_utf8_lossy(&at_server),
                "from the caller 1,from the caller 2"
            );
        }
    }
}

//! Metrics, probes and status are served on the admin address alone: at the port where callers come they are not there,
//! in whatever way one asks.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::caller;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::entrance;
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank::http_get;
use crate::support::path::{RELAY_NAME, Relay, Site, WAYS};
use crate::support::wait;

const PAGES: [&str; 4] = ["/metrics", "/livez", "/readyz", "/status"];

/// What only those pages say.
const SAID_THERE: [&str; 4] = ["gangplank_", "\"role\"", "ok\n", "uptime"];

#[tokio::test(flavor = "multi_thread")]
async fn of_a_relay() {
    let relay = Arc::new(Relay::start());
    assert_ne!(relay.process.admin, relay.address);
    for page in PAGES {
        let served = http_get(relay.process.admin, page).expect("an answer");
        assert_eq!(served.0, 200, "{page} at the admin address");
        let request = format!("GET {page} HTTP/1.1\r\nHost: {RELAY_NAME}\r\n\r\n");
        let told = entrance::say(relay.address, request.as_bytes()).await;
        let told = String::from_utf8(told.expect("a clean end")).expect("text");
        assert!(told.starts_with("HTTP/1.1 400 "), "{page}: {told}");
        assert!(!SAID_THERE.iter().any(|it| told.contains(it)), "{told}");
    }
    // At the relay's own name there is nothing for who is no agent, with a certificate of an agent or without.
    let agent = relay.agents().agent("harbour.acme");
    for protocols in [
        &["h2"][..],
        &["http/1.1"],
        &[],
        &["gangplank/1", "http/1.1"],
    ] {
        let config = caller::config(relay.authority(), Some(&agent), protocols);
        let Ok(mut tls) = caller::connect(relay.address, RELAY_NAME, config).await else {
            continue;
        };
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {RELAY_NAME}\r\n\r\n");
        drop(tls.write_all(request.as_bytes()).await);
        let mut told = Vec::new();
        drop(wait::within("its end", tls.read_to_end(&mut told)).await);
        let told = String::from_utf8_lossy(&told);
        assert!(!SAID_THERE.iter().any(|it| told.contains(it)), "{told}");
    }
}

/// At an exit those paths are the API server's, for whom it lets read them.
#[tokio::test(flavor = "multi_thread")]
async fn of_an_exit() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        let papers = organisation.caller("a");
        for protocol in PROTOCOLS {
            for page in PAGES {
                let before = fake.arrived_at(page).len();
                let mut connection = Connection::open(&site, Some(&papers), protocol).await;
                connection.fetch(page).await.expect("an answer");
                assert_eq!(fake.arrived_at(page).len(), before + 1, "{page}");
                let mut stranger = Connection::open(&site, None, protocol).await;
                let (status, told) = stranger.fetch(page).await.expect("an answer");
                assert_eq!(status, 401, "{page}: {told}");
            }
        }
    }
}

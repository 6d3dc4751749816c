//! Execs and port-forwards may say nothing for as long as they like, and there may be many of them.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::certificates::{Organisation, Papers};
use crate::support::echo;
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, WAYS};
use crate::support::wire::{self, Wire};

/// Longer than a tunnel without traffic lives (13 s), so that its keepalives are what keeps the stream.
const SILENCE: Duration = Duration::from_secs(14);

/// At the same time, as a tool makes them that forwards a port for each connection.
const MANY: usize = 200;

/// What goes through each, more than one read.
const PAYLOAD: usize = 64 << 10;

/// What a process may grow by: 200 times the buffers that a stream has, far less than what passed.
const GROWTH_KIB: u64 = 64 << 10;

/// Case D13.
#[tokio::test(flavor = "multi_thread")]
async fn silent_ones_go_on() {
    let (fake, organisation) = (echoing().await, Organisation::new("acme"));
    let mut streams = Vec::new();
    let mut sites = Vec::new();
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        streams.push(open(&site, &organisation.caller("a")).await);
        sites.push(site);
    }
    // This test is about silence, and there is no predicate for it.
    tokio::time::sleep(SILENCE).await;
    for stream in &mut streams {
        stream.say("still here").await;
        assert_eq!(stream.take(10).await, b"still here");
    }
}

/// Case D15.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once() {
    let (fake, organisation) = (echoing().await, Organisation::new("acme"));
    let papers = organisation.caller("a");
    let payload: Vec<u8> = (0..=250).cycle().take(PAYLOAD).collect();
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        let mut first = open(&site, &papers).await;
        let before = site.exit.resident_kib();
        let mut streams = Vec::new();
        for _ in 0..MANY {
            streams.push(open(&site, &papers).await);
        }
        for stream in &mut streams {
            stream.say(&payload).await;
        }
        for stream in &mut streams {
            assert!(stream.take(PAYLOAD).await == payload, "{way:?}");
        }
        let after = site.exit.resident_kib();
        assert!(
            after < before + GROWTH_KIB,
            "{way:?}: {before} KiB, {after} KiB"
        );
        first.say("beside").await;
        assert_eq!(first.take(6).await, b"beside", "{way:?}");
    }
}

async fn echoing() -> FakeApiServer {
    FakeApiServer::start(&["http/1.1"], |request| {
        Box::pin(async { echo::switch(request) })
    })
    .await
}

async fn open(site: &Site, papers: &Papers) -> Wire<TlsStream<TcpStream>> {
    let mut wire = Wire::open(site, papers).await;
    wire.say(
        "POST /api/v1/namespaces/a/pods/b/portforward HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
    )
    .await;
    assert_eq!(wire::status(&wire.head().await), 101);
    wire
}

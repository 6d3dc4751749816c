//! Headers by which a server believes a proxy, or which are about one connection only, end at the exit.

use crate::support::certificates::Organisation;
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, WAYS};
use crate::support::raw_api_server::RawApiServer;
use crate::support::wire::{self, Wire};

/// Lines that a caller may write and the API server must not read.
const FORBIDDEN: &str = "X-Remote-User: root\r\nX-Remote-Group: system:masters\r\nX-Remote-Uid: 0\r\n\
    X-Remote-Extra-Scopes: all\r\nX-REMOTE-USER: root\r\nX_Remote_User: root\r\nImpersonate_User: root\r\n\
    Impersonate_Group: system:masters\r\nAuthorization_: Bearer stolen\r\nX-Forwarded-For: 10.0.0.1\r\n\
    X-Forwarded-Client-Cert: stolen\r\nForwarded: for=10.0.0.1\r\nX-Real-Ip: 10.0.0.1\r\n\
    Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authenticate: Basic\r\nTE: gzip\r\n\
    Connection: X-Hop, close, Accept-Language\r\nX-Hop: one\r\nAccept-Language: de\r\n";

/// The names of which nothing may arrive; `authorization` and `impersonate-user` are ours alone.
const BEGINNINGS: [&str; 10] = [
    "x-remote",
    "x_remote",
    "impersonate_",
    "authorization_",
    "x-forwarded",
    "forwarded",
    "x-real",
    "proxy-",
    "keep-alive",
    "x-hop",
];

/// Cases B4, B6 and B9, over HTTP/1.1 to an HTTP/2 and to an HTTP/1.1 API server.
#[tokio::test(flavor = "multi_thread")]
async fn neither_names_nor_values() {
    let organisation = Organisation::new("acme");
    let papers = organisation.caller("a");
    let request =
        format!("GET /plain HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n{FORBIDDEN}\r\n");
    for way in WAYS {
        let fake = FakeApiServer::echo_over(&["h2"]).await;
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        let mut wire = Wire::open(&site, &papers).await;
        wire.say(&request).await;
        assert_eq!(wire::status(&wire.head().await), 200, "{way:?}");
        let arrived = fake.arrived_at("/plain").pop().expect("it arrived");
        assert_eq!(
            arrived.values("accept"),
            ["text/plain"],
            "what is harmless passes"
        );
        let names: Vec<String> = arrived
            .headers
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        assert_clean(&names);
        assert_eq!(
            arrived.values("impersonate-user"),
            [organisation.username("a")]
        );

        let raw = RawApiServer::start().await;
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        let mut wire = Wire::open(&site, &papers).await;
        wire.say(&request).await;
        let mut asked = raw.asked().await;
        asked
            .wire
            .say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        assert_eq!(wire::status(&wire.head().await), 200, "{way:?}");
        let lines = asked
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        let names: Vec<String> = lines.map(|(name, _)| name.to_lowercase()).collect();
        assert_clean(&names);
        assert_eq!(
            wire::values(&asked.head, "impersonate-user"),
            [organisation.username("a")]
        );
    }
}

fn assert_clean(names: &[String]) {
    for name in names {
        assert!(
            !BEGINNINGS
                .iter()
                .any(|beginning| name.starts_with(beginning)),
            "{name} arrived: {names:?}"
        );
        assert_ne!(name, "accept-language", "it was named in Connection");
        assert_ne!(name, "te");
    }
}

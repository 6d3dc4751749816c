//! The version of HTTP is agreed in the handshake, and bytes of the other one are no request.

use crate::support::caller;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, WAYS};
use crate::support::wire::Wire;

/// Case A53: what is offered, and what it becomes.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_handshake() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let papers = organisation.caller("a");
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        for (offered, protocol, agreed) in [
            (&["h2"][..], Protocol::Two, Some("h2")),
            (&["http/1.1"], Protocol::One, Some("http/1.1")),
            (&["http/1.1", "h2"], Protocol::Two, Some("h2")),
            (&["spdy/3", "http/1.1"], Protocol::One, Some("http/1.1")),
            (&[], Protocol::One, None),
        ] {
            let stream = caller::board(&site, Some(&papers), offered).await;
            let stream = stream.expect("the handshake");
            let name = stream.get_ref().1.alpn_protocol();
            assert_eq!(name, agreed.map(str::as_bytes), "{way:?} {offered:?}");
            let mut connection = Connection::over(stream, protocol, &site.entrance).await;
            let answer = connection.fetch("/agreed").await.expect("an answer");
            assert_eq!(answer.0, 200, "{way:?} {offered:?}: {}", answer.1);
        }
        let stream = caller::board(&site, Some(&papers), &["foo"]).await;
        let error = stream.expect_err("no version in common").to_string();
        assert!(error.contains("NoApplicationProtocol"), "{way:?}: {error}");
    }
    assert_eq!(fake.arrived_at("/agreed").len(), 10);
}

/// Case A53: neither version is spoken where the other was agreed.
#[tokio::test(flavor = "multi_thread")]
async fn and_no_other_is_spoken_on_it() {
    const ONE: &str = "GET /other HTTP/1.1\r\nHost: a\r\n\r\n";
    const TWO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let papers = organisation.caller("a");
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        for (agreed, said) in [("h2", ONE.as_bytes()), ("http/1.1", TWO)] {
            let stream = caller::board(&site, Some(&papers), &[agreed]).await;
            let mut wire = Wire::new(stream.expect("the handshake"));
            wire.say(said).await;
            let answer = String::from_utf8_lossy(&wire.rest().await).into_owned();
            assert!(!answer.contains(" 200 "), "{way:?} {agreed}: {answer}");
        }
        let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
        let others = connection.fetch("/others").await.expect("an answer");
        assert_eq!(others.0, 200, "others are served");
    }
    assert_eq!(fake.arrived().len(), 2, "{:?}", fake.arrived());
}

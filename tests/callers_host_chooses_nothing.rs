//! `Host` and `:authority` choose neither the API server nor, behind a relay, the cluster.

use std::sync::Arc;

use crate::support::caller;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{DOMAIN, Relay, Site, Way};
use crate::support::wire::{self, Wire};

/// Case B12: whatever the caller writes, the request goes to the configured server under its own name.
#[tokio::test(flavor = "multi_thread")]
async fn not_the_api_server() {
    let fake = FakeApiServer::echo().await;
    let organisation = Organisation::new("acme");
    let papers = organisation.caller("a");
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);
    let requests = [
        "GET /host HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET /host HTTP/1.1\r\nHost: evil.example:6443\r\n\r\n",
        "GET /host HTTP/1.1\r\nHost: root@evil.example\r\n\r\n",
        "GET https://evil.example/host HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ];
    let mut served = 0;
    for request in requests {
        let mut wire = Wire::open(&site, &papers).await;
        wire.say(request).await;
        let status = wire::status(&wire.head().await);
        assert!(status == 200 || status == 400, "{request:?}: {status}");
        served += usize::from(status == 200);
    }
    for request in [
        "GET /host HTTP/1.1\r\nHost: a\r\nHost: evil.example\r\n\r\n",
        "GET /host HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /host HTTP/1.1\r\nAccept: */*\r\n\r\n",
        "GET /host HTTP/1.0\r\nHost: a\r\nHost: evil.example\r\n\r\n",
        "POST /host HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
    ] {
        let mut wire = Wire::open(&site, &papers).await;
        wire.say(request).await;
        let (head, body) = wire.answer().await;
        assert_eq!(wire::status(&head), 400, "{request:?}: {head}");
        assert!(body.contains("NotOneHost"), "{body}");
        wire.rest().await;
    }
    let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
    let request = http::Request::get("https://evil.example:1/host").header("host", "other.example");
    let answer = connection
        .send(request.body(caller::body("")).expect("a request"))
        .await
        .expect("an answer");
    assert!(
        answer.status() == 200 || answer.status() == 400,
        "{answer:?}"
    );
    served += usize::from(answer.status() == 200);
    let arrived = fake.arrived_at("/host");
    assert_eq!(arrived.len(), served);
    assert!(served > 0);
    for request in arrived {
        assert_eq!(request.authority(), fake.address.to_string(), "{request:?}");
    }
}

/// Case E43: two clusters behind one relay; the name of the handshake decides, not the name of the request.
#[tokio::test(flavor = "multi_thread")]
async fn not_the_cluster() {
    let (first_api, second_api) = (FakeApiServer::echo().await, FakeApiServer::echo().await);
    let organisation = Organisation::new("acme");
    let relay = Arc::new(Relay::start());
    let first = Site::tunnel(
        &relay,
        "first.acme",
        &first_api.kubeconfig(),
        &[&organisation],
    );
    let second = Site::tunnel(
        &relay,
        "second.acme",
        &second_api.kubeconfig(),
        &[&organisation],
    );
    let papers = organisation.caller("a");
    for protocol in PROTOCOLS {
        let mut connection = Connection::open(&first, Some(&papers), protocol).await;
        let request = match protocol {
            Protocol::One => {
                http::Request::get("/e43").header("host", format!("second.acme.{DOMAIN}"))
            }
            Protocol::Two => http::Request::get(format!("https://second.acme.{DOMAIN}/e43")),
        };
        let request = request.body(caller::body("")).expect("a request");
        let answer = connection.send(request).await.expect("an answer");
        assert!(
            [200, 400, 421].contains(&answer.status().as_u16()),
            "{answer:?}"
        );
    }
    assert!(
        second_api.arrived().is_empty(),
        "the other cluster saw {:?}",
        second_api.arrived()
    );
    let mut connection = Connection::open(&second, Some(&papers), Protocol::Two).await;
    assert_eq!(
        connection.fetch("/e43").await.expect("an answer").0,
        200,
        "the second works under its own name"
    );
    assert_eq!(second_api.arrived().len(), 1);
}

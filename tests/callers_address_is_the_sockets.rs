//! The caller's address in the tunnel and in the audit trail is that of its TCP connection; nothing that it sends
//! changes it.

use std::net::SocketAddr;

use gangplank_tunnel::wire::{ServerName, StreamHeader};
use http::Request;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::agent_by_hand::AgentByHand;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank::events;
use crate::support::path::{Site, WAYS, Way};
use crate::support::{caller, entrance, hello, wait};

/// Case E34 in the tunnel: bytes behind the hello that look like the relay's own announcement are the caller's bytes
/// and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_tunnel() {
    let exit = AgentByHand::start("harbour.acme").await;
    let forged = StreamHeader {
        connection: 1,
        sni: ServerName::fitting("other.acme.tunnels.test"),
        caller: "192.0.2.1:1".parse().expect("an address"),
        traceparent: None,
    };
    let mut said = hello::asking_for(exit.entrance.as_bytes());
    said.extend(forged.encode().expect("a header"));
    let mut caller = entrance::connect(exit.relay.address).await;
    caller.write_all(&said).await.expect("the relay reads");
    let (header, mut stream) = exit.caller().await;
    assert_eq!(header.caller, caller.local_addr().expect("our own socket"));
    assert_eq!(header.sni.as_str(), exit.entrance);
    assert_ne!(header.connection, forged.connection);
    let mut arrived = vec![0; said.len()];
    wait::within("the bytes", stream.read_exact(&mut arrived))
        .await
        .expect("all of them");
    assert_eq!(arrived, said, "they are content");
}

/// Case E34 in the audit trail of both kinds of exit, which also says whose word the address is.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_audit_trail() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        for (protocol, name, path) in [
            (Protocol::One, "http/1.1", "/one"),
            (Protocol::Two, "h2", "/two"),
        ] {
            let stream = caller::board(&site, Some(&organisation.caller("a")), &[name])
                .await
                .expect("the handshake");
            let address = stream.get_ref().0.local_addr().expect("our own socket");
            let mut connection = Connection::over(stream, protocol, &site.entrance).await;
            let request = Request::get(path)
                .header("x-forwarded-for", "192.0.2.1")
                .header("forwarded", "for=192.0.2.1")
                .header("x-real-ip", "192.0.2.1")
                .header("true-client-ip", "192.0.2.1")
                .body(caller::body(""));
            let answer = connection
                .send(request.expect("a request"))
                .await
                .expect("an answer");
            assert_eq!(answer.status(), 200);
            let event = wait::until("the audit event", || event_about(&site, path));
            let said_by = if way == Way::Tunnel {
                "relay"
            } else {
                "socket"
            };
            assert_eq!(
                event["client.addr"]
                    .as_str()
                    .and_then(|text| text.parse().ok()),
                Some::<SocketAddr>(address)
            );
            assert_eq!(event["client.addr_from"], said_by, "{event}");
            assert!(
                !site.exit.log().contains("192.0.2.1"),
                "{way:?} {protocol:?}"
            );
        }
    }
}

fn event_about(site: &Site, path: &str) -> Option<Value> {
    events(&site.exit.log())
        .into_iter()
        .find(|event| event["target"] == "gangplank::audit" && event["path"] == path)
}

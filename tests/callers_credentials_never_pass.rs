//! What a caller sends as a credential of its own never reaches the API server.

use crate::support::caller;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::{FakeApiServer, TOKEN};
use crate::support::path::{Site, WAYS};

/// Case B7: bearer and basic, once and twice, in both versions of HTTP on either side.
#[tokio::test(flavor = "multi_thread")]
async fn bearer_basic_and_both() {
    let sent: [&[&str]; 4] = [
        &["Bearer stolen"],
        &["Basic c3RvbGVuOnN0b2xlbg=="],
        &["Bearer stolen", "Basic c3RvbGVuOnN0b2xlbg=="],
        &["Bearer stolen", "Bearer stolen"],
    ];
    let organisation = Organisation::new("acme");
    for upstream in [&["h2"][..], &["http/1.1"]] {
        let fake = FakeApiServer::echo_over(upstream).await;
        for way in WAYS {
            let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
            for protocol in PROTOCOLS {
                let mut connection =
                    Connection::open(&site, Some(&organisation.caller("a")), protocol).await;
                for values in sent {
                    let mut request = http::Request::get("/");
                    for value in values {
                        request = request
                            .header("authorization", *value)
                            .header("proxy-authorization", *value);
                    }
                    let request = request.body(caller::body("")).expect("a request");
                    assert_eq!(
                        connection.send(request).await.expect("an answer").status(),
                        200
                    );
                }
            }
        }
        let arrived = fake.arrived();
        assert_eq!(arrived.len(), sent.len() * WAYS.len() * PROTOCOLS.len());
        for request in arrived {
            assert_eq!(request.values("authorization"), [format!("Bearer {TOKEN}")]);
            for (name, value) in &request.headers {
                let text = String::from_utf8_lossy(value);
                assert!(
                    !text.contains("stolen") && !text.contains("c3Rv"),
                    "{name}: {text}"
                );
            }
        }
    }
}

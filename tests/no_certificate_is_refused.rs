//! Who shows no certificate is answered 401 and never becomes `system:anonymous`.

use rustls::version::{TLS12, TLS13};

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, WAYS};
use crate::support::{caller, own_answer};

/// Case A2: both versions of TLS, both versions of HTTP, both ways.
#[tokio::test(flavor = "multi_thread")]
async fn over_every_tls_and_http_version() {
    let fake = FakeApiServer::echo().await;
    let organisation = Organisation::new("known");
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        for protocol in PROTOCOLS {
            for version in [&TLS12, &TLS13] {
                let name = if protocol == Protocol::Two {
                    "h2"
                } else {
                    "http/1.1"
                };
                let config = caller::config_of(&[version], site.authority(), None, &[name]);
                let stream = caller::connect(site.address, &site.entrance, config)
                    .await
                    .expect("the handshake");
                let mut connection = Connection::over(stream, protocol, &site.entrance).await;
                let answer =
                    own_answer::read(connection.get("/api/v1/secrets").await.expect("an answer"))
                        .await;
                assert_eq!(
                    (answer.code, answer.reason.as_str()),
                    (401, "Unauthorized"),
                    "{answer:?}"
                );
                assert_eq!(
                    answer.class, "NoCertificate",
                    "{way:?} {protocol:?} {version:?}: {answer:?}"
                );
                assert!(!answer.retry_after, "trying again changes nothing");
                connection
                    .await_close("a caller without a certificate")
                    .await;
            }
        }
        let mut known =
            Connection::open(&site, Some(&organisation.caller("someone")), Protocol::Two).await;
        assert_eq!(
            known.fetch("/known").await.expect("an answer").0,
            200,
            "others are served"
        );
    }
    let targets: Vec<String> = fake
        .arrived()
        .into_iter()
        .map(|request| request.target)
        .collect();
    assert!(
        !targets.iter().any(|target| target.contains("secrets")),
        "nothing arrived: {targets:?}"
    );
}

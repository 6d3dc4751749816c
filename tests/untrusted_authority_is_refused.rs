//! Only a certificate whose chain a trusted *key* verified makes anyone someone; a name proves nothing.

use rcgen::{ExtendedKeyUsagePurpose, KeyPair};

use crate::support::certificates::{Organisation, Papers, leaf_params};
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::own_answer;
use crate::support::path::{Site, WAYS};

/// Case A3: an unknown authority, a self-signed certificate, an authority of the same subject with another key.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_signed_it_instead() {
    let fake = FakeApiServer::echo().await;
    let trusted = Organisation::with_subject("trusted", "the one CA");
    let twin = Organisation::with_subject("twin", "the one CA");
    let stranger = Organisation::new("stranger");
    let strangers = [
        ("an unknown authority", stranger.caller("ns/a/id/b")),
        ("nobody but itself", self_signed("ns/a/id/b")),
        ("an authority of the same subject", twin.caller("ns/a/id/b")),
        (
            "the trusted authority, by its word",
            twin.caller("ns/a/id/b")
                .with_intermediate(&trusted.authority),
        ),
    ];
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&trusted]);
        for (signer, papers) in &strangers {
            for protocol in PROTOCOLS {
                let mut connection = Connection::open(&site, Some(papers), protocol).await;
                let answer =
                    own_answer::read(connection.get("/stranger").await.expect("an answer")).await;
                assert_eq!(
                    (answer.code, answer.class.as_str()),
                    (401, "UnknownIssuer"),
                    "{signer}: {answer:?}"
                );
            }
        }
        let mut known =
            Connection::open(&site, Some(&trusted.caller("ns/a/id/b")), Protocol::Two).await;
        assert_eq!(known.fetch("/known").await.expect("an answer").0, 200);
    }
    assert!(fake.arrived_at("/stranger").is_empty(), "nothing arrived");
    assert_eq!(fake.arrived_at("/known").len(), 2);
}

fn self_signed(common_name: &str) -> Papers {
    let key = KeyPair::generate().expect("a key");
    let params = leaf_params(common_name, ExtendedKeyUsagePurpose::ClientAuth);
    let certificate = params.self_signed(&key).expect("a certificate");
    Papers {
        certificates: certificate.pem(),
        key: key.serialize_pem(),
    }
}

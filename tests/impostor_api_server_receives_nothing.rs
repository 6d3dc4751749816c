//! A server that does not prove to be the configured API server gets no byte of a request.

use crate::support::certificates::{Authority, Organisation, Papers};
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::{FakeApiServer, ok};
use crate::support::own_answer;
use crate::support::path::{Site, WAYS};

/// Case A61: another authority's certificate, and the right authority's for another name.
#[tokio::test(flavor = "multi_thread")]
async fn and_the_caller_a_502() {
    let (configured, other) = (
        Authority::new("API server CA"),
        Authority::new("API server CA"),
    );
    let impostors = [
        ("another authority", other.relay("127.0.0.1")),
        ("another name", configured.relay("10.9.8.7")),
    ];
    for (what, papers) in impostors {
        let impostor = impersonating(&configured, &papers).await;
        let organisation = Organisation::new("acme");
        for way in WAYS {
            let site = Site::start(way, &impostor.kubeconfig(), &[&organisation]);
            for protocol in PROTOCOLS {
                let mut connection =
                    Connection::open(&site, Some(&organisation.caller("a")), protocol).await;
                let answer =
                    own_answer::read(connection.get("/api").await.expect("an answer")).await;
                assert_eq!(answer.code, 502, "{what}: {answer:?}");
            }
        }
        assert!(impostor.connections() > 0, "it was tried");
        assert!(
            impostor.arrived().is_empty(),
            "{what}: the impostor learned {:?}",
            impostor.arrived()
        );
    }
}

async fn impersonating(configured: &Authority, papers: &Papers) -> FakeApiServer {
    FakeApiServer::start_as(configured, papers, &["h2", "http/1.1"], |_| {
        Box::pin(async { ok("{}") })
    })
    .await
}

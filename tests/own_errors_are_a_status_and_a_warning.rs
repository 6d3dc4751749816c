//! Every error that is the exit's own says what to do, in a `Status` and in a `Warning`, and kubectl shows it.

use http::Request;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, WAYS, Way};
use crate::support::{caller, cluster, own_answer};

/// Case C20, as bytes, in each version of HTTP: 401, 403, 5xx.
#[tokio::test(flavor = "multi_thread")]
async fn over_every_http_version() {
    let fake = FakeApiServer::echo().await;
    fake.stop_listening();
    let (known, unknown) = (Organisation::new("known"), Organisation::new("unknown"));
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&known]);
        for protocol in PROTOCOLS {
            let mut connection =
                Connection::open(&site, Some(&unknown.caller("a")), protocol).await;
            let answer = own_answer::read(connection.get("/api").await.expect("an answer")).await;
            assert_eq!(
                (answer.code, answer.reason.as_str()),
                (401, "Unauthorized"),
                "{answer:?}"
            );

            let mut connection = Connection::open(&site, Some(&known.caller("a")), protocol).await;
            let request = Request::get("/api")
                .header("impersonate-user", "root")
                .body(caller::body(""));
            let answer = connection
                .send(request.expect("a request"))
                .await
                .expect("an answer");
            let answer = own_answer::read(answer).await;
            assert_eq!(
                (answer.code, answer.reason.as_str()),
                (403, "Forbidden"),
                "{answer:?}"
            );
            assert!(!answer.retry_after, "trying again changes nothing");

            let answer = own_answer::read(connection.get("/api").await.expect("an answer")).await;
            assert!(
                [502, 503].contains(&answer.code),
                "the API server is away: {answer:?}"
            );
        }
    }
}

/// kubectl drops the `Status` of its first request, but prints warnings.
#[tokio::test(flavor = "multi_thread")]
async fn kubectl_prints_them() {
    let cluster = cluster::shared();
    let (known, unknown) = (Organisation::new("known"), Organisation::new("unknown"));
    let site = Site::before(cluster, Way::Tunnel, &[&known]);
    let said = site.kubectl(&unknown.caller("a")).run(&["get", "pods"]);
    assert_ne!(said.code, 0);
    assert!(
        said.err.contains("Warning: UnknownIssuer: "),
        "{}",
        said.err
    );

    let fake = FakeApiServer::echo().await;
    fake.stop_listening();
    let site = Site::start(Way::Tunnel, &fake.kubeconfig(), &[&known]).with_kubectl(cluster);
    let mut connection = Connection::open(&site, Some(&known.caller("a")), Protocol::Two).await;
    let expected = own_answer::read(connection.get("/api").await.expect("an answer")).await;
    let said = site
        .kubectl(&known.caller("a"))
        .run(&["get", "--raw", "/api"]);
    assert_ne!(said.code, 0);
    assert!(
        said.err.contains(&format!("Warning: {}: ", expected.class)),
        "{}",
        said.err
    );
    assert!(said.err.contains(&expected.message), "{}", said.err);
}

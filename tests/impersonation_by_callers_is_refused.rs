//! A caller cannot ask to be taken for someone else: it is told so, and nothing reaches the API server.

use http::Request;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, WAYS, Way};
use crate::support::wire::{self, Wire};
use crate::support::{caller, cluster, own_answer};

/// Case B3, as people meet it: `kubectl --as` and its relatives.
#[tokio::test(flavor = "multi_thread")]
async fn kubectl_as_is_told() {
    let fake = FakeApiServer::echo().await;
    let organisation = Organisation::new("acme");
    let site = Site::start(Way::Tunnel, &fake.kubeconfig(), &[&organisation])
        .with_kubectl(cluster::shared());
    let kubectl = site.kubectl(&organisation.caller("a"));
    let wishes: [&[&str]; 3] = [
        &["--as", "root"],
        &["--as", "root", "--as-group", "system:masters"],
        &["--as", "root", "--as-uid", "0"],
    ];
    for wish in wishes {
        let said = kubectl.run(&[&["get", "--raw", "/api/v1/pods"], wish].concat());
        assert_ne!(said.code, 0, "{wish:?}");
        assert!(
            said.err.contains("Error from server (Forbidden)"),
            "{wish:?}: {}",
            said.err
        );
        assert!(
            said.err.contains("--as"),
            "it says what to leave out: {}",
            said.err
        );
    }
    assert!(
        fake.arrived_at("/api/v1/pods").is_empty(),
        "nothing arrived: {:?}",
        fake.arrived()
    );
}

/// Case B3: every header of that kind, alone, whatever its case, also one that no Kubernetes knows yet.
#[tokio::test(flavor = "multi_thread")]
async fn every_such_header_is_told() {
    let fake = FakeApiServer::echo().await;
    let organisation = Organisation::new("acme");
    let headers = [
        "impersonate-user",
        "impersonate-group",
        "impersonate-uid",
        "impersonate-extra-scopes",
        "impersonate-something-of-tomorrow",
    ];
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        for protocol in PROTOCOLS {
            for header in headers {
                let mut connection =
                    Connection::open(&site, Some(&organisation.caller("a")), protocol).await;
                let request = Request::get("/wish")
                    .header(header, "root")
                    .body(caller::body(""));
                let answer = connection
                    .send(request.expect("a request"))
                    .await
                    .expect("an answer");
                let answer = own_answer::read(answer).await;
                assert_eq!(
                    (answer.code, answer.reason.as_str()),
                    (403, "Forbidden"),
                    "{header}: {answer:?}"
                );
            }
        }
    }
    assert!(fake.arrived_at("/wish").is_empty(), "nothing arrived");
}

/// Cases B3 and B18: lines that end with a bare LF are no way around it.
#[tokio::test(flavor = "multi_thread")]
async fn bare_line_feeds_are_no_way_around() {
    let fake = FakeApiServer::echo().await;
    let organisation = Organisation::new("acme");
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);
    let papers = organisation.caller("a");
    let forms = [
        "GET /wish HTTP/1.1\nHost: a\nImpersonate-User: root\n\n",
        "GET /wish HTTP/1.1\r\nHost: a\r\nX-A: b\nImpersonate-User: root\r\n\r\n",
        "GET /wish HTTP/1.1\r\nHost: a\r\nIMPERSONATE-USER:root\r\n\r\n",
        "GET /wish HTTP/1.1\r\nHost: a\r\nConnection: impersonate-user\r\nImpersonate-User: root\r\n\r\n",
    ];
    for form in forms {
        let mut wire = Wire::open(&site, &papers).await;
        wire.say(form).await;
        let status = wire::status(&wire.head().await);
        assert!(status == 403 || status == 400, "{form:?}: {status}");
    }
    assert!(fake.arrived_at("/wish").is_empty(), "nothing arrived");
}

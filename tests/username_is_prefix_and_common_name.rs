//! A caller is, to the API server, the prefix of its organisation and the common name of its certificate.

use serde_json::Value;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::{FakeApiServer, TOKEN};
use crate::support::path::{Site, WAYS, Way};
use crate::support::{audit, cluster, own_answer};

/// Case A1, as people see it: kubectl asks who it is, and the API server's audit log agrees.
#[test]
fn kubectl_is_who_its_certificate_says() {
    let cluster = cluster::shared();
    let source = Organisation::new("source-cluster");
    let user = "spiffe://source-cluster.example/ns/namespace-a/id/default";
    for way in WAYS {
        let site = Site::before(cluster, way, &[&source]);
        let kubectl = site.kubectl(&source.caller("ns/namespace-a/id/default"));
        let said = kubectl.ok(&["auth", "whoami", "-o", "json"]);
        let review: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(review["status"]["userInfo"]["username"], user, "{way:?}");
        let groups = &review["status"]["userInfo"]["groups"];
        assert_eq!(
            groups,
            &serde_json::json!(["system:authenticated"]),
            "{way:?}: no group came from us"
        );
        let path = format!("/api/v1/namespaces/whoami-{way:?}/pods").to_lowercase();
        let refused = kubectl.run(&["get", "--raw", &path]);
        assert!(
            refused
                .err
                .contains(&format!("User \"{user}\" cannot list")),
            "{}",
            refused.err
        );
        audit::assert_only_user(cluster, &path, user);
    }
}

/// Case A1, byte for byte: one `Impersonate-User`, the exit's own credential and no other, on each request.
#[tokio::test(flavor = "multi_thread")]
async fn each_request_says_it_exactly_once() {
    let source = Organisation::new("source-cluster");
    let caller = source.caller("ns/namespace-a/id/default");
    for upstream in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let fake = FakeApiServer::echo_over(upstream).await;
        for way in WAYS {
            let site = Site::start(way, &fake.kubeconfig(), &[&source]);
            for protocol in PROTOCOLS {
                let mut connection = Connection::open(&site, Some(&caller), protocol).await;
                for _ in 0..3 {
                    assert_eq!(
                        connection.fetch("/api/v1/pods").await.expect("an answer").0,
                        200
                    );
                }
            }
        }
        let arrived = fake.arrived_at("/api/v1/pods");
        assert_eq!(arrived.len(), 12, "each request arrives once");
        for request in arrived {
            let user = "spiffe://source-cluster.example/ns/namespace-a/id/default";
            assert_eq!(request.values("impersonate-user"), [user]);
            assert_eq!(request.values("authorization"), [format!("Bearer {TOKEN}")]);
            // A plain read may take either way to a server that has both.
            let versions = if upstream[0] == "h2" {
                &["HTTP/2.0", "HTTP/1.1"][..]
            } else {
                &["HTTP/1.1"]
            };
            assert!(versions.contains(&&*request.version), "{}", request.version);
        }
    }
}

/// Cases A33, A36 and A38: a printable name arrives as it is written, whatever it looks like; any other is refused.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_literal() {
    let (fake, source) = (FakeApiServer::echo().await, Organisation::new("literal"));
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&source]);
    // A namespace's and an identity's name as long as Kubernetes allows; X.520 would allow 64 bytes.
    let longest = format!("ns/{}/id/{}", "n".repeat(63), "i".repeat(253));
    for name in [
        longest.as_str(),
        "../b/ns/x",
        "ns/./x",
        "ns//x",
        "/ns/x",
        "ns/x/",
        "ns%2Fx",
        "a b",
        "a, CN=root",
        "\"a\"",
    ] {
        for protocol in PROTOCOLS {
            let papers = source.caller(name);
            let mut connection = Connection::open(&site, Some(&papers), protocol).await;
            let answer = connection.fetch("/literal").await.expect("an answer");
            assert_eq!(answer.0, 200, "{name}: {}", answer.1);
            let arrived = fake.arrived_at("/literal").pop().expect("it arrived");
            assert_eq!(arrived.values("impersonate-user"), [source.username(name)]);
        }
    }
    for name in ["\u{e9}", "\u{1f6a2}", " a", "a ", "a\tb", "a\r\nb", "a\0b"] {
        for protocol in PROTOCOLS {
            let papers = source.caller(name);
            let mut connection = Connection::open(&site, Some(&papers), protocol).await;
            let answer = connection.get("/refused").await.expect("an answer");
            let told = own_answer::read(answer).await;
            assert_eq!(told.code, 401, "{name:?}: {told:?}");
        }
    }
    assert!(fake.arrived_at("/refused").is_empty());
}

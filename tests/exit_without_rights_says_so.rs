//! When the API server refuses the exit's own account, the caller learns that it is not about their certificate,
//! and the operator learns it from the log; the API server's own words pass unchanged.

use std::path::PathBuf;

use http::Request;

use crate::support::caller;
use crate::support::certificates::Organisation;
use crate::support::cluster::{self, Cluster};
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::{FakeApiServer, ok};
use crate::support::gangplank::events;
use crate::support::path::{Site, Way};

/// A kubeconfig for the API server with another token.
fn kubeconfig(cluster: &Cluster, folder: &tempfile::TempDir, token: &str) -> PathBuf {
    let shown = cluster.admin(&["config", "view", "--raw", "-o", "json"]);
    let mut config: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    config["users"][0]["user"] = serde_json::json!({ "token": token });
    let file = folder.path().join("upstream");
    std::fs::write(&file, config.to_string()).expect("written");
    file
}

fn assert_told(site: &Site, organisation: &Organisation) {
    let said = site
        .kubectl(&organisation.caller("a"))
        .run(&["auth", "whoami"]);
    assert_ne!(said.code, 0);
    let warning = "ExitAccountRefused: the API server refuses the account of this gangplank exit, not your certificate";
    assert!(
        said.err.contains(warning),
        "kubectl prints the warning: {}",
        said.err
    );
    let log = site.exit.log();
    let errors = events(&log)
        .into_iter()
        .filter(|event| event["level"] == "ERROR")
        .count();
    assert_eq!(errors, 1, "the operator is told once: {log}");
    let counted = "gangplank_exit_upstream_faults_total{reason=\"ExitAccountRefused\"}";
    assert!(
        site.exit.metric(counted).is_some_and(|count| count > 0.0),
        "and it is counted"
    );
}

#[test]
fn no_right_to_impersonate() {
    let cluster = cluster::shared();
    let folder = tempfile::tempdir().expect("a folder");
    cluster.namespace("no-rights");
    let token = cluster.admin(&["-n", "no-rights", "create", "token", "default"]);
    let organisation = Organisation::new("no-rights");
    let upstream = kubeconfig(cluster, &folder, token.trim());
    let site = Site::start(Way::Direct, &upstream, &[&organisation]).with_kubectl(cluster);
    assert_told(&site, &organisation);
}

#[test]
fn a_token_that_is_none() {
    let cluster = cluster::shared();
    let folder = tempfile::tempdir().expect("a folder");
    let organisation = Organisation::new("bad-token");
    let upstream = kubeconfig(cluster, &folder, "no-such-token");
    let site = Site::start(Way::Direct, &upstream, &[&organisation]).with_kubectl(cluster);
    assert_told(&site, &organisation);
}

/// What a caller writes into a path cannot make the exit believe that its account is refused, wherever the API server
/// repeats it and however it is encoded.
#[tokio::test(flavor = "multi_thread")]
async fn callers_cannot_pretend_it() {
    let organisation = Organisation::new("pretenders");
    let site = Site::before(cluster::shared(), Way::Direct, &[&organisation]);
    for name in ["a", "a&b<c>\"d\\e"] {
        let papers = organisation.caller(name);
        let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
        for path in [
            "/x%22%20cannot%20impersonate",
            "/api/v1/namespaces/default/pods/x%20cannot%20impersonate",
            "/api/v1/users%20%22a%22%20is%20forbidden:%20User%20%22b%22%20cannot%20impersonate",
        ] {
            for accept in ["application/json", "application/vnd.kubernetes.protobuf"] {
                let request = Request::get(path).header("accept", accept);
                let request = request.body(caller::body("")).expect("a request");
                let answer = connection.send(request).await.expect("an answer");
                assert_eq!(answer.status(), 403, "{path}");
                let warning = answer.headers().get("warning").cloned();
                let text = String::from_utf8_lossy(&caller::read(answer).await).into_owned();
                assert!(
                    text.contains("cannot impersonate"),
                    "it is repeated: {text}"
                );
                assert_eq!(warning, None, "{text}");
            }
        }
    }
}

/// A server that the API server asks in turn has accounts of its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_behind_the_api_server_says_is_not_about_it() {
    let fake = FakeApiServer::start(&["h2", "http/1.1"], |request| {
        let is_behind = request.uri().path().starts_with("/apis/behind");
        Box::pin(async move {
            let mut answer = ok("");
            *answer.status_mut() = http::StatusCode::UNAUTHORIZED;
            if is_behind {
                let turn = http::HeaderValue::from_static("7");
                answer
                    .headers_mut()
                    .insert("x-kubernetes-pf-flowschema-uid", turn);
            }
            answer
        })
    })
    .await;
    let organisation = Organisation::new("acme");
    let site = Site::direct(&fake.kubeconfig(), &[&organisation]);
    for protocol in PROTOCOLS {
        let mut connection =
            Connection::open(&site, Some(&organisation.caller("a")), protocol).await;
        for (path, warns) in [("/apis/behind.example/v1/x", false), ("/api/v1/pods", true)] {
            let answer = connection.get(path).await.expect("an answer");
            assert_eq!(answer.status(), 401);
            assert_eq!(answer.headers().contains_key("warning"), warns, "{path}");
            drop(caller::read(answer).await);
        }
    }
}

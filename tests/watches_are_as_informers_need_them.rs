//! What client-go's informers and kubectl's caches rely on: watches that end when their time is up, bookmarks, lists that
//! are streamed, answers that are not sent again when nothing changed.

use http::Request;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::path::{Site, WAYS, Way};
use crate::support::{audit, caller, cluster, wait};

/// Case C4: the API server ends a watch after its `timeoutSeconds`, and the caller sees a whole answer.
#[tokio::test(flavor = "multi_thread")]
async fn they_end_when_their_time_is_up() {
    let (site, organisation, namespace) = site(Way::Tunnel, "watch-timeout");
    let papers = organisation.caller("a");
    for protocol in PROTOCOLS {
        let mut connection = Connection::open(&site, Some(&papers), protocol).await;
        let path = format!("/api/v1/namespaces/{namespace}/secrets?watch=1&timeoutSeconds=5");
        let (status, body) = connection.fetch(&path).await.expect("a whole answer");
        assert_eq!((status, body.as_str()), (200, ""), "{protocol:?}");
        let after = connection.fetch("/version").await.expect("it is kept");
        assert_eq!(after.0, 200, "{protocol:?}");
    }
}

/// Case C39: a list as a stream, as informers ask for it: what is there, the bookmark that says so, a clean end.
#[tokio::test(flavor = "multi_thread")]
async fn lists_are_streamed_up_to_a_bookmark() {
    for (way, namespace) in WAYS.into_iter().zip(["informer-tunnel", "informer-direct"]) {
        let (site, organisation, namespace) = site(way, namespace);
        let papers = organisation.caller("a");
        cluster::shared().admin(&["-n", namespace, "create", "configmap", "listed"]);
        let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
        let path = format!(
            "/api/v1/namespaces/{namespace}/configmaps?watch=1&allowWatchBookmarks=true&sendInitialEvents=true\
             &resourceVersionMatch=NotOlderThan&resourceVersion=&timeoutSeconds=2"
        );
        let (status, body) = connection.fetch(&path).await.expect("a whole answer");
        assert_eq!(status, 200, "{way:?}: {body}");
        let listed = body.find("\"name\":\"listed\"");
        let marked = body.find("k8s.io/initial-events-end");
        assert!(listed.is_some() && listed < marked, "{way:?}: {body}");
    }
}

/// Case C39: kubectl's own informer, which lists, watches and waits for one object.
#[test]
fn kubectl_waits_for_an_object() {
    let (site, organisation, namespace) = site(Way::Tunnel, "informer-kubectl");
    let cluster = cluster::shared();
    let kubectl = site.kubectl(&organisation.caller("a"));
    cluster.admin(&["-n", namespace, "create", "configmap", "informed"]);
    let mut waiting = kubectl.start(&[
        "-n",
        namespace,
        "wait",
        "--for=jsonpath={.data.state}=ready",
        "--timeout=60s",
        "configmap/informed",
    ]);
    // It watches once the API server was asked to.
    let marker = format!("/namespaces/{namespace}/configmaps?");
    wait::until("kubectl to watch", || {
        let events = audit::events_about(cluster, &marker);
        let watches = events.iter().any(|event| event.verb == "watch");
        watches.then_some(())
    });
    let ready = r#"{"data":{"state":"ready"}}"#;
    let patch = ["-n", namespace, "patch", "configmap", "informed"];
    cluster.admin(&[&patch[..], &["--type=merge", "-p", ready]].concat());
    waiting.await_out("configmap/informed condition met");
    assert_eq!(waiting.await_end(), 0);
}

/// Case C39: discovery is asked for again with its `ETag`, and answered 304 without a body.
#[tokio::test(flavor = "multi_thread")]
async fn discovery_is_not_sent_again() {
    for (way, namespace) in WAYS.into_iter().zip(["etag-tunnel", "etag-direct"]) {
        let (site, organisation, _) = site(way, namespace);
        let papers = organisation.caller("a");
        for protocol in PROTOCOLS {
            let mut connection = Connection::open(&site, Some(&papers), protocol).await;
            for (path, accept) in [
                ("/openapi/v2", "application/json"),
                (
                    "/apis",
                    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                ),
            ] {
                let ask = |etag: &str| {
                    let request = Request::get(path).header("accept", accept);
                    let request = request.header("if-none-match", etag);
                    request.body(caller::body("")).expect("a request")
                };
                let first = connection.send(ask("\"none\"")).await.expect("an answer");
                assert_eq!(first.status(), 200, "{way:?} {protocol:?} {path}");
                let etag = first.headers()["etag"].to_str().expect("ASCII").to_owned();
                assert!(!caller::read(first).await.is_empty());
                let again = connection.send(ask(&etag)).await.expect("an answer");
                assert_eq!(again.status(), 304, "{way:?} {protocol:?} {path}");
                assert_eq!(again.headers()["etag"], etag.as_str());
                assert_eq!(caller::read(again).await, b"");
            }
        }
    }
}

fn site(way: Way, namespace: &'static str) -> (Site, Organisation, &'static str) {
    let cluster = cluster::shared();
    let organisation = Organisation::new("informers");
    cluster.namespace(namespace);
    cluster.make_namespace_admin(&organisation.username("a"), namespace);
    let site = Site::before(cluster, way, &[&organisation]);
    (site, organisation, namespace)
}

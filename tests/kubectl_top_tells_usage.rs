//! `kubectl top` asks an API that the API server hands on to a server of its own: the answer comes through the exit, and that
//! server too hears the caller's own name.

use http::{Request, Response};
use hyper::body::Incoming;
use serde_json::json;

use crate::support::certificates::Organisation;
use crate::support::fake_api_server::{AnswerBody, FakeApiServer, whole};
use crate::support::path::{Site, WAYS};
use crate::support::{cluster, pod, wait};

const NAMESPACE: &str = "usage";
const GROUP: &str = "/apis/metrics.k8s.io/v1beta1";

/// Case C39: a cluster of its own, for an aggregated API is in everybody's discovery.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_pod() {
    let cluster = cluster::own("usage");
    let organisation = Organisation::new("watchful");
    cluster.namespace(NAMESPACE);
    cluster.make_namespace_admin(&organisation.username("a"), NAMESPACE);
    pod::run(&cluster, NAMESPACE, "box");
    let metrics = FakeApiServer::start(&["h2", "http/1.1"], |request| {
        let answer = usage(&request);
        Box::pin(async { answer })
    })
    .await;
    cluster.apply(&registration(metrics.address.port()));
    for way in WAYS {
        let site = Site::before(&cluster, way, &[&organisation]);
        let kubectl = site.kubectl(&organisation.caller("a"));
        let told = wait::until("kubectl top to be answered", || {
            let said = kubectl.run(&["-n", NAMESPACE, "top", "pod"]);
            said.succeeded().then(|| said.text())
        });
        let words: Vec<&str> = told.split_whitespace().collect();
        assert!(words.ends_with(&["box", "250m", "64Mi"]), "{way:?}: {told}");
    }
    let pods = format!("{GROUP}/namespaces/{NAMESPACE}/pods");
    let asked = metrics.arrived();
    let mut asked = asked.iter().filter(|it| it.target.starts_with(&pods));
    let user = [organisation.username("a")];
    assert!(asked.clone().count() >= WAYS.len());
    assert!(
        asked.all(|it| it.values("x-remote-user") == user),
        "{asked:?}"
    );
}

/// What a server of metrics says.
fn usage(request: &Request<Incoming>) -> Response<AnswerBody> {
    let pods = format!("{GROUP}/namespaces/{NAMESPACE}/pods");
    let (status, said) = match request.uri().path() {
        GROUP => (
            200,
            json!({
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": "metrics.k8s.io/v1beta1",
                "resources": [{
                    "name": "pods",
                    "singularName": "",
                    "namespaced": true,
                    "kind": "PodMetrics",
                    "verbs": ["get", "list"],
                }],
            }),
        ),
        path if path == pods => (
            200,
            json!({
                "kind": "PodMetricsList",
                "apiVersion": "metrics.k8s.io/v1beta1",
                "metadata": {},
                "items": [{
                    "metadata": { "name": "box", "namespace": NAMESPACE },
                    "timestamp": "2026-01-01T00:00:00Z",
                    "window": "30s",
                    "containers": [{ "name": "main", "usage": { "cpu": "250m", "memory": "64Mi" } }],
                }],
            }),
        ),
        // Documents that a server need not have.
        _ => (404, json!({})),
    };
    let answer = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    answer.body(whole(said.to_string())).expect("a response")
}

/// Has the API server hand on the group to that port of this machine.
fn registration(port: u16) -> String {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "metrics", "namespace": NAMESPACE },
        "spec": { "type": "ExternalName", "externalName": "localhost" },
    });
    let group = json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": { "name": "v1beta1.metrics.k8s.io" },
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": true,
            "service": { "name": "metrics", "namespace": NAMESPACE, "port": port },
        },
    });
    format!("{service}\n---\n{group}")
}

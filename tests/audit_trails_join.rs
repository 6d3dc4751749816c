//! Each event of the exit and the API server's own event of the same request have the same id, and say the same of who
//! asked for what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::audit::Event;
use crate::support::certificates::Organisation;
use crate::support::path::{Site, WAYS, Way};
use crate::support::{audit, cluster, pod, wait};

/// What kubectl does, and so the exit and the API server must both have seen.
const VERBS: [&str; 9] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "post",
];

#[test]
fn request_by_request() {
    let cluster = cluster::shared();
    for (way, namespace) in WAYS.into_iter().zip(["join-tunnel", "join-direct"]) {
        let organisation = Organisation::new("joined");
        cluster.namespace(namespace);
        let username = organisation.username("ns/shop/id/deployer");
        cluster.make_namespace_admin(&username, namespace);
        pod::run(cluster, namespace, "box");
        let site = Site::before(cluster, way, &[&organisation]);
        let kubectl = site.kubectl(&organisation.caller("ns/shop/id/deployer"));
        let in_namespace = |line: &str| {
            let line = format!("-n {namespace} {line}");
            drop(kubectl.run(&line.split(' ').collect::<Vec<_>>()));
        };
        let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
        in_namespace("create configmap a --from-literal=x=1");
        in_namespace("create configmap b --from-literal=x=1");
        in_namespace("label configmap a x=y");
        in_namespace("get configmaps");
        in_namespace("get configmap a");
        in_namespace("wait configmap a --for=jsonpath={.data.x}=1 --timeout=5s");
        in_namespace("get configmap a --watch --request-timeout=1s");
        in_namespace("annotate configmap a x=z --overwrite");
        in_namespace("autoscale deployment none --max=3");
        in_namespace("exec box -- true");
        in_namespace("logs box");
        in_namespace("delete configmap a");
        in_namespace(&format!("delete --raw {maps}"));
        in_namespace("get --raw /readyz");
        in_namespace("create --raw /nowhere -f /dev/null");
        let replaced = format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, namespace: {namespace}}}}}"
        );
        for verb in ["create", "replace"] {
            kubectl
                .with_input(&[verb, "-f", "-"], replaced.as_bytes())
                .expect_success();
        }
        in_namespace(&format!("delete --raw {maps}"));
        assert!(site.exit.terminate().success());

        let ours = audit::trail(&site.exit.log());
        let theirs = by_id(&ours);
        let verbs: BTreeSet<&str> = ours
            .iter()
            .filter_map(|event| event["verb"].as_str())
            .collect();
        for verb in VERBS {
            assert!(verbs.contains(verb), "{way:?}: {verb} in {verbs:?}");
        }
        for event in &ours {
            let seen = &theirs[text(event, "request.id")];
            assert_same(event, seen, way, &username);
        }
    }
}

/// The API server's events of these requests, once they are all there.
fn by_id(ours: &[Value]) -> BTreeMap<String, Event> {
    let wanted: BTreeSet<&str> = ours.iter().map(|event| text(event, "request.id")).collect();
    wait::until("the API server's events", || {
        let events = audit::events(cluster::shared()).into_iter();
        let found: BTreeMap<String, Event> = events
            .filter(|event| wanted.contains(event.audit_id.as_str()))
            .map(|event| (event.audit_id.clone(), event))
            .collect();
        (found.len() == wanted.len()).then_some(found)
    })
}

fn text<'v>(event: &'v Value, field: &str) -> &'v str {
    event[field].as_str().unwrap_or_default()
}

fn assert_same(ours: &Value, theirs: &Event, way: Way, username: &str) {
    let about = &theirs.object_ref;
    assert_eq!(text(ours, "user"), username);
    let impersonated = theirs.impersonated_user.as_ref();
    assert_eq!(impersonated.map(|it| it.username.as_str()), Some(username));
    for (field, seen) in [
        ("verb", &theirs.verb),
        ("api.group", &about.api_group),
        ("api.version", &about.api_version),
        ("resource", &about.resource),
        ("subresource", &about.subresource),
    ] {
        assert_eq!(
            text(ours, field),
            seen,
            "{way:?} {field}: {ours} {theirs:?}"
        );
    }
    // What is created has its name in the body, which the API server reads and the exit does not.
    if theirs.verb != "create" {
        assert_eq!(text(ours, "namespace"), about.namespace, "{way:?} {ours}");
        assert_eq!(text(ours, "name"), about.name, "{way:?} {ours} {theirs:?}");
    }
    let path = theirs.request_uri.split('?').next();
    assert_eq!(Some(text(ours, "path")), path, "{way:?}");
}

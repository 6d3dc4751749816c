//! The everyday verbs of kubectl work through the exit as they do at the API server, and the API server's own
//! audit log shows the right user for each.

use crate::support::certificates::Organisation;
use crate::support::kubectl::Kubectl;
use crate::support::path::{Site, WAYS, Way};
use crate::support::{audit, cluster, pod, wait};

/// More than two of kubectl's chunks, so that `continue` tokens travel.
const MANY: usize = 500;

fn caller(way: Way, namespace: &str) -> (Kubectl, Organisation, Site) {
    let cluster = cluster::shared();
    let organisation = Organisation::new("everyday");
    cluster.namespace(namespace);
    cluster.make_namespace_admin(&organisation.username("ns/shop/id/deployer"), namespace);
    let site = Site::before(cluster, way, &[&organisation]);
    let kubectl = site.kubectl(&organisation.caller("ns/shop/id/deployer"));
    (kubectl, organisation, site)
}

#[test]
fn get_apply_patch_and_delete() {
    for (way, namespace) in WAYS.into_iter().zip(["everyday-tunnel", "everyday-direct"]) {
        let (kubectl, organisation, _site) = caller(way, namespace);
        let manifest = format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: prices, namespace: {namespace}}}, data: {{tea: \"3\"}}}}"
        );
        kubectl
            .with_input(&["apply", "--server-side", "-f", "-"], manifest.as_bytes())
            .expect_success();
        kubectl.ok(&[
            "-n",
            namespace,
            "patch",
            "configmap",
            "prices",
            "--type=merge",
            "-p",
            r#"{"data":{"tea":"4"}}"#,
        ]);
        let tea = kubectl.ok(&[
            "-n",
            namespace,
            "get",
            "configmap",
            "prices",
            "-o",
            "jsonpath={.data.tea}",
        ]);
        assert_eq!(tea, "4", "{way:?}");
        kubectl.ok(&["-n", namespace, "delete", "configmap", "prices"]);
        let gone = kubectl.run(&["-n", namespace, "get", "configmap", "prices"]);
        assert!(gone.err.contains("NotFound"), "{way:?}: {}", gone.err);

        let marker = format!("/namespaces/{namespace}/configmaps/prices");
        audit::assert_only_user(
            cluster::shared(),
            &marker,
            &organisation.username("ns/shop/id/deployer"),
        );
        let verbs: Vec<String> = audit::events_about(cluster::shared(), &marker)
            .into_iter()
            .map(|event| event.verb)
            .collect();
        for verb in ["patch", "get", "delete"] {
            assert!(
                verbs.iter().any(|seen| seen == verb),
                "{way:?}: {verb} is in the audit log: {verbs:?}"
            );
        }
    }
}

#[test]
fn five_hundred_objects_come_in_chunks() {
    for (way, namespace) in WAYS.into_iter().zip(["chunks-tunnel", "chunks-direct"]) {
        let (kubectl, _organisation, _site) = caller(way, namespace);
        let manifests: Vec<String> = (0..MANY)
            .map(|number| {
                format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: item-{number:03}\n")
            })
            .collect();
        kubectl
            .with_input(
                &["-n", namespace, "create", "-f", "-"],
                manifests.join("---\n").as_bytes(),
            )
            .expect_success();
        let listed = kubectl.ok(&[
            "-n",
            namespace,
            "get",
            "configmaps",
            "--chunk-size=200",
            "-o",
            "name",
        ]);
        let items = listed
            .lines()
            .filter(|line| line.starts_with("configmap/item-"))
            .count();
        assert_eq!(items, MANY, "{way:?}");
        let continued = audit::events_about(
            cluster::shared(),
            &format!("/namespaces/{namespace}/configmaps?"),
        );
        assert!(
            continued
                .iter()
                .any(|event| event.request_uri.contains("continue=")),
            "{way:?}: it was in chunks"
        );
    }
}

#[test]
fn watch_tells_each_event_as_it_happens() {
    for (way, namespace) in WAYS.into_iter().zip(["watch-tunnel", "watch-direct"]) {
        let (kubectl, _organisation, _site) = caller(way, namespace);
        let mut watch = kubectl.start(&[
            "-n",
            namespace,
            "get",
            "configmaps",
            "-w",
            "--output-watch-events",
            "-o",
            "name",
        ]);
        for number in 0..5 {
            let name = format!("event-{number}");
            cluster::shared().admin(&["-n", namespace, "create", "configmap", &name]);
            // The next is made only when this one has arrived: nothing waits for a buffer to fill.
            watch.await_out(&name);
        }
        assert!(watch.ended().is_none(), "{way:?}: the watch goes on");
    }
}

#[test]
fn logs_follow_until_the_pod_ends() {
    for (way, namespace) in WAYS.into_iter().zip(["logs-tunnel", "logs-direct"]) {
        let (kubectl, _organisation, _site) = caller(way, namespace);
        pod::run_command(
            cluster::shared(),
            namespace,
            "speaker",
            &[
                "bash",
                "-c",
                "echo first; until [ -e \"$POD_DIR/go\" ]; do sleep 0.05; done; echo last",
            ],
        );
        let mut logs = kubectl.start(&["-n", namespace, "logs", "-f", "speaker"]);
        logs.await_out("first\n");
        let go = [
            "-n",
            namespace,
            "exec",
            "speaker",
            "--",
            "sh",
            "-c",
            "touch \"$POD_DIR/go\"",
        ];
        // The pod may end, and this very exec with it, before kubectl has its exit code.
        drop(kubectl.run(&go));
        logs.await_out("last\n");
        assert_eq!(logs.await_end(), 0, "{way:?}: the log ended as it should");
    }
}

#[test]
fn whoami_is_the_prefix_and_the_common_name() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("whoami");
    for way in WAYS {
        let site = Site::before(cluster, way, &[&organisation]);
        let said = site
            .kubectl(&organisation.caller("ns/shop/id/deployer"))
            .ok(&["auth", "whoami", "-o", "json"]);
        let who: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(
            who["status"]["userInfo"]["username"], "spiffe://whoami.example/ns/shop/id/deployer",
            "{way:?}"
        );
        assert_eq!(
            who["status"]["userInfo"]["groups"],
            serde_json::json!(["system:authenticated"]),
            "{way:?}"
        );
        wait::until("the audit log", || {
            audit::events(cluster).into_iter().find(|event| {
                event
                    .impersonated_user
                    .as_ref()
                    .is_some_and(|user| user.username.starts_with("spiffe://whoami."))
            })
        });
    }
}

/// The exit's own credential may be a service account's token file as well as a client certificate.
#[test]
fn with_a_service_accounts_token_too() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("token-users");
    let site = Site::start(
        Way::Direct,
        &cluster.facts.proxy_token_kubeconfig,
        &[&organisation],
    )
    .with_kubectl(cluster);
    let said = site.kubectl(&organisation.caller("ns/a/id/b")).ok(&[
        "auth",
        "whoami",
        "-o",
        "jsonpath={.status.userInfo.username}",
    ]);
    assert_eq!(said, organisation.username("ns/a/id/b"));
}

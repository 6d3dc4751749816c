//! An upgrade keeps what is there; uninstalling by the manual's commands leaves nothing, also when the controller is gone already.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::cluster::{self, Cluster};
use crate::support::gangplank::Gangplank;
use crate::support::helm;
use crate::support::kept::{self, INSTALLATION};
use crate::support::kubectl::finish;
use crate::support::manual::Page;
use crate::support::wait;

const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: { name: leaving }
---
apiVersion: multicluster.admiralty.io/v1alpha1
kind: Identity
metadata: { name: default, namespace: leaving }
spec: { secretName: its-certificate }
---
apiVersion: multicluster.admiralty.io/v1alpha1
kind: Source
metadata: { name: team, namespace: leaving }
spec: { userName: 'spiffe://elsewhere/ns/team/id/default' }
---
apiVersion: multicluster.admiralty.io/v1alpha1
kind: ClusterSource
metadata: { name: auditors }
spec: { groupName: auditors }
";

/// The commands under a heading of the manual, as an administrator types them in the tree.
fn type_in(cluster: &Cluster, heading: &str) {
    let facts = &cluster.facts;
    let kubectl = facts.kubectl.parent().expect("a folder");
    let path = std::env::var("PATH").expect("a search path");
    let path = format!("{}:{}:{path}", kubectl.display(), helm::folder().display());
    let blocks = Page::open("kubernetes.md").bash(heading);
    assert!(!blocks.is_empty(), "{heading}");
    for block in blocks {
        let block = block.replace("gangplank-system", INSTALLATION);
        let child = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &block])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PATH", &path)
            .env("KUBECONFIG", &facts.admin_kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bash starts");
        finish(child, &block).expect_success();
    }
}

/// The installation, at work for some objects.
fn at_work(cluster: &Cluster, folder: &Path, level: &str) -> Gangplank {
    let values = format!("account: acme\ncluster: leaving\nlog: {{ level: {level} }}\n");
    let controller = kept::install(cluster, &values, folder);
    cluster.apply(OBJECTS);
    let ready = ["wait", "--for=condition=Ready", "--timeout=60s"];
    cluster.admin(
        &[
            &ready[..],
            &["-n", "leaving", "identity/default", "source/team"],
        ]
        .concat(),
    );
    cluster.admin(&[&ready[..], &["clustersource/auditors"]].concat());
    controller
}

/// Everything that the controller has made, and every object that it made something for.
fn left(cluster: &Cluster) -> String {
    let made = cluster.admin(&[
        "get",
        "secrets,rolebindings,clusterrolebindings",
        "-A",
        "--selector",
        "app.kubernetes.io/managed-by=gangplank",
        "-o",
        "name",
    ]);
    let definitions = cluster.admin(&["get", "customresourcedefinitions", "-o", "name"]);
    let accounts = cluster.admin(&["get", "clusterroles,clusterrolebindings", "-o", "name"]);
    let ours = definitions.lines().chain(accounts.lines()).filter(|name| {
        ["gangplank", "admiralty"]
            .iter()
            .any(|ours| name.contains(ours))
    });
    made.lines().chain(ours).collect::<Vec<_>>().join("\n")
}

/// A namespace that something in it holds back would be there for ever.
fn delete_namespace(cluster: &Cluster, name: &str) {
    cluster.admin(&["delete", "namespace", name, "--timeout=60s"]);
}

#[test]
fn when_it_is_upgraded_and_uninstalled() {
    let cluster = cluster::own("leaving");
    let folder = tempfile::tempdir().expect("a folder");
    let before = at_work(&cluster, folder.path(), "info");
    let mark = "jsonpath={.spec.template.metadata.annotations.gangplank\\.dev/config}";
    let deployment = ["get", "deployment", "gangplank-controller", "-o", mark];
    let file_of = || cluster.admin(&[&["-n", INSTALLATION][..], &deployment].concat());
    let certificate = || {
        let key = "jsonpath={.data.tls\\.crt}";
        let secret = [
            "-n",
            "leaving",
            "get",
            "secret",
            "its-certificate",
            "-o",
            key,
        ];
        cluster.admin(&secret)
    };
    let (first_file, first_certificate) = (file_of(), certificate());
    drop(before);
    // Another file: pods are replaced. What was made stays as it is.
    let controller = at_work(&cluster, folder.path(), "debug");
    assert_ne!(file_of(), first_file);
    assert_eq!(certificate(), first_certificate);

    type_in(&cluster, "Uninstalling");
    drop(controller);
    assert_eq!(left(&cluster), "");
    delete_namespace(&cluster, "leaving");

    drop(at_work(&cluster, folder.path(), "info"));
    let held = cluster.admin(&["get", "clustersource", "auditors", "-o", "yaml"]);
    assert!(held.contains("gangplank.dev/made"), "{held}");
    type_in(&cluster, "The controller is gone already");
    // The rest is the same with and without a controller.
    type_in(&cluster, "Uninstalling");
    wait::until("nothing to be left", || {
        left(&cluster).is_empty().then_some(())
    });
    delete_namespace(&cluster, "leaving");
}

//! The manifests of `docs/operate.md` give an exit what it needs at the API server, and nothing besides.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::certificates::Organisation;
use crate::support::cluster::{self, Cluster};
use crate::support::kubectl::Kubectl;
use crate::support::manual::Page;
use crate::support::path::{Site, Way};
use crate::support::wait;

/// Case H4: each example with an account of its own. How far the right itself would reach is as the page says.
#[test]
fn and_no_more() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("minimal");
    let manifests = Page::open("operate.md").yaml("Rights at the API server");
    assert_eq!(
        manifests.len(),
        2,
        "the usual rights, and constrained impersonation"
    );
    cluster.namespace("rights-in-the-manual");
    cluster.make_namespace_admin(&organisation.username("a"), "rights-in-the-manual");
    for (number, (manifest, nodes_too)) in manifests.iter().zip([true, false]).enumerate() {
        let name = format!("gangplank-manual-{number}");
        cluster.namespace(&name);
        cluster.admin(&["-n", &name, "create", "serviceaccount", "gangplank-exit"]);
        // The same manifest with other names, since tests share the cluster.
        let manifest = manifest
            .replace("namespace: gangplank,", &format!("namespace: {name},"))
            .replace(
                "metadata: { name: gangplank-exit }",
                &format!("metadata: {{ name: {name} }}"),
            )
            .replace(
                "kind: ClusterRole, name: gangplank-exit",
                &format!("kind: ClusterRole, name: {name}"),
            );
        cluster.apply(&manifest);
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = account(cluster, &name, folder.path());
        let kubectl = Kubectl::new(&cluster.facts.kubectl, &kubeconfig);

        let site = Site::start(Way::Direct, &kubeconfig, &[&organisation]).with_kubectl(cluster);
        let caller = site.kubectl(&organisation.caller("a"));
        let who = wait::until("the rights to take effect", || {
            let said = caller.run(&["auth", "whoami", "-o", "jsonpath={.status.userInfo}"]);
            said.succeeded().then(|| said.text())
        });
        assert!(
            who.contains(&organisation.username("a")) && !who.contains(&name),
            "{who}"
        );
        for line in [
            "create configmap a",
            "get configmap a",
            "label configmap a b=c",
            "patch configmap a -p {}",
            "delete configmap a",
            "delete configmaps -l b=c",
        ] {
            let arguments: Vec<&str> = ["-n", "rights-in-the-manual"]
                .into_iter()
                .chain(line.split(' '))
                .collect();
            caller.ok(&arguments);
        }
        caller.ok(&["get", "--raw", "/version"]);

        let alone = kubectl.run(&["get", "configmaps", "-n", &name]);
        assert!(
            alone.err.contains("is forbidden"),
            "by itself the account may do nothing: {}",
            alone.err
        );
        let grouped = kubectl.run(&["get", "pods", "--as=x", "--as-group=system:masters"]);
        assert!(
            grouped.err.contains("(Forbidden)"),
            "nor be in a group: {}",
            grouped.err
        );
        let account = format!("system:serviceaccount:{name}:default");
        let controllers = "system:kube-controller-manager";
        for (other, reaches) in [
            (account.as_str(), false),
            ("system:node:x", nodes_too),
            (controllers, true),
        ] {
            let said = kubectl.run(&["auth", "whoami", "--as", other]);
            assert_eq!(
                said.succeeded(),
                reaches,
                "{other} in example {number}: {}",
                said.err
            );
        }
    }
}

/// A kubeconfig with a token of the account.
fn account(cluster: &Cluster, namespace: &str, folder: &Path) -> PathBuf {
    let token = cluster
        .admin(&["-n", namespace, "create", "token", "gangplank-exit"])
        .trim()
        .to_owned();
    let server = cluster.admin(&[
        "config",
        "view",
        "--raw",
        "--flatten",
        "-o",
        "jsonpath={.clusters[0].cluster}",
    ]);
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "exit",
        "clusters": [{ "name": "exit", "cluster": serde_json::from_str::<serde_json::Value>(&server).expect("JSON") }],
        "users": [{ "name": "exit", "user": { "token": token } }],
        "contexts": [{ "name": "exit", "context": { "cluster": "exit", "user": "exit" } }],
    });
    let file = folder.join("kubeconfig");
    fs::write(&file, kubeconfig.to_string()).expect("written");
    file
}

//! Accounts with the rights that the manual's examples give, or the chart, and nothing but their token.

use std::fs;
use std::path::{Path, PathBuf};

use super::cluster::Cluster;

/// Applies an example under another name, since tests share the cluster, and writes a kubeconfig of its account
/// into the folder.
pub(crate) fn from_manual(cluster: &Cluster, example: &str, name: &str, folder: &Path) -> PathBuf {
    apply_under(cluster, example, name);
    token_of(cluster, name, "gangplank-exit", folder)
}

/// The same manifest with other names, since tests share the cluster.
fn apply_under(cluster: &Cluster, example: &str, name: &str) {
    cluster.namespace(name);
    cluster.admin(&["-n", name, "create", "serviceaccount", "gangplank-exit"]);
    let mut manifest = example.to_owned();
    for (from, to) in [
        ("namespace: gangplank,", format!("namespace: {name},")),
        (
            "metadata: { name: gangplank-exit }",
            format!("metadata: {{ name: {name} }}"),
        ),
        (
            "kind: ClusterRole, name: gangplank-exit",
            format!("kind: ClusterRole, name: {name}"),
        ),
    ] {
        assert!(manifest.contains(from), "the example has {from}");
        manifest = manifest.replace(from, &to);
    }
    cluster.apply(&manifest);
}

/// A kubeconfig with a token of the account, in the folder.
pub(crate) fn token_of(
    cluster: &Cluster,
    namespace: &str,
    account: &str,
    folder: &Path,
) -> PathBuf {
    let token = cluster
        .admin(&["-n", namespace, "create", "token", account])
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
        "current-context": "account",
        "clusters": [{ "name": "account", "cluster": serde_json::from_str::<serde_json::Value>(&server).expect("JSON") }],
        "users": [{ "name": "account", "user": { "token": token } }],
        "contexts": [{ "name": "account", "context": { "cluster": "account", "user": "account" } }],
    });
    let file = folder.join(format!("{account}.kubeconfig"));
    fs::write(&file, kubeconfig.to_string()).expect("written");
    file
}

//! A pod on the cluster's node: its command is a process on this machine, its image is ignored.

use super::cluster::Cluster;
use super::wait;

/// Runs a pod named `name` that sleeps, and waits until it is running.
pub(crate) fn run(cluster: &Cluster, namespace: &str, name: &str) {
    run_command(cluster, namespace, name, &["sleep", "3600"]);
}

/// Runs a pod with a command of the test's, and waits until it is running.
pub(crate) fn run_command(cluster: &Cluster, namespace: &str, name: &str, command: &[&str]) {
    start(cluster, namespace, name, command, false);
}

/// As [`run_command`], with a standard input to attach to.
pub(crate) fn run_attachable(cluster: &Cluster, namespace: &str, name: &str, command: &[&str]) {
    start(cluster, namespace, name, command, true);
}

fn start(cluster: &Cluster, namespace: &str, name: &str, command: &[&str], stdin: bool) {
    let pod = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "nodeName": cluster.facts.node_name,
            "terminationGracePeriodSeconds": 0,
            "restartPolicy": "Never",
            "containers": [{ "name": "main", "image": "none", "command": command, "stdin": stdin, "stdinOnce": stdin }],
        },
    });
    cluster.apply(&pod.to_string());
    wait::until(&format!("the pod {name} to run"), || {
        let phase = cluster.admin(&[
            "-n",
            namespace,
            "get",
            "pod",
            name,
            "-o",
            "jsonpath={.status.phase}",
        ]);
        (phase == "Running").then_some(())
    });
}

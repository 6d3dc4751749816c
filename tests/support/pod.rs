//! A pod on the cluster's node: its command is a process on this machine, its image is ignored.

use super::cluster::Cluster;
use super::wait;

/// Runs a pod named `name` that sleeps, and waits until it is running.
pub fn run(cluster: &Cluster, namespace: &str, name: &str) {
    let node = &cluster.facts.node_name;
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {namespace}}}, \
         spec: {{nodeName: {node}, terminationGracePeriodSeconds: 0, \
         containers: [{{name: main, image: none, command: [sleep, \"3600\"]}}]}}}}"
    ));
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

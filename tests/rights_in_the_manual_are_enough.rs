//! The manifests of `docs/operate.md` give an exit what it needs at the API server, and nothing besides.

use crate::support::certificates::Organisation;
use crate::support::cluster;
use crate::support::kubectl::Kubectl;
use crate::support::manual::Page;
use crate::support::path::{Site, Way};
use crate::support::{exit_account, wait};

const NAMESPACE: &str = "rights-in-the-manual";

/// Case H4: each example with an account of its own.
#[test]
fn and_no_more() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("minimal");
    let examples = Page::open("operate.md").yaml("Rights at the API server");
    assert_eq!(
        examples.len(),
        2,
        "the usual rights, and constrained impersonation"
    );
    cluster.namespace(NAMESPACE);
    cluster.make_namespace_admin(&organisation.username("a"), NAMESPACE);
    for (example, nodes_too) in examples.iter().zip([true, false]) {
        let name = format!(
            "gangplank-manual-{}",
            if nodes_too { "usual" } else { "constrained" }
        );
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = exit_account::from_manual(cluster, example, &name, folder.path());
        let site = Site::start(Way::Direct, &kubeconfig, &[&organisation]).with_kubectl(cluster);
        assert_enough(&site, &organisation, &name);
        let alone = Kubectl::new(&cluster.facts.kubectl, &kubeconfig);
        assert_no_more(&alone, &name, nodes_too);
    }
}

/// A caller does whatever its own rights allow, as itself.
fn assert_enough(site: &Site, organisation: &Organisation, account: &str) {
    let caller = site.kubectl(&organisation.caller("a"));
    let who = wait::until("the rights to take effect", || {
        let said = caller.run(&["auth", "whoami", "-o", "jsonpath={.status.userInfo}"]);
        said.succeeded().then(|| said.text())
    });
    assert!(
        who.contains(&organisation.username("a")) && !who.contains(account),
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
        let arguments: Vec<&str> = ["-n", NAMESPACE]
            .into_iter()
            .chain(line.split(' '))
            .collect();
        caller.ok(&arguments);
    }
    caller.ok(&["get", "--raw", "/version"]);
}

/// By itself the account may do nothing, and how far its one right reaches is as the page says.
fn assert_no_more(alone: &Kubectl, name: &str, nodes_too: bool) {
    let itself = alone.run(&["get", "configmaps", "-n", name]);
    assert!(itself.err.contains("is forbidden"), "{}", itself.err);
    let grouped = alone.run(&["get", "pods", "--as=x", "--as-group=system:masters"]);
    assert!(grouped.err.contains("(Forbidden)"), "{}", grouped.err);
    let account = format!("system:serviceaccount:{name}:default");
    for (other, reaches) in [
        (account.as_str(), false),
        ("system:node:x", nodes_too),
        ("system:kube-controller-manager", true),
    ] {
        let said = alone.run(&["auth", "whoami", "--as", other]);
        assert_eq!(said.succeeded(), reaches, "{other} by {name}: {}", said.err);
    }
}

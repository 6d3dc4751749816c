//! When the API server refuses the exit's own account, the caller learns that it is not about their certificate,
//! and the operator learns it from the log; the API server's own words pass unchanged.

use std::path::PathBuf;

use crate::support::certificates::Organisation;
use crate::support::cluster::{self, Cluster};
use crate::support::gangplank::events;
use crate::support::path::{Site, Way};

/// A kubeconfig for the API server with another token.
fn kubeconfig(cluster: &Cluster, folder: &tempfile::TempDir, token: &str) -> PathBuf {
    let shown = cluster.admin(&["config", "view", "--raw", "-o", "json"]);
    let mut config: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    config["users"][0]["user"] = serde_json::json!({ "token": token });
    let file = folder.path().join("upstream");
    std::fs::write(&file, config.to_string()).expect("written");
    file
}

fn assert_told(site: &Site, organisation: &Organisation) {
    let said = site
        .kubectl(&organisation.caller("a"))
        .run(&["auth", "whoami"]);
    assert_ne!(said.code, 0);
    let warning = "ExitAccountRefused: the API server refuses the account of this gangplank exit, not your certificate";
    assert!(
        said.err.contains(warning),
        "kubectl prints the warning: {}",
        said.err
    );
    let log = site.exit.log();
    let errors = events(&log)
        .into_iter()
        .filter(|event| event["level"] == "ERROR")
        .count();
    assert_eq!(errors, 1, "the operator is told once: {log}");
    let counted = "gangplank_exit_upstream_faults_total{reason=\"ExitAccountRefused\"}";
    assert!(
        site.exit.metric(counted).is_some_and(|count| count > 0.0),
        "and it is counted"
    );
}

#[test]
fn no_right_to_impersonate() {
    let cluster = cluster::shared();
    let folder = tempfile::tempdir().expect("a folder");
    cluster.namespace("no-rights");
    let token = cluster.admin(&["-n", "no-rights", "create", "token", "default"]);
    let organisation = Organisation::new("no-rights");
    let upstream = kubeconfig(cluster, &folder, token.trim());
    let site = Site::start(Way::Direct, &upstream, &[&organisation]).with_kubectl(cluster);
    assert_told(&site, &organisation);
}

#[test]
fn a_token_that_is_none() {
    let cluster = cluster::shared();
    let folder = tempfile::tempdir().expect("a folder");
    let organisation = Organisation::new("bad-token");
    let upstream = kubeconfig(cluster, &folder, "no-such-token");
    let site = Site::start(Way::Direct, &upstream, &[&organisation]).with_kubectl(cluster);
    assert_told(&site, &organisation);
}

/// What a caller writes into a path cannot make the exit believe that its account is refused.
#[test]
fn callers_cannot_pretend_it() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("pretenders");
    let site = Site::before(cluster, Way::Direct, &[&organisation]);
    let said = site.kubectl(&organisation.caller("a")).run(&[
        "get",
        "--raw",
        "/x%22%20cannot%20impersonate",
    ]);
    assert!(
        said.err.contains("cannot impersonate"),
        "the API server repeats the path: {}",
        said.err
    );
    assert!(!said.err.contains("ExitAccountRefused"), "{}", said.err);
}

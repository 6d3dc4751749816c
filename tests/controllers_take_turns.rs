//! Of several replicas of a controller one acts; another one takes over when it is gone, and what was stopped and goes on
//! acts no more.

#![expect(
    clippy::significant_drop_tightening,
    reason = "a test has the cluster to its end"
)]

use serde_json::Value;

use crate::support::gangplank::Gangplank;
use crate::support::kept::{self, Kept};
use crate::support::wait;

/// Short, so that nobody waits; the rules are the same.
const ELECTION: &str = "leaderElection: true\nleaseDuration: 3s\n";

fn leads(replica: &Gangplank) -> bool {
    replica.metric("gangplank_controller_leader ") == Some(1.0)
}

fn follows(replica: &Gangplank) -> bool {
    replica.status()["controller"]["leader"].is_string()
}

/// How often it has issued a certificate.
fn issued(replica: &Gangplank) -> f64 {
    let line = "gangplank_controller_reconciles_total{kind=\"Identity\",outcome=\"Issued\"} ";
    replica.metric(line).unwrap_or_default()
}

fn identity(kept: &Kept, namespace: &str, name: &str) {
    kept.apply(&format!(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: Identity\nmetadata:\n  name: {name}\n  \
         namespace: {namespace}\nspec:\n  secretName: {name}\n"
    ));
    kept.await_reason(namespace, "identity", name, "Issued");
}

fn lease(kept: &Kept, namespace: &str) -> Value {
    let lease = kept.get(namespace, "lease", "gangplank-controller");
    lease.expect("the lease")["spec"].clone()
}

/// One that leads, and one that follows it.
fn pair(kept: &Kept, namespace: &str) -> (Gangplank, Gangplank) {
    kept.namespace(namespace);
    let first = kept.controller("first", namespace, ELECTION);
    wait::until("the first to lead", || leads(&first).then_some(()));
    let second = kept.controller("second", namespace, ELECTION);
    wait::until("the second to follow", || follows(&second).then_some(()));
    second.await_ready();
    (first, second)
}

#[test]
fn one_acts_and_the_other_when_it_was_killed() {
    let kept = kept::apart();
    let (first, second) = pair(&kept, "turns-killed");
    identity(&kept, "turns-killed", "before");
    assert!(issued(&first) >= 1.0 && leads(&first));
    assert!(issued(&second) < 1.0 && !leads(&second));
    first.kill();
    identity(&kept, "turns-killed", "after");
    assert!(issued(&second) >= 1.0 && leads(&second));
    assert_eq!(lease(&kept, "turns-killed")["leaseTransitions"], 1);
}

#[test]
fn one_that_ends_gives_its_lease_back() {
    let kept = kept::apart();
    let (first, second) = pair(&kept, "turns-ended");
    assert!(first.terminate().success());
    let given_back = lease(&kept, "turns-ended");
    assert_ne!(given_back["leaseDurationSeconds"], 3, "{given_back}");
    wait::until("the second to lead", || leads(&second).then_some(()));
}

/// As a machine that was suspended, or a process that had no processor for a while.
#[test]
fn one_that_was_stopped_and_goes_on_acts_no_more() {
    let kept = kept::apart();
    let (first, second) = pair(&kept, "turns-stopped");
    first.signal("-STOP");
    wait::until("the second to lead", || leads(&second).then_some(()));
    first.signal("-CONT");
    wait::until("the first to follow", || follows(&first).then_some(()));
    assert!(!leads(&first));
    let before = issued(&first);
    identity(&kept, "turns-stopped", "after");
    assert!((issued(&first) - before).abs() < 0.5);
    assert!(leads(&second));
}

//! A Source grants what it says while it says it: the API server's own verdicts, before and after.

use serde_json::Value;

use crate::support::kept::{self, Kept};
use crate::support::wait;

const USER: &str = "spiffe://source-cluster/ns/namespace-a/id/default";

fn source(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: Source\nmetadata:\n  name: {name}\n  \
         namespace: {namespace}\nspec: {spec}\n"
    )
}

fn cluster_source(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: ClusterSource\nmetadata:\n  name: {name}\nspec: {spec}\n"
    )
}

/// May this user read pods there, as the API server says?
fn may_read(kept: &Kept, user: &str, namespace: &str) -> bool {
    kept.admin()
        .run(&[
            "auth", "can-i", "get", "pods", "-n", namespace, "--as", user,
        ])
        .succeeded()
}

fn await_right(kept: &Kept, user: &str, namespace: &str, wanted: bool) {
    wait::until(
        &format!("{user} to have the right in {namespace}: {wanted}"),
        || (may_read(kept, user, namespace) == wanted).then_some(()),
    );
}

fn cluster_binding(kept: &Kept, name: &str) -> Option<Value> {
    kept.get("default", "clusterrolebinding", name)
}

/// Case A9, with the names of Admiralty (A13).
#[test]
fn in_their_namespace_and_nowhere_else() {
    let kept = kept::shared();
    for namespace in ["src-a", "src-b"] {
        kept.namespace(namespace);
    }
    let user = format!("{USER}-a");
    kept.apply(&source(
        "src-a",
        "source-cluster",
        &format!("{{userName: {user:?}, roles: [gangplank-source]}}"),
    ));
    kept.await_reason("src-a", "source", "source-cluster", "Granted");
    await_right(kept, &user, "src-a", true);
    let viewer = "admiralty-source-src-a-source-cluster-cluster-summary-viewer";
    let bindings = kept
        .admin()
        .ok(&["get", "clusterrolebindings", "-o", "name"]);
    assert!(bindings.contains(viewer), "{bindings}");
}

/// Fault 2 of the original: the cluster-wide binding outlived its source.
#[test]
fn until_they_are_deleted_everywhere() {
    let kept = kept::shared();
    kept.namespace("src-gone");
    let user = format!("{USER}-gone");
    kept.apply(&source(
        "src-gone",
        "cd",
        &format!("{{userName: {user:?}}}"),
    ));
    kept.await_reason("src-gone", "source", "cd", "Granted");
    let viewer = "admiralty-source-src-gone-cd-cluster-summary-viewer";
    let viewer_of = |kept: &Kept| {
        let all = kept
            .admin()
            .ok(&["get", "clusterrolebindings", "-o", "name"]);
        all.lines().any(|name| name.contains(viewer))
    };
    assert!(viewer_of(kept));
    kept.admin()
        .ok(&["-n", "src-gone", "delete", "source", "cd", "--wait=true"]);
    assert!(!viewer_of(kept));
    assert_eq!(
        kept.get("src-gone", "rolebinding", "admiralty-source-cd"),
        None
    );
    await_right(kept, &user, "src-gone", false);
}

/// Fault 3 of the original: clearing who is named left the bindings in place.
#[test]
fn to_whom_they_name_now() {
    let kept = kept::shared();
    kept.namespace("src-edit");
    let (before, after) = (format!("{USER}-before"), format!("{USER}-after"));
    kept.apply(&source(
        "src-edit",
        "cd",
        &format!("{{userName: {before:?}}}"),
    ));
    await_right(kept, &before, "src-edit", true);
    kept.apply(&source(
        "src-edit",
        "cd",
        &format!("{{userName: {after:?}}}"),
    ));
    await_right(kept, &after, "src-edit", true);
    assert!(!may_read(kept, &before, "src-edit"));
    kept.admin().ok(&[
        "-n",
        "src-edit",
        "patch",
        "source",
        "cd",
        "--type=json",
        "-p",
        r#"[{"op":"remove","path":"/spec/userName"}]"#,
    ]);
    kept.await_reason("src-edit", "source", "cd", "NobodyNamed");
    assert_eq!(
        kept.get("src-edit", "rolebinding", "admiralty-source-cd"),
        None
    );
}

/// Faults 4 and 5 of the original: a binding with another role stayed so, and every look wrote it anew.
#[test]
fn through_the_role_that_they_say_written_once() {
    let kept = kept::shared();
    kept.namespace("src-role");
    kept.apply(&source(
        "src-role",
        "cd",
        &format!("{{userName: {USER:?}}}"),
    ));
    kept.await_reason("src-role", "source", "cd", "Granted");
    let first = kept
        .get("src-role", "rolebinding", "admiralty-source-cd")
        .expect("a binding");
    kept.admin()
        .ok(&["-n", "src-role", "annotate", "source", "cd", "look=again"]);
    kept.admin().ok(&[
        "-n",
        "src-role",
        "delete",
        "rolebinding",
        "admiralty-source-cd",
    ]);
    let second = wait::until("the binding to be back", || {
        kept.get("src-role", "rolebinding", "admiralty-source-cd")
            .filter(|binding| binding["metadata"]["uid"] != first["metadata"]["uid"])
    });
    assert_eq!(first["roleRef"], second["roleRef"]);
    assert_eq!(first["subjects"], second["subjects"]);
}

/// Fault 7 of the original: a foreign binding of the same name was overwritten. Fault 6: nobody was told.
#[test]
fn but_never_in_somebody_elses_binding() {
    let kept = kept::shared();
    kept.namespace("src-foreign");
    kept.admin().ok(&[
        "-n",
        "src-foreign",
        "create",
        "rolebinding",
        "admiralty-source-cd",
        "--clusterrole=gangplank-source",
        "--user=somebody",
    ]);
    let before = kept
        .get("src-foreign", "rolebinding", "admiralty-source-cd")
        .expect("theirs");
    kept.apply(&source(
        "src-foreign",
        "cd",
        &format!("{{userName: {USER:?}}}"),
    ));
    kept.await_reason("src-foreign", "source", "cd", "BindingTaken");
    let after = kept
        .get("src-foreign", "rolebinding", "admiralty-source-cd")
        .expect("theirs");
    assert_eq!(before, after);
    kept.admin()
        .ok(&["-n", "src-foreign", "delete", "source", "cd", "--wait=true"]);
    let left = kept
        .get("src-foreign", "rolebinding", "admiralty-source-cd")
        .expect("theirs");
    assert_eq!(before, left);
}

/// Fault 1 of the original: the account of a ClusterSource was made in no namespace, and no binding ever came.
#[test]
fn to_accounts_that_are_made_where_they_are_named() {
    let kept = kept::shared();
    kept.namespace("src-account");
    kept.apply(&cluster_source(
        "fleet",
        "{serviceAccount: {name: cd, namespace: src-account}}",
    ));
    kept.await_reason("default", "clustersource", "fleet", "Granted");
    assert!(kept.get("src-account", "serviceaccount", "cd").is_some());
    await_right(
        kept,
        "system:serviceaccount:src-account:cd",
        "default",
        true,
    );
    kept.admin()
        .ok(&["delete", "clustersource", "fleet", "--wait=true"]);
    assert_eq!(
        cluster_binding(kept, "admiralty-cluster-source-fleet"),
        None
    );
    assert_eq!(
        cluster_binding(
            kept,
            "admiralty-cluster-source-fleet-cluster-summary-viewer"
        ),
        None
    );
    await_right(
        kept,
        "system:serviceaccount:src-account:cd",
        "default",
        false,
    );
}

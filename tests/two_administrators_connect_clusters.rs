//! Two administrators connect two clusters with two commands, and nothing that travels between them grants anything.

mod administrator;
mod printed;
mod refused;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::support::kept::{self, Kept};
use crate::support::wait;
use administrator::{Administrator, ends};

/// May this user read pods there, as the API server says?
fn may_read(kept: &Kept, user: &str, namespace: &str) -> bool {
    let asked = [
        "auth", "can-i", "get", "pods", "-n", namespace, "--as", user,
    ];
    kept.admin().run(&asked).succeeded()
}

fn kubeconfig(kept: &Kept, namespace: &str, secret: &str) -> Option<Value> {
    let secret = kept.get(namespace, "secret", secret)?;
    let text = secret["data"]["config"].as_str()?;
    serde_json::from_slice(&BASE64_STANDARD.decode(text).ok()?).ok()
}

/// The whole way, and back.
#[test]
fn with_an_invitation_and_its_answer() {
    let (source, target) = ends();
    source.cluster.namespace("team-a");
    target.cluster.namespace("namespace-b");
    let invitation = target.invite("namespace-b", &["gangplank-source"]);
    let answered = source.accept(&invitation, &["-n", "team-a", "--yes"]);
    let answer = answered.expect_success().text();
    let written = source
        .cluster
        .await_reason("team-a", "kubeconfig", "target-cluster", "Written");
    assert_eq!(written["spec"]["secretName"], "target-cluster-kubeconfig");
    let config = kubeconfig(source.cluster, "team-a", "target-cluster-kubeconfig");
    let cluster = &config.expect("a kubeconfig")["clusters"][0]["cluster"];
    assert_eq!(cluster["server"], target.server());
    let authority = BASE64_STANDARD.encode(target.authority_pem());
    assert_eq!(cluster["certificate-authority-data"], authority);

    let user = "spiffe://source-cluster.acme/ns/team-a/id/default";
    assert!(
        !may_read(target.cluster, user, "namespace-b"),
        "nothing is granted yet"
    );
    let offer = ["-n", "namespace-b", "--role", "gangplank-source", "--yes"];
    target.accept(answer.trim(), &offer).expect_success();
    let name = "source-cluster.acme.team-a.default";
    let source_object = target
        .cluster
        .await_reason("namespace-b", "source", name, "Granted");
    assert_eq!(source_object["spec"]["userName"], user);
    wait::until("the right to be there", || {
        may_read(target.cluster, user, "namespace-b").then_some(())
    });
    let bindings = source_object["status"]["bindings"].to_string();
    assert!(bindings.contains("RoleBinding namespace-b/"), "{bindings}");
    the_source_is_known(&source, &target);

    // Once more changes nothing: a replay is harmless.
    let again = target.accept(answer.trim(), &offer).expect_success().text();
    assert!(
        !again.contains("created") && !again.contains("configured"),
        "{again}"
    );

    revoke_both(&source, &target);
    wait::until("the kubeconfig's Secret to be gone", || {
        let secret = source
            .cluster
            .get("team-a", "secret", "target-cluster-kubeconfig");
        secret.is_none().then_some(())
    });
    wait::until("the right to be gone", || {
        (!may_read(target.cluster, user, "namespace-b")).then_some(())
    });
    let provider = target.get_installed("trustedidentityprovider", "source-cluster.acme");
    assert_eq!(provider, None);
}

fn the_source_is_known(source: &Administrator, target: &Administrator) {
    let provider = target.get_installed("trustedidentityprovider", "source-cluster.acme");
    assert_eq!(
        provider.expect("a provider")["spec"]["prefix"],
        "spiffe://source-cluster.acme/"
    );
    let known = target.known("source-cluster.acme").expect("a KnownCluster");
    let data = known["spec"]["identity"]["certificateAuthorityData"].as_str();
    let pinned = BASE64_STANDARD
        .decode(data.expect("certificates"))
        .expect("base64");
    assert_eq!(pinned, source.identity_authority());
}

/// Each side by itself; twice is as once.
fn revoke_both(source: &Administrator, target: &Administrator) {
    for (one, other) in [
        (source, "target-cluster.acme"),
        (target, "source-cluster.acme"),
    ] {
        let said = one.run(&["revoke", other]).expect_success().text();
        assert!(said.contains("deleted"), "{said}");
        one.run(&["revoke", other]).expect_success();
        assert_eq!(one.known(other), None);
    }
}

/// What several namespaces share stays until the last of them is revoked.
#[test]
fn for_several_namespaces_that_are_revoked_one_by_one() {
    let (source, target) = ends();
    let caller = source.under("several");
    let namespaces = ["namespace-c", "namespace-d"];
    for namespace in namespaces {
        target.cluster.namespace(namespace);
        let invitation = target.invite(namespace, &["gangplank-source"]);
        let printed = ["-n", "team-c", "--dry-run=client", "-o", "json"];
        let answer = caller.accept(&invitation, &printed).expect_success().err;
        let answer = administrator::answer_in(&answer);
        let offer = ["-n", namespace, "--role", "gangplank-source", "--yes"];
        target.accept(&answer, &offer).expect_success();
    }
    let granted = |namespace: &str| {
        let name = "several.acme.team-c.default";
        target.cluster.get(namespace, "source", name).is_some()
    };
    assert!(namespaces.iter().all(|namespace| granted(namespace)));
    let revoke = |namespace: &str| {
        let said = target.run(&["revoke", "several.acme", "-n", namespace]);
        said.expect_success().text()
    };
    let said = revoke("namespace-c");
    assert!(said.contains("still used by other namespaces"), "{said}");
    wait::until("the first to be gone", || {
        (!granted("namespace-c")).then_some(())
    });
    assert!(granted("namespace-d"));
    assert!(target.known("several.acme").is_some());
    revoke("namespace-d");
    wait::until("the second to be gone", || {
        (!granted("namespace-d")).then_some(())
    });
    assert_eq!(target.known("several.acme"), None);
}

/// What would be written is what is written.
#[test]
fn or_with_objects_that_are_printed_and_applied_by_others() {
    let (source, target) = ends();
    source.cluster.namespace("team-gitops");
    let target = target.under("gitops-target");
    let invitation = target.invite_without_cluster("namespace-b", &["edit"]);
    let arguments = ["-n", "team-gitops", "--yes", "--dry-run", "-o", "yaml"];
    let printed = source
        .accept(&invitation, &arguments)
        .expect_success()
        .text();
    assert_eq!(
        source.known("gitops-target.acme"),
        None,
        "nothing was changed"
    );
    let again = source
        .accept(&invitation, &arguments)
        .expect_success()
        .text();
    assert_eq!(printed, again);
    source.cluster.apply(&printed);
    let there = || {
        let kubeconfig = source
            .cluster
            .get("team-gitops", "kubeconfig", "gitops-target");
        (source.known("gitops-target.acme"), kubeconfig)
    };
    let (known, kubeconfig) = there();
    let accepted = source.accept(&invitation, &["-n", "team-gitops", "--yes", "-o", "json"]);
    let accepted: Value = serde_json::from_str(&accepted.expect_success().text()).expect("JSON");
    for object in accepted["objects"].as_array().expect("objects") {
        assert_eq!(object["result"], "unchanged", "{accepted}");
    }
    let generation =
        |object: &Option<Value>| object.as_ref().map(|o| o["metadata"]["generation"].clone());
    let (known_after, kubeconfig_after) = there();
    assert_eq!(generation(&known), generation(&known_after));
    assert_eq!(generation(&kubeconfig), generation(&kubeconfig_after));
    let after = source
        .accept(&invitation, &arguments)
        .expect_success()
        .text();
    assert_eq!(printed, after, "also when it is there");
    source
        .run(&["revoke", "gitops-target.acme"])
        .expect_success();
    assert_eq!(source.known("gitops-target.acme"), None);
}

/// Both ways: one KnownCluster holds both pins, and each goes with what it was for.
#[test]
fn in_both_directions() {
    let (source, _target) = ends();
    source.cluster.namespace("team-both");
    let peer = source.under("both");
    let invitation = peer.invite_without_cluster("namespace-b", &["edit"]);
    source
        .accept(&invitation, &["-n", "team-both", "--yes"])
        .expect_success();
    let ours = source.invite_with_authority("team-both", &["gangplank-source"]);
    let answer = peer.accept(&ours, &["-n", "theirs", "--dry-run=client", "-o", "json"]);
    let answer = administrator::answer_in(&answer.expect_success().err);
    let offer = ["-n", "team-both", "--role", "gangplank-source", "--yes"];
    source.accept(&answer, &offer).expect_success();
    let known = source.known("both.acme").expect("one KnownCluster");
    assert!(known["spec"]["identity"].is_object() && known["spec"]["serving"].is_object());
    source
        .cluster
        .admin()
        .ok(&["-n", "team-both", "delete", "kubeconfig", "both"]);
    source.cluster.namespace("team-neither");
    source
        .run(&["revoke", "both.acme", "-n", "team-neither"])
        .expect_success();
    let known = source.known("both.acme").expect("one KnownCluster");
    assert!(known["spec"]["identity"].is_object());
    assert_eq!(known["spec"].get("serving"), None);
    source.run(&["revoke", "both.acme"]).expect_success();
    assert_eq!(source.known("both.acme"), None);
}

/// A person at a terminal is asked, and anything but a yes changes nothing.
#[test]
fn after_a_question_at_a_terminal() {
    let (source, target) = ends();
    source.cluster.namespace("team-asked");
    let target = target.under("asked");
    let invitation = target.invite_without_cluster("namespace-b", &["edit"]);
    for (said, code) in [("no", 2), ("yes", 0)] {
        let mut asked = source.accept_at_a_terminal(&invitation, &["-n", "team-asked"]);
        asked.await_out("Does the other administrator see the same?");
        assert_eq!(source.known("asked.acme"), None);
        asked.say(said);
        assert_eq!(asked.await_end(), code, "{}", asked.out());
    }
    assert!(source.known("asked.acme").is_some());
    source.run(&["revoke", "asked.acme"]).expect_success();
}

#[test]
fn kept_clusters_are_two() {
    assert_ne!(kept::shared().kubeconfig(), kept::other().kubeconfig());
}

//! What is not accepted: altered letters, letters that nobody compared, and what is somebody else's.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::administrator::{answer_in, ends};

/// The letter with something else in place of `from`, as whoever carried it might write it.
fn altered(letter: &str, from: &str, to: &str) -> String {
    let json = BASE64_URL_SAFE_NO_PAD.decode(letter).expect("base64url");
    let json = String::from_utf8(json).expect("JSON");
    assert!(json.contains(from), "{json}");
    BASE64_URL_SAFE_NO_PAD.encode(json.replacen(from, to, 1))
}

/// The fingerprint of a letter, as its maker sees it.
fn fingerprint(explained: &str) -> String {
    let lines = explained.lines().map(str::trim);
    let mut after = lines.skip_while(|line| !line.ends_with("by another way than this came:"));
    after
        .find(|line| line.starts_with("sha256:"))
        .expect("a fingerprint")
        .to_owned()
}

#[test]
fn altered_on_the_way() {
    let (source, target) = ends();
    source.cluster.namespace("team-altered");
    let target = target.under("altered");
    let invitation = target.invite_without_cluster("namespace-b", &["edit"]);
    let shown = source.accept(&invitation, &["-n", "team-altered", "--dry-run"]);
    let told = fingerprint(&shown.expect_success().err);
    let impostor = source.under("altered");
    let other_authority = impostor.invite_without_cluster("namespace-b", &["edit"]);
    for letter in [
        altered(&invitation, "tunnels.example.com", "tunnels.example.org"),
        altered(&invitation, "\"altered.acme\"", "\"prod.acme\""),
        altered(&invitation, "\"edit\"", "\"view\""),
        other_authority,
    ] {
        let arguments = ["-n", "team-altered", "--fingerprint", &told];
        let said = source.accept(&letter, &arguments);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains("altered on the way"), "{}", said.err);
        assert!(said.err.contains("nothing was changed"), "{}", said.err);
    }
    let nobody = source.accept(&invitation, &["-n", "team-altered"]);
    assert_eq!(nobody.code, 2, "{}", nobody.err);
    assert!(nobody.err.contains("--fingerprint"), "{}", nobody.err);
    assert_eq!(source.known("altered.acme"), None);
    assert_eq!(
        source.cluster.get("team-altered", "kubeconfig", "altered"),
        None
    );
    let arguments = ["-n", "team-altered", "--fingerprint", &told];
    source.accept(&invitation, &arguments).expect_success();
    source.run(&["revoke", "altered.acme"]).expect_success();
}

/// A pin that somebody accepted is not replaced by a later invitation, compared or not.
#[test]
fn another_authority_of_a_cluster_that_is_known() {
    let (source, target) = ends();
    source.cluster.namespace("team-pinned");
    let target = target.under("pinned");
    let invitation = target.invite_without_cluster("namespace-b", &["edit"]);
    source
        .accept(&invitation, &["-n", "team-pinned", "--yes"])
        .expect_success();
    let before = source.known("pinned.acme").expect("a pin");
    let impostor = source.under("pinned");
    let other = impostor.invite_without_cluster("namespace-b", &["edit"]);
    let said = source.accept(&other, &["-n", "team-pinned", "--yes"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(
        said.err.contains("known by another authority"),
        "{}",
        said.err
    );
    let after = source.known("pinned.acme").expect("a pin");
    assert_eq!(before["spec"], after["spec"]);
    source.run(&["revoke", "pinned.acme"]).expect_success();
}

/// Whoever has an invitation has nothing: the inviter's cluster knows nobody before they accept an answer; and an answer
/// that asks for more than was offered, or comes from somebody else, is not accepted.
#[test]
fn stolen_invitations_and_answers_that_ask_for_more() {
    let (source, target) = ends();
    target.cluster.namespace("namespace-offered");
    let invitation = target.invite("namespace-offered", &["gangplank-source"]);
    assert_eq!(target.known("thief.acme"), None);
    let thief = source.under("thief");
    let arguments = ["-n", "anywhere", "--dry-run=client", "-o", "json"];
    let answer = answer_in(&thief.accept(&invitation, &arguments).expect_success().err);
    let more = altered(&answer, "\"gangplank-source\"", "\"cluster-admin\"");
    let elsewhere = altered(&answer, "\"namespace-offered\"", "\"kube-system\"");
    let offered = [
        "-n",
        "namespace-offered",
        "--role",
        "gangplank-source",
        "--yes",
    ];
    for letter in [&more, &elsewhere] {
        let said = target.accept(letter, &offered);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains("and you say"), "{}", said.err);
        let said = target.accept(letter, &["--yes"]);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(
            said.err.contains("does not decide what is granted"),
            "{}",
            said.err
        );
        let dry = target.accept(letter, &["--dry-run", "-o", "yaml"]);
        assert_eq!(dry.code, 2, "{}", dry.err);
    }
    let misdirected = altered(&answer, "\"target-cluster.acme\"", "\"prod.acme\"");
    let said = target.accept(&misdirected, &offered);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("prod.acme"), "{}", said.err);
    let own = target.accept(&invitation, &["-n", "namespace-offered", "--yes"]);
    assert_eq!(own.code, 2, "{}", own.err);
    assert_eq!(target.known("thief.acme"), None);
    assert_eq!(
        target.get_installed("trustedidentityprovider", "thief.acme"),
        None
    );
}

/// All is looked at before anything is written.
#[test]
fn where_somebody_elses_objects_are() {
    let (source, target) = ends();
    source.cluster.namespace("team-foreign");
    let target = target.under("foreign");
    source.cluster.apply(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: Kubeconfig\nmetadata: {name: foreign, namespace: team-foreign}\n\
         spec: {secretName: theirs, cluster: {admiraltyReference: {clusterName: elsewhere}}}\n",
    );
    let before = source
        .cluster
        .get("team-foreign", "kubeconfig", "foreign")
        .expect("theirs");
    let invitation = target.invite_without_cluster("namespace-b", &["edit"]);
    let said = source.accept(&invitation, &["-n", "team-foreign", "--yes"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(
        said.err.contains("not made by `gangplank accept`"),
        "{}",
        said.err
    );
    assert_eq!(source.known("foreign.acme"), None, "nothing half done");
    let after = source
        .cluster
        .get("team-foreign", "kubeconfig", "foreign")
        .expect("theirs");
    assert_eq!(before["spec"], after["spec"]);
    let said = source.accept(&invitation, &["-n", "team-nowhere", "--yes"]);
    assert!(
        said.err.contains("there is no namespace team-nowhere"),
        "{}",
        said.err
    );
    let said = source.accept(
        &invitation,
        &["-n", "team-foreign", "--name", "ours", "--yes"],
    );
    said.expect_success();
    let said = source
        .run(&["revoke", "foreign.acme"])
        .expect_success()
        .text();
    assert!(
        said.contains("kubeconfig.multicluster.admiralty.io/ours"),
        "{said}"
    );
    assert!(
        source
            .cluster
            .get("team-foreign", "kubeconfig", "foreign")
            .is_some()
    );
}

#[test]
fn offers_of_what_is_not_there() {
    let (_source, target) = ends();
    let words = ["invite", "-n", "default", "--role", "edti"];
    let said = target.run(&words);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(
        said.err.contains("there is no ClusterRole edti"),
        "{}",
        said.err
    );
    let words = ["invite", "-n", "nowhere", "--role", "gangplank-source"];
    let said = target.run(&words);
    assert!(
        said.err.contains("there is no namespace nowhere"),
        "{}",
        said.err
    );
}

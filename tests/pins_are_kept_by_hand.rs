//! Pins that a person writes with `gangplank trust`, in a cluster and as files.

use std::fs;

use serde_json::Value;

use crate::support::certificates::Authority;
use crate::support::gangplank;
use crate::support::kept;

const CLUSTER: &str = "by-hand.acme";

/// Adds, lists and removes at one place, which `place` names.
fn come_and_go(place: &[&str], folder: &tempfile::TempDir) {
    let run = |words: &[&str]| gangplank::run(&[words, place].concat());
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let file = folder.path().join("first.pem");
    fs::write(&file, first.pem()).expect("a file");
    let file = file.display().to_string();
    let (known, other) = (first.fingerprint(), second.fingerprint());

    let wrong = [
        "trust",
        "add",
        CLUSTER,
        "--serving",
        &other,
        "--serving-authority",
        &file,
    ];
    let said = run(&wrong);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("nothing was changed"), "{}", said.err);
    let nothing = run(&["trust", "add", CLUSTER]);
    assert!(nothing.err.contains("nothing to pin"), "{}", nothing.err);

    let add = [
        "trust",
        "add",
        CLUSTER,
        "--serving",
        &known,
        "--serving-authority",
        &file,
    ];
    run(&[&add[..], &["--server", "https://by-hand.example"]].concat()).expect_success();
    run(&["trust", "add", CLUSTER, "--identity", &other]).expect_success();
    run(&["trust", "add", CLUSTER, "--identity", &known]).expect_success();
    let listed = run(&["trust", "list", "-o", "json"])
        .expect_success()
        .text();
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let ours = listed.as_array().expect("pins").iter();
    let ours: Vec<&Value> = ours.filter(|pin| pin["cluster"] == "by-hand").collect();
    let pins: Vec<&Value> = ours.iter().map(|pin| &pin["fingerprints"]).collect();
    assert_eq!(
        pins,
        [
            &Value::from(vec![other.clone(), known.clone()]),
            &Value::from(vec![known.clone()])
        ]
    );
    assert_eq!(ours[0]["purpose"], "identity");
    assert_eq!(ours[0]["server"], "https://by-hand.example");
    assert!(ours[0]["ageSeconds"].is_u64());
    let table = run(&["trust", "list"]).expect_success().text();
    assert!(
        table.contains("FINGERPRINT") && table.contains(&known),
        "{table}"
    );

    run(&["trust", "remove", CLUSTER]).expect_success();
    let again = run(&["trust", "remove", CLUSTER]);
    assert_eq!(again.code, 2, "{}", again.err);
    assert!(again.err.contains("gangplank trust list"), "{}", again.err);
}

#[test]
fn in_a_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = kept::shared();
    come_and_go(&["--kubeconfig", kept.kubeconfig()], &folder);
}

#[test]
fn as_files_of_a_trust_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    let trust = folder.path().join("trust");
    fs::create_dir(&trust).expect("a folder");
    fs::write(trust.join("other.yaml"), "kind: Secret\n").expect("a file");
    let directory = trust.display().to_string();
    come_and_go(&["--directory", &directory], &folder);
    let left = fs::read_dir(&trust).expect("a folder").count();
    assert_eq!(left, 1, "what is not ours stays, and nothing half written");
}

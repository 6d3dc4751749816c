//! What the commands print, word for word.

use std::fs;

use crate::support::gangplank;
use crate::support::kubectl::Said;

/// An authority that is always the same.
fn authority(folder: &tempfile::TempDir) -> String {
    let both = include_str!("../../pki/testdata/p-256.pem");
    let end = "-----END CERTIFICATE-----";
    let (first, _leaf) = both.split_once(end).expect("a certificate");
    let file = folder.path().join("ca.crt");
    fs::write(&file, format!("{first}{end}\n")).expect("a file");
    file.display().to_string()
}

fn told(said: &Said) -> String {
    format!(
        "--- standard output\n{}--- standard error\n{}",
        said.text(),
        said.err
    )
}

#[test]
fn as_it_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = authority(&folder);
    let own = |cluster: &'static str| ["--cluster", cluster, "--certificate-authority", &authority];
    let mut words = vec!["invite", "--namespace", "namespace-b", "--role", "edit"];
    words.extend([
        "--server",
        "https://target-cluster.acme.tunnels.example.com",
    ]);
    words.extend(own("target-cluster.acme"));
    let invited = gangplank::run(&words);
    insta::assert_snapshot!("invite", told(&invited));
    let invitation = invited.expect_success().text().trim().to_owned();
    let mut words = vec![
        "accept",
        &invitation,
        "--namespace",
        "team-a",
        "--dry-run=client",
    ];
    words.extend(["-o", "yaml"]);
    words.extend(own("source-cluster.acme"));
    let accepted = gangplank::run(&words);
    insta::assert_snapshot!("accept_invitation", told(&accepted));
    let answer = super::administrator::answer_in(&accepted.expect_success().err);
    let mut words = vec![
        "accept",
        &answer,
        "--namespace",
        "namespace-b",
        "--role",
        "edit",
    ];
    words.extend(["--dry-run=client", "-o", "yaml"]);
    insta::assert_snapshot!("accept_answer", told(&gangplank::run(&words)));
}

use std::fs;

use super::*;
use crate::fixture::{
    Workplace, agent, authority, authority_pem, base64, exit, issued, kubeconfig,
};

const FILE: &str = "kubeconfig";

fn place() -> Workplace {
    let place = Workplace::empty();
    place.write(FILE, kubeconfig(&authority_pem("kubernetes")));
    place
}

fn user(place: &Workplace, user: &str) {
    place.edit(FILE, "token: hunter2", user);
}

/// What is planted, the text that is replaced, and what by.
const EDITS: &[(&str, &str, &str)] = &[
    ("no current context", "current-context: here\n", ""),
    (
        "a current context that is not there",
        "current-context: here",
        "current-context: her",
    ),
    (
        "a cluster that is not there",
        "cluster: kubernetes",
        "cluster: production",
    ),
    ("a user that is not there", "user: proxy }", "user: admin }"),
    ("plain HTTP", "https://", "http://"),
    (
        "a path behind the server",
        ":6443",
        ":6443/k8s/clusters/c-1",
    ),
    ("a port that is none", ":6443", ":644300"),
    (
        "a password in the address",
        "https://",
        "https://admin:hunter2@",
    ),
    (
        "no verification",
        "certificate-authority-data",
        "insecure-skip-tls-verify: true\n    #",
    ),
    ("no authority", "certificate-authority-data", "#"),
    (
        "an authority that is not base64",
        "authority-data: ",
        "authority-data: \"*\" #",
    ),
    (
        "an authority's file that is missing",
        "certificate-authority-data: ",
        "certificate-authority: ca.crt #",
    ),
    (
        "a proxy",
        "server:",
        "proxy-url: http://10.0.0.9\n    server:",
    ),
    (
        "a name to verify that is none",
        "server:",
        "tls-server-name: a b\n    server:",
    ),
    ("no credential", "token: hunter2", "{}"),
    (
        "a program for credentials",
        "token: hunter2",
        "exec: { command: aws }",
    ),
    (
        "a password",
        "token: hunter2",
        "username: admin\n    password: hunter2",
    ),
    (
        "impersonation",
        "token: hunter2",
        "token: hunter2\n    as: admin\n    as-groups: [a]",
    ),
    (
        "two credentials",
        "token: hunter2",
        "token: hunter2\n    tokenFile: token",
    ),
    (
        "a token that is none",
        "token: hunter2",
        "token: hunter2 with a blank",
    ),
    (
        "a token that is a number",
        "token: hunter2",
        "token: 8675309",
    ),
    (
        "a token's file that is missing",
        "token: hunter2",
        "tokenFile: token",
    ),
    (
        "a certificate without its key",
        "token: hunter2",
        "client-certificate-data: aGVsbG8=",
    ),
];

/// What is planted, and how.
type Planted = (&'static str, fn(&Workplace));

const CHANGES: &[Planted] = &[
    ("a certificate and another's key", |at| {
        let (one, two) = (
            issued(&authority("a"), agent()),
            issued(&authority("a"), agent()),
        );
        let (certificate, key) = (base64(one.cert_pem), base64(two.key_pem));
        user(
            at,
            &format!("client-certificate-data: {certificate}\n    client-key-data: {key}"),
        );
    }),
    ("a key among the authorities", |at| {
        let leaf = issued(&authority("a"), exit());
        let bundle = base64(format!("# ours\n{}{}", leaf.key_pem, leaf.ca_pem));
        at.edit(
            FILE,
            "authority-data: ",
            &format!("authority-data: {bundle} #"),
        );
    }),
];

#[test]
fn faults_of_a_kubeconfig() {
    let paragraph = |what: &str, plant: &dyn Fn(&Workplace)| {
        let place = place();
        plant(&place);
        let said = place.told(&read(&place.path(FILE), None).expect_err(what));
        let told = ["hunter2", "8675309", "MII", "TUlJ", "TUlH"]
            .into_iter()
            .find(|secret| said.contains(secret));
        assert_eq!(told, None, "{said}");
        format!("# {what}\n{said}\n\n")
    };
    let edits = EDITS
        .iter()
        .map(|(what, from, to)| paragraph(what, &|at| at.edit(FILE, from, to)));
    let changes = CHANGES.iter().map(|(what, plant)| paragraph(what, plant));
    insta::assert_snapshot!(edits.chain(changes).collect::<String>());
}

#[test]
fn a_context_that_was_named_is_taken_instead_of_the_current_one() {
    let place = place();
    place.edit(FILE, "current-context: here", "current-context: elsewhere");
    assert!(read(&place.path(FILE), Some("here")).is_ok());
    let faults = read(&place.path(FILE), Some("hera")).unwrap_err();
    insta::assert_snapshot!(place.told(&faults));
}

#[test]
fn the_server_is_taken_apart() {
    for (written, authority, name) in [
        ("https://10.0.0.1:6443", "10.0.0.1:6443", "10.0.0.1"),
        (
            "https://api.example.com/",
            "api.example.com:443",
            "api.example.com",
        ),
        ("https://[2001:db8::1]", "[2001:db8::1]:443", "2001:db8::1"),
        (
            "https://[2001:db8::1]:6443",
            "[2001:db8::1]:6443",
            "2001:db8::1",
        ),
    ] {
        let place = place();
        place.edit(FILE, "https://10.0.0.1:6443", written);
        let server = read(&place.path(FILE), None).unwrap().server;
        assert_eq!(server.authority, authority);
        assert_eq!(server.tls_server_name.to_str(), name);
    }
    let place = place();
    place.edit(
        FILE,
        "server:",
        "tls-server-name: kubernetes.default\n    server:",
    );
    let server = read(&place.path(FILE), None).unwrap().server;
    assert_eq!(server.tls_server_name.to_str(), "kubernetes.default");
    assert_eq!(server.host, "10.0.0.1");
}

#[test]
fn credentials_come_from_the_file_or_beside_it() {
    let leaf = issued(&authority("kubernetes"), agent());

    let place = place();
    place.write("token", "hunter2\n");
    user(&place, "tokenFile: token");
    let Credential::TokenFile(token) = read(&place.path(FILE), None).unwrap().credential else {
        panic!("no token file")
    };
    assert_eq!(token.read().unwrap().secret(), "hunter2");
    place.write("token", "rotated\n");
    assert_eq!(token.read().unwrap().secret(), "rotated");

    let place = self::place();
    place.write("client.crt", &leaf.cert_pem);
    place.write("client.key", &leaf.key_pem);
    user(
        &place,
        "client-certificate: client.crt\n    client-key: client.key",
    );
    let Credential::ClientCertificate(pair) = read(&place.path(FILE), None).unwrap().credential
    else {
        panic!("no client certificate")
    };
    assert_eq!(pair.files().len(), 2);

    let place = self::place();
    let (certificate, key) = (base64(&leaf.cert_pem), base64(&leaf.key_pem));
    user(
        &place,
        &format!("client-certificate-data: {certificate}\n    client-key-data: {key}"),
    );
    let Credential::ClientCertificate(pair) = read(&place.path(FILE), None).unwrap().credential
    else {
        panic!("no client certificate")
    };
    assert_eq!(pair.read().unwrap().chain().len(), 1);
    fs::remove_file(place.path(FILE)).unwrap();
    assert!(pair.read().is_ok(), "inline material needs no file");
}

#[test]
fn nothing_that_is_shown_tells_a_credential() {
    let place = place();
    let shown = format!("{:?}", read(&place.path(FILE), None).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

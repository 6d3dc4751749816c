//! What a person wrote wrongly ends the program with exit code 2 and the place, before it listens anywhere.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::support::certificates::Organisation;
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank;
use crate::support::path::Prepared;

/// A fault: what it is, where it is made, what the message must name.
type Fault = (&'static str, fn(&Path), &'static [&'static str]);

const FAULTS: [Fault; 10] = [
    (
        "an unknown key",
        |folder| append(folder, "proxy.yaml", "lisen: no\n"),
        &["proxy.yaml:", "lisen"],
    ),
    (
        "the same key twice",
        |folder| append(folder, "proxy.yaml", "listen: \"127.0.0.1:1\"\n"),
        &["proxy.yaml:", "listen"],
    ),
    (
        "no YAML at all",
        |folder| write(folder, "proxy.yaml", "{"),
        &["proxy.yaml:"],
    ),
    (
        "no such file",
        |folder| fs::remove_file(folder.join("proxy.yaml")).expect("removed"),
        &["proxy.yaml"],
    ),
    (
        "no certificate",
        |folder| write(folder, "exit.crt", "none\n"),
        &["exit.crt"],
    ),
    ("another's key", |folder| another_key(folder), &["exit.key"]),
    (
        "a broken kubeconfig",
        |folder| append(folder, "upstream.kubeconfig", "users: ["),
        &["upstream.kubeconfig"],
    ),
    (
        "a broken trust file",
        |folder| write(folder, "trust/known.yaml", "kind: ["),
        &["known.yaml"],
    ),
    (
        "a prefix like the system's",
        |folder| prefix(folder, "system:"),
        &["known.yaml", "system:"],
    ),
    (
        "a broken authority",
        |folder| authority(folder),
        &["known.yaml", "certificateAuthorityData"],
    ),
];

/// Case F6.
#[tokio::test(flavor = "multi_thread")]
async fn but_says_what_and_where() {
    let fake = FakeApiServer::echo().await;
    let known = Organisation::new("known");
    for (what, spoil, named) in FAULTS {
        // The port is taken for as long as the program runs: a program that tried to listen would fail otherwise.
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let listen = taken.local_addr().expect("an address");
        let prepared = Prepared::proxy(&listen.to_string(), &fake.kubeconfig(), &[&known]);
        spoil(prepared.folder());
        let config = prepared.folder().join("proxy.yaml");
        let said = gangplank::run(&["proxy", "--config", &config.display().to_string()]);
        assert_eq!(said.code, 2, "{what}: {} {}", said.text(), said.err);
        for name in named {
            assert!(
                said.err.contains(name),
                "{what}: the message names {name}: {}",
                said.err
            );
        }
        assert!(!said.err.contains("\"listening\""), "{what}: {}", said.err);
        assert!(
            !said.err.contains("PRIVATE KEY"),
            "no key is shown: {}",
            said.err
        );
    }
}

fn append(folder: &Path, file: &str, text: &str) {
    let before = fs::read_to_string(folder.join(file)).expect("readable");
    write(folder, file, &format!("{before}{text}"));
}

fn write(folder: &Path, file: &str, text: &str) {
    fs::write(folder.join(file), text).expect("written");
}

fn another_key(folder: &Path) {
    write(
        folder,
        "exit.key",
        &Organisation::new("other").caller("x").key,
    );
}

fn prefix(folder: &Path, prefix: &str) {
    let mut organisation = Organisation::new("known");
    prefix.clone_into(&mut organisation.prefix);
    write(folder, "trust/known.yaml", &organisation.provider());
}

fn authority(folder: &Path) {
    let whole = Organisation::new("known").provider();
    let (before, _) = whole
        .split_once("certificateAuthorityData: ")
        .expect("it is there");
    write(
        folder,
        "trust/known.yaml",
        &format!("{before}certificateAuthorityData: bm90aGluZw==\n"),
    );
}

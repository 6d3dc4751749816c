//! `gangplank join` looks at what it can before the token is used, says what it waits for, and what to do next.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use crate::support::certificates::Authority;
use crate::support::gangplank::{command, run};
use crate::support::kubectl::{Said, finish};
use crate::support::path::{RELAY_NAME, Relay};

/// A relay, and a place where clusters join.
struct Shore {
    relay: Relay,
    folder: TempDir,
}

impl Shore {
    fn new() -> Self {
        Self {
            relay: Relay::start_enrolling(3600),
            folder: TempDir::new().expect("a folder"),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text_of(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// A new token, in a file.
    fn token(&self, cluster: &str) -> String {
        fs::write(self.file("token"), self.relay.token(cluster)).expect("written");
        self.text_of("token")
    }

    /// A kubeconfig that an exit can use; nobody is asked at its address.
    fn kubeconfig(&self) -> String {
        let file = self.file("exit.kubeconfig");
        fs::write(&file, kubeconfig("{ token: not-a-secret }")).expect("written");
        file.display().to_string()
    }

    /// What `token list` says of the cluster's only token.
    fn state_of_token(&self) -> String {
        let config = self.relay.folder().join("relay.yaml").display().to_string();
        let said = run(&["token", "list", "--config", &config, "-o", "json"]).expect_success();
        let tokens: serde_json::Value = serde_json::from_str(&said.text()).expect("JSON");
        tokens[0]["state"].as_str().expect("a state").to_owned()
    }

    /// Joins with these arguments behind the address; the folder is `agent`.
    fn join(&self, further: &[&str]) -> Said {
        self.join_at(&self.relay.address.to_string(), further)
    }

    fn join_at(&self, relay: &str, further: &[&str]) -> Said {
        let folder = self.text_of("agent");
        run(&[&["join", relay, "--directory", &folder], further].concat())
    }
}

fn kubeconfig(user: &str) -> String {
    let authority = BASE64_STANDARD.encode(Authority::new("kubernetes").pem());
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{ name: c, cluster: {{ server: \"https://127.0.0.1:6443\", certificate-authority-data: {authority} }} }}]\n\
         users: [{{ name: u, user: {user} }}]\n\
         contexts: [{{ name: c, context: {{ cluster: c, user: u }} }}]\n"
    )
}

fn refused(said: &Said, words: &[&str]) {
    assert_ne!(said.code, 0, "{}", said.text());
    for word in words {
        assert!(said.err.contains(word), "no `{word}` in: {}", said.err);
    }
}

#[test]
fn what_the_agent_could_not_run_from_leaves_the_token_good() {
    let shore = Shore::new();
    let token = shore.token("edge-1.acme");
    let with_token = ["--token-file", token.as_str()];
    let join = |further: &[&str]| shore.join(&[&with_token, further].concat());
    let good = "the token was not used";

    refused(
        &join(&[]),
        &["this is no pod", "--kubeconfig FILE", "--in-cluster", good],
    );
    let missing = shore.text_of("elsewhere");
    refused(
        &join(&["--kubeconfig", &missing]),
        &["no kubeconfig at", good],
    );

    // As the kubeconfigs of managed clusters are.
    let person = shore.file("person.kubeconfig");
    fs::write(&person, kubeconfig("{ exec: { command: login } }")).expect("written");
    let person = person.display().to_string();
    refused(
        &join(&["--kubeconfig", &person]),
        &["`exec` is not supported", good],
    );
    let kubeconfig = shore.kubeconfig();
    let other = ["--kubeconfig", &kubeconfig, "--context", "other"];
    refused(&join(&other), &["no context `other`", good]);

    assert!(!shore.file("agent").exists(), "nothing is left of it");
    assert_eq!(shore.state_of_token(), "open");
    drop(join(&["--kubeconfig", &kubeconfig]).expect_success());
    assert_eq!(shore.state_of_token(), "used");
}

#[test]
fn a_folder_for_a_pod_can_be_made_outside() {
    let shore = Shore::new();
    let token = shore.token("edge-1.acme");
    drop(
        shore
            .join(&["--token-file", &token, "--in-cluster"])
            .expect_success(),
    );
    let config = fs::read_to_string(shore.file("agent/agent.yaml")).expect("readable");
    assert!(config.contains("inCluster: true"), "{config}");
}

#[test]
fn a_relay_that_says_nothing_is_waited_for_aloud() {
    let shore = Shore::new();
    let (token, kubeconfig) = (shore.token("edge-1.acme"), shore.kubeconfig());
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = mute.local_addr().expect("an address").to_string();
    let folder = shore.text_of("agent");
    let mut child = command(&["join", &address, "--directory", &folder])
        .args(["--token-file", &token, "--kubeconfig", &kubeconfig])
        .spawn()
        .expect("gangplank starts");
    let told = BufReader::new(child.stderr.take().expect("piped"));
    let mut lines = told.lines().map(|line| line.expect("text"));
    let first = lines.next().expect("a line");
    let whom = format!("Joining as edge-1.acme at {address} over TCP");
    assert!(first.contains(&whom), "{first}");
    let then = lines.next().expect("another line");
    assert!(
        then.contains("still waiting for its part of the TLS handshake"),
        "{then}"
    );
    assert!(then.contains("at most 20 s"), "{then}");
    child.kill().expect("our own child");
    child.wait().expect("our own child");
}

#[test]
fn what_was_tried_is_named_and_the_proxy_of_the_environment_too() {
    let shore = Shore::new();
    let (token, kubeconfig) = (shore.token("edge-1.acme"), shore.kubeconfig());
    let with_token = [
        "--token-file",
        token.as_str(),
        "--kubeconfig",
        kubeconfig.as_str(),
    ];
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").to_string()
    };
    let again = "run the same command again";
    let said = shore.join_at(&closed, &with_token);
    refused(
        &said,
        &[
            "cannot be reached",
            &format!("asked: {closed} over TCP"),
            again,
        ],
    );

    let (relay, folder) = (shore.relay.address.to_string(), shore.text_of("agent"));
    let through = command(&[&["join", &relay, "--directory", &folder], &with_token[..]].concat())
        .env("HTTPS_PROXY", format!("http://{closed}"))
        .spawn()
        .expect("gangplank starts");
    let proxy = format!("the HTTP proxy {closed} (of HTTPS_PROXY)");
    refused(
        &finish(through, "join"),
        &[&proxy, "leads nowhere", "NO_PROXY", again],
    );
    assert_eq!(shore.state_of_token(), "open");
}

#[test]
fn several_relays_are_looked_at_before_the_first_takes_the_token() {
    let shore = Shore::new();
    let (token, kubeconfig) = (shore.token("edge-1.acme"), shore.kubeconfig());
    let (sibling, stranger) = (shore.relay.start_sibling(), Relay::start_enrolling(3600));
    let join = |other: &str| {
        let with_token = [
            "--token-file",
            token.as_str(),
            "--kubeconfig",
            kubeconfig.as_str(),
        ];
        shore.join(&[&[other], &with_token[..]].concat())
    };
    let first = shore.relay.address.to_string();
    refused(&join(&first), &["named twice"]);
    let other = stranger.address.to_string();
    let leave = format!("leave {other} out for now");
    refused(
        &join(&other),
        &[
            "this is not the relay that is meant",
            "the token was not used",
            &leave,
        ],
    );
    assert_eq!(shore.state_of_token(), "open");

    let second = sibling.address.to_string();
    drop(join(&second).expect_success());
    assert_eq!(shore.state_of_token(), "used");
    let config = fs::read_to_string(shore.file("agent/agent.yaml")).expect("readable");
    for relay in [first, second] {
        assert!(config.contains(&relay), "{config}");
    }
    assert_eq!(config.matches(RELAY_NAME).count(), 2, "{config}");
}

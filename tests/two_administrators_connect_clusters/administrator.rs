//! An administrator of one cluster, and what they know and run.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::support::certificates::Authority;
use crate::support::gangplank;
use crate::support::kept::{self, INSTALLATION, Kept};
use crate::support::kubectl::Said;
use crate::support::running::Running;

/// Somebody at one of the two clusters.
#[derive(Clone)]
pub(super) struct Administrator {
    pub(super) cluster: &'static Kept,
    /// What the cluster is called.
    pub(super) name: &'static str,
    /// The authority of its exit.
    exit: &'static Authority,
    /// The same as a file.
    file: Arc<PathBuf>,
    _folder: Arc<tempfile::TempDir>,
}

static SOURCE_EXIT: LazyLock<Authority> = LazyLock::new(|| Authority::new("exit of the source"));
static TARGET_EXIT: LazyLock<Authority> = LazyLock::new(|| Authority::new("exit of the target"));

static SOURCE: LazyLock<Administrator> =
    LazyLock::new(|| Administrator::of(kept::shared(), "source-cluster", &SOURCE_EXIT));
static TARGET: LazyLock<Administrator> =
    LazyLock::new(|| Administrator::of(kept::other(), "target-cluster", &TARGET_EXIT));

/// Both, with an authority of their identities.
pub(super) fn ends() -> (Administrator, Administrator) {
    (SOURCE.clone(), TARGET.clone())
}

/// The answer in what was explained.
pub(super) fn answer_in(explained: &str) -> String {
    let line = explained.lines().find(|line| line.starts_with("eyJ"));
    line.expect("an answer").to_owned()
}

impl Administrator {
    fn of(cluster: &'static Kept, name: &'static str, exit: &'static Authority) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("exit.crt");
        std::fs::write(&file, exit.pem()).expect("a file");
        let this = Self {
            cluster,
            name,
            exit,
            file: Arc::new(file),
            _folder: Arc::new(folder),
        };
        let data = BASE64_STANDARD.encode(exit.pem());
        let server = this.server();
        cluster.apply(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: gangplank-cluster, namespace: {INSTALLATION}}}\n\
             data: {{account: acme, cluster: {name}, server: {server:?}}}\n---\n\
             apiVersion: v1\nkind: Secret\nmetadata: {{name: gangplank-serving-authority, namespace: {INSTALLATION}}}\n\
             data: {{ca.crt: {data}}}\n---\n\
             apiVersion: multicluster.admiralty.io/v1alpha1\nkind: Identity\n\
             metadata: {{name: first, namespace: {INSTALLATION}}}\nspec: {{secretName: first-identity}}\n"
        ));
        cluster.await_reason(INSTALLATION, "identity", "first", "Issued");
        this
    }

    /// Somebody who says that the cluster is called so.
    pub(super) fn under(&self, name: &'static str) -> Self {
        Self {
            name,
            ..self.clone()
        }
    }

    /// Where the cluster is reached.
    pub(super) fn server(&self) -> String {
        format!("https://{}.acme.tunnels.example.com", self.name)
    }

    /// The authority of its exit.
    pub(super) fn authority_pem(&self) -> String {
        self.exit.pem()
    }

    /// The authority of its identities, as the Secret has it.
    pub(super) fn identity_authority(&self) -> Vec<u8> {
        let secret = self
            .cluster
            .get(INSTALLATION, "secret", "gangplank-identity-authority")
            .expect("the authority of identities");
        let text = secret["data"]["ca.crt"].as_str().expect("certificates");
        BASE64_STANDARD.decode(text).expect("base64")
    }

    /// Arguments for this cluster.
    fn arguments<'a>(&'a self, first: &[&'a str], further: &[&'a str]) -> Vec<&'a str> {
        let access = [
            "--kubeconfig",
            self.cluster.kubeconfig(),
            "--installation-namespace",
            INSTALLATION,
        ];
        [first, &access, further].concat()
    }

    /// Runs a command in this cluster.
    pub(super) fn run(&self, words: &[&str]) -> Said {
        gangplank::run(&self.arguments(words, &[]))
    }

    /// Offers something.
    pub(super) fn invite(&self, namespace: &str, roles: &[&str]) -> String {
        let roles: Vec<&str> = roles.iter().flat_map(|role| ["--role", role]).collect();
        let said = gangplank::run(&self.arguments(&["invite", "-n", namespace], &roles));
        said.expect_success().text().trim().to_owned()
    }

    /// The same with the authority in a file.
    pub(super) fn invite_with_authority(&self, namespace: &str, roles: &[&str]) -> String {
        let file = self.file.display().to_string();
        let mut further = vec!["--certificate-authority", &file];
        further.extend(roles.iter().flat_map(|role| ["--role", role]));
        let said = gangplank::run(&self.arguments(&["invite", "-n", namespace], &further));
        said.expect_success().text().trim().to_owned()
    }

    /// Offers something in the name of a cluster that nobody asks.
    pub(super) fn invite_without_cluster(&self, namespace: &str, roles: &[&str]) -> String {
        let (file, server) = (self.file.display().to_string(), self.server());
        let cluster = format!("{}.acme", self.name);
        let mut words = vec![
            "invite",
            "-n",
            namespace,
            "--cluster",
            &cluster,
            "--server",
            &server,
        ];
        words.extend(["--certificate-authority", &file, "--kubeconfig", "/nowhere"]);
        words.extend(roles.iter().flat_map(|role| ["--role", role]));
        gangplank::run(&words)
            .expect_success()
            .text()
            .trim()
            .to_owned()
    }

    /// Accepts a letter.
    pub(super) fn accept(&self, letter: &str, further: &[&str]) -> Said {
        let cluster = format!("{}.acme", self.name);
        gangplank::run(&self.arguments(&["accept", letter, "--cluster", &cluster], further))
    }

    /// The same where somebody can be asked.
    pub(super) fn accept_at_a_terminal(&self, letter: &str, further: &[&str]) -> Running {
        let words = self.arguments(&["accept", letter], further);
        let line = format!("{} {}", gangplank::program().display(), words.join(" "));
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]);
        Running::start(command, "gangplank accept")
    }

    /// What is known of a cluster here.
    pub(super) fn known(&self, name: &str) -> Option<Value> {
        self.cluster.get("default", "knowncluster", name)
    }

    /// An object in the installation's namespace.
    pub(super) fn get_installed(&self, kind: &str, name: &str) -> Option<Value> {
        self.cluster.get(INSTALLATION, kind, name)
    }
}

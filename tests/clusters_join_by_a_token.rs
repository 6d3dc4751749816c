//! A cluster joins with one command, as the manual says; what is wrong with a token is told; a revoked cluster is out.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::cluster::{self, Cluster};
use crate::support::gangplank::{Gangplank, program, run};
use crate::support::kubectl::{Said, finish};
use crate::support::manual::Page;
use crate::support::wait;

/// A folder in which the manual's commands are run, the addresses in them replaced by those of here.
struct Installation {
    folder: TempDir,
    kubectl: PathBuf,
    relay: Option<SocketAddr>,
}

impl Installation {
    fn new(cluster: &Cluster) -> Self {
        let folder = TempDir::new().expect("a folder");
        let kubeconfig = folder.path().join("exit.kubeconfig");
        fs::copy(&cluster.facts.proxy_kubeconfig, kubeconfig).expect("the kubeconfig is readable");
        Self {
            folder,
            kubectl: cluster.facts.kubectl.clone(),
            relay: None,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn here(&self, commands: &str) -> String {
        let commands = commands
            .replace("\"[::]:8443\"", "\"127.0.0.1:0\"")
            .replace("\"127.0.0.1:9090\"", "\"127.0.0.1:0\"");
        match self.relay {
            Some(relay) => commands
                .replace("relay.example.com:8443", &relay.to_string())
                .replace("--port 8443", &format!("--connect {relay}")),
            None => commands,
        }
    }

    fn bash(&self, commands: &str) -> Said {
        let folders =
            [program(), self.kubectl.as_path()].map(|file| file.parent().expect("a folder"));
        let path = folders.map(|folder| folder.display().to_string()).join(":");
        let child = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &self.here(commands)])
            .current_dir(self.folder.path())
            .env(
                "PATH",
                format!("{path}:{}", std::env::var("PATH").unwrap_or_default()),
            )
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bash runs");
        finish(child, commands)
    }

    fn gangplank(&self, arguments: &[&str]) -> Said {
        let mut all: Vec<String> = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        for argument in &mut all {
            if let Some(name) = argument.strip_prefix('@') {
                *argument = self.file(name).display().to_string();
            }
        }
        run(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A new token, in a file.
    fn token(&self, further: &[&str]) -> PathBuf {
        let create = ["token", "create", "--config", "@relay.yaml"];
        let said = self.gangplank(&[&create[..], further].concat());
        let file = self.file("token");
        fs::write(&file, said.expect_success().out).expect("written");
        file
    }

    fn join(&self, token: &Path, folder: &str) -> Said {
        let relay = self.relay.expect("it runs").to_string();
        let (token, folder) = (token.display().to_string(), format!("@{folder}"));
        self.gangplank(&[
            "join",
            &relay,
            "--token-file",
            &token,
            "--directory",
            &folder,
            "--kubeconfig",
            "@exit.kubeconfig",
        ])
    }
}

/// What ended badly with these words.
trait Refused {
    fn refused(self, words: &str);
}

impl Refused for Said {
    fn refused(self, words: &str) {
        assert_ne!(self.code, 0, "{}", self.text());
        assert!(self.err.contains(words), "{}", self.err);
    }
}

/// Runs the manual's page; answers what runs, and who its caller is at the cluster.
fn as_in_the_manual(place: &mut Installation) -> (Gangplank, Vec<Gangplank>, Said) {
    let (mut relay, mut agents, mut whoami) = (None, Vec::new(), None);
    for commands in Page::open("joining.md").all_bash() {
        if commands.starts_with("gangplank relay") {
            let started = Gangplank::start("relay", &place.file("relay.yaml"));
            place.relay = started.address;
            relay = Some(started);
        } else if let Some(file) = commands.strip_prefix("gangplank agent --config ") {
            let file = place.file(file.trim());
            let text = fs::read_to_string(&file).expect("join wrote it");
            let text = text.replace("127.0.0.1:9091", "127.0.0.1:0");
            fs::write(&file, text.replace("127.0.0.1:9092", "127.0.0.1:0")).expect("written");
            let started = Gangplank::start("agent", &file);
            started.await_ready();
            agents.push(started);
        } else {
            let said = place.bash(&commands).expect_success();
            if commands.contains("whoami") {
                whoami = Some(said);
            }
            if commands.contains("edge-1/trust/") {
                await_trust(&agents);
            }
        }
    }
    let (relay, whoami) = (
        relay.expect("in the manual"),
        whoami.expect("in the manual"),
    );
    (relay, agents, whoami)
}

/// A person takes longer to the next line than the agents do to read what was written.
fn await_trust(agents: &[Gangplank]) {
    wait::until("the agents to trust somebody", || {
        let mut providers = agents
            .iter()
            .map(|agent| agent.metric("gangplank_trust_providers"));
        providers
            .all(|providers| providers >= Some(1.0))
            .then_some(())
    });
}

#[test]
fn as_the_manual_says() {
    let cluster = cluster::shared();
    let mut place = Installation::new(cluster);
    let (relay, agents, whoami) = as_in_the_manual(&mut place);
    assert!(
        whoami
            .text()
            .contains("spiffe://team-a.example/ns/shop/id/deployer"),
        "{}",
        whoami.text()
    );
    let listed = place.gangplank(&["cluster", "list", "--config", "@relay.yaml"]);
    assert!(
        listed.text().contains("edge-1.acme   joined"),
        "{}",
        listed.text()
    );
    let config = fs::read_to_string(place.file("edge-1/agent.yaml")).expect("readable");
    assert!(!config.contains("PRIVATE KEY"), "{config}");

    // The second use of its token.
    let again = place.join(&place.file("token"), "again");
    again.refused("the token was used before");
    // A new one only by name, or after the revocation.
    let refused = place.gangplank(&[
        "token",
        "create",
        "--config",
        "@relay.yaml",
        "--cluster",
        "edge-1.acme",
    ]);
    refused.refused("--again");

    assert_eq!(relay.tunnels().len(), 2);
    let revoke = [
        "cluster",
        "revoke",
        "--config",
        "@relay.yaml",
        "edge-1.acme",
    ];
    drop(place.gangplank(&revoke).expect_success());
    wait::until("the revoked tunnel to end", || {
        (relay.tunnels().is_empty()).then_some(())
    });
    wait::until("the agent to be told why", || {
        agents
            .iter()
            .all(|agent| agent.log().contains("revoked"))
            .then_some(())
    });
    place
        .gangplank(&revoke)
        .refused("no certificate and no open token to revoke");
    let anew = place.token(&["--cluster", "edge-1.acme"]);
    drop(agents);
    joins_again_where_it_was(&place, &anew);
}

/// Callers know the exit's authority: who joins again keeps it, and no refusal uses the token up.
fn joins_again_where_it_was(place: &Installation, token: &Path) {
    let authority = || fs::read(place.file("edge-1/exit-ca/ca.crt")).expect("readable");
    let before = authority();
    let away = |name: &str| {
        let (file, elsewhere) = (format!("edge-1/{name}"), format!("edge-1/{name}.before"));
        fs::rename(place.file(&file), place.file(&elsewhere)).expect("moved");
    };
    away("agent.yaml");
    away("agent.pem");
    place.join(token, "edge-1").refused("relay-ca.crt");
    away("relay-ca.crt");
    away("exit.key");
    place.join(token, "edge-1").refused("without exit.key");
    let (away, back) = ("edge-1/exit.key.before", "edge-1/exit.key");
    fs::rename(place.file(away), place.file(back)).expect("moved");
    drop(place.join(token, "edge-1").expect_success());
    assert_eq!(authority(), before);
}

#[test]
fn what_is_wrong_with_a_token_is_told() {
    let cluster = cluster::shared();
    let mut place = Installation::new(cluster);
    let pages = Page::open("joining.md").all_bash();
    let [set_up, ..] = pages.as_slice() else {
        panic!("the manual begins with the relay");
    };
    drop(place.bash(set_up).expect_success());
    let relay = Gangplank::start("relay", &place.file("relay.yaml"));
    place.relay = relay.address;

    let expired = place.token(&["--cluster", "edge-1.acme", "--ttl", "1s"]);
    wait::until("the token to expire", || {
        let list = place.gangplank(&["token", "list", "--config", "@relay.yaml"]);
        list.text().contains("expired").then_some(())
    });
    place.join(&expired, "a").refused("the token expired at");

    let good = place.token(&["--cluster", "edge-2.acme"]);
    let text = fs::read_to_string(&good).expect("readable");
    let cut = place.file("cut");
    let (most, _lost) = text.trim().split_at(text.len() - 8);
    fs::write(&cut, most).expect("written");
    place.join(&cut, "a").refused("it is not whole");
    fs::write(&cut, "something else").expect("written");
    place
        .join(&cut, "a")
        .refused("`gangplank token create` printed");

    // Another relay of the same name: the pin is of the first one's authority.
    let mut other = Installation::new(cluster);
    drop(other.bash(set_up).expect_success());
    let impostor = Gangplank::start("relay", &other.file("relay.yaml"));
    other.relay = impostor.address;
    other
        .join(&good, "a")
        .refused("this is not the relay that is meant");
    assert!(!other.file("a/agent.pem").exists(), "nothing is left of it");

    // Deleted before it was used.
    let list = place.gangplank(&["token", "list", "--config", "@relay.yaml", "-o", "json"]);
    let tokens: serde_json::Value = serde_json::from_str(&list.text()).expect("JSON");
    assert!(!list.text().contains(text.trim()), "no secret in a list");
    let open = tokens
        .as_array()
        .and_then(|all| all.iter().find(|token| token["state"] == "open"));
    let id = open
        .and_then(|token| token["id"].as_str())
        .expect("one is open")
        .to_owned();
    let delete = ["token", "delete", "--config", "@relay.yaml", &id];
    drop(place.gangplank(&delete).expect_success());
    place
        .join(&good, "a")
        .refused("this relay does not know the token");
    place
        .gangplank(&delete)
        .refused("there is no token of this ID");

    revocation_ends_a_token_that_went_astray(&place);
}

/// With its cluster, which has not joined.
fn revocation_ends_a_token_that_went_astray(place: &Installation) {
    let astray = place.token(&["--cluster", "edge-4.acme"]);
    let revoke = [
        "cluster",
        "revoke",
        "--config",
        "@relay.yaml",
        "edge-4.acme",
    ];
    let revoked = place.gangplank(&revoke).expect_success().text();
    assert!(revoked.contains("edge-4.acme revoked (1 open token)"));
    place
        .join(&astray, "a")
        .refused("this relay does not know the token");
    place
        .gangplank(&revoke)
        .refused("no certificate and no open token");
}

/// The relay of the manual, which believes the service account `joining/agent` of a cluster to be edge-3.acme.
fn relay_that_believes_an_account(place: &mut Installation, cluster: &Cluster) -> Gangplank {
    let pages = Page::open("joining.md").all_bash();
    drop(place.bash(&pages[0]).expect_success());
    let get = |path: &str| cluster.admin(&["get", "--raw", path]);
    fs::write(place.file("edge-3.jwks.json"), get("/openid/v1/jwks")).expect("written");
    let discovered: serde_json::Value =
        serde_json::from_str(&get("/.well-known/openid-configuration")).expect("JSON");
    let issuer = discovered["issuer"].as_str().expect("an issuer");
    let heading = "Clusters whose service account is the proof";
    let accounts = Page::open("joining.md").yaml(heading).remove(0);
    let accounts = accounts.replace("https://kubernetes.default.svc.cluster.local", issuer);
    let file = place.file("relay.yaml");
    let text = fs::read_to_string(&file).expect("readable");
    fs::write(&file, text.replace("enrolment:\n", &accounts)).expect("written");
    let relay = Gangplank::start("relay", &file);
    place.relay = relay.address;
    relay
}

/// The cluster's own service account is the proof: the relay was given the keys of its issuer.
#[test]
fn by_the_token_of_a_service_account() {
    let cluster = cluster::shared();
    let mut place = Installation::new(cluster);
    let _relay = relay_that_believes_an_account(&mut place, cluster);
    let namespace = "joining";
    cluster.admin(&["create", "namespace", namespace]);
    for account in ["agent", "other"] {
        cluster.admin(&["-n", namespace, "create", "serviceaccount", account]);
    }
    let at = place.relay.expect("it runs").to_string();
    let join = |account: &str, audience: &str, name: &str, folder: &str| {
        let audience = format!("--audience={audience}");
        let token = cluster.admin(&["-n", namespace, "create", "token", account, &audience]);
        fs::write(place.file("account-token"), token).expect("written");
        let line = format!(
            "join {at} --service-account-token-file @account-token --cluster {name} --relay-ca @relay-ca/ca.crt \
             --server-name relay.example.com --directory @{folder} --kubeconfig @exit.kubeconfig"
        );
        place.gangplank(&line.split(' ').collect::<Vec<_>>())
    };
    let audience = "relay.example.com";
    join("other", audience, "edge-3.acme", "a").refused("the service account's token was refused");
    join("agent", "elsewhere", "edge-3.acme", "a").refused("InvalidAudience");
    join("agent", audience, "edge-4.acme", "a")
        .refused("no service account may join as edge-4.acme");
    drop(join("agent", audience, "edge-3.acme", "a").expect_success());
    let listed = place.gangplank(&["cluster", "list", "--config", "@relay.yaml"]);
    assert!(
        listed.text().contains("edge-3.acme   joined"),
        "{}",
        listed.text()
    );
    // It may come again, until it is revoked.
    drop(join("agent", audience, "edge-3.acme", "b").expect_success());
    let revoke = [
        "cluster",
        "revoke",
        "--config",
        "@relay.yaml",
        "edge-3.acme",
    ];
    drop(place.gangplank(&revoke).expect_success());
    join("agent", audience, "edge-3.acme", "c").refused("the cluster was revoked");
}

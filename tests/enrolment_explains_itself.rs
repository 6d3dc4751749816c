//! What an operator reads of joining and renewing: in the relay's log and status, and in the agent's.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;

use rcgen::{ExtendedKeyUsagePurpose, SanType};
use tempfile::TempDir;

use crate::support::certificates::leaf_params;
use crate::support::etcd::Etcd;
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank::{Gangplank, command, events, run};
use crate::support::path::Relay;
use crate::support::wait;

const NAME: &str = "harbour.acme";

/// A cluster that has joined, and whose agent does not run yet.
struct Joined {
    relay: Relay,
    folder: TempDir,
    _fake: FakeApiServer,
}

impl Joined {
    async fn new() -> Self {
        let relay = Relay::start_enrolling(3600);
        let fake = FakeApiServer::echo().await;
        let folder = relay.enrol(NAME, &fake.kubeconfig());
        let config = folder.path().join("agent.yaml");
        let text = fs::read_to_string(&config).expect("join wrote it");
        fs::write(&config, text.replace("127.0.0.1:9091", "127.0.0.1:0")).expect("written");
        Self {
            relay,
            folder,
            _fake: fake,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// In the place of its certificate stands one that is over.
    fn expire(&self) {
        let mut params = leaf_params(NAME, ExtendedKeyUsagePurpose::ClientAuth);
        params.subject_alt_names = vec![SanType::DnsName(NAME.try_into().expect("a name"))];
        params.not_after = rcgen::date_time_ymd(2021, 2, 3);
        let expired = self.relay.agents().sign(&params);
        let place = TempDir::new().expect("a folder");
        expired.write(place.path(), "agent");
        let parts = ["agent.key", "agent.crt"];
        let parts = parts.map(|part| fs::read_to_string(place.path().join(part)).expect("written"));
        fs::write(self.file("agent.pem"), parts.concat()).expect("written");
    }

    fn start(&self) -> Gangplank {
        Gangplank::start("agent", &self.file("agent.yaml"))
    }
}

fn table(role: &Gangplank) -> String {
    run(&["status", "--admin", &role.admin.to_string()])
        .expect_success()
        .text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_join_is_logged_with_who_asked() {
    let joined = Joined::new().await;
    let fake = FakeApiServer::echo().await;
    let token = joined.relay.token("quay.acme");
    drop(
        joined
            .relay
            .join(&token, &fake.kubeconfig())
            .1
            .expect_success(),
    );
    let (_folder, said) = joined.relay.join(&token, &fake.kubeconfig());
    assert_ne!(said.code, 0, "{}", said.text());
    let log = joined.relay.process.log();
    let refused = events(&log)
        .into_iter()
        .find(|event| event["reason"] == "TokenUsed");
    let refused = refused.expect("it is in the log");
    assert_eq!(refused["cluster"], "quay.acme", "{refused}");
    let from = refused["span"]["client.addr"].as_str().unwrap_or_default();
    assert!(from.starts_with("127.0.0.1:"), "{refused}");
    let config = joined
        .relay
        .folder()
        .join("relay.yaml")
        .display()
        .to_string();
    let listed = run(&["token", "list", "--config", &config]).expect_success();
    let id = refused["token"].as_str().expect("the token's ID");
    assert!(listed.text().contains(id), "{refused}");
    assert!(!log.contains(&token), "no secret in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_register_in_use_is_shown() {
    let relay = Relay::start_enrolling(3600);
    let place = relay.process.status()["relay"]["register"]["place"].clone();
    let place = place.as_str().expect("a place");
    assert!(
        place.starts_with("file ") && place.ends_with("enrolment.db"),
        "{place}"
    );
    let shown = table(&relay.process);
    assert!(shown.contains(&format!("Register: {place}")), "{shown}");
    let without = Relay::start();
    let shown = table(&without.process);
    assert!(shown.contains("Register: none"), "{shown}");
}

/// An etcd that accepts connections and says nothing: the relay waits longer than a person does.
#[test]
fn a_register_that_is_waited_for_is_named() {
    let etcd = Etcd::start();
    let relay = Relay::start_with(&Relay::enrolment(&etcd.register("/gangplank/")));
    let place = relay.process.status()["relay"]["register"]["place"].clone();
    let place = place.as_str().expect("a place").to_owned();
    assert!(
        place.starts_with("etcd 127.0.0.1:") && place.ends_with("/gangplank/"),
        "{place}"
    );
    relay.process.kill();
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = mute.local_addr().expect("an address").to_string();
    let members = place
        .strip_prefix("etcd ")
        .and_then(|rest| rest.split_once(','));
    let (member, _) = members.expect("a member");
    let file = relay.folder().join("relay.yaml");
    let text = fs::read_to_string(&file).expect("readable");
    fs::write(&file, text.replace(member, &address)).expect("written");
    let mut child = command(&["relay", "--config", &file.display().to_string()])
        .spawn()
        .expect("gangplank starts");
    let said = BufReader::new(child.stderr.take().expect("piped"));
    let told = said
        .lines()
        .map(|line| line.expect("text"))
        .find(|line| line.contains("waits for its register"));
    assert!(
        told.is_some_and(|line| line.contains(&address)),
        "it names the register"
    );
    child.kill().expect("our own child");
    child.wait().expect("our own child");
}

/// What stands in the way of the next certificate is told at the start, and the tunnel stands meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_which_nothing_can_be_renewed_is_told_at_the_start() {
    let joined = Joined::new().await;
    // In the way of the file that is written first; the rights of a folder do not hold for root.
    fs::create_dir(joined.file("agent.pem.new")).expect("created");
    let agent = joined.start();
    agent.await_ready();
    let warned = wait::until("the status to warn of it", || {
        let warning = agent.status()["warnings"][0].clone();
        warning.as_str().map(str::to_owned)
    });
    assert!(
        warned.contains("could not be replaced by the next certificate"),
        "{warned}"
    );
    assert!(agent.log().contains("FileUnwritable"), "{}", agent.log());
    let shown = table(&agent);
    assert!(
        shown.contains("Warning: ") && !shown.contains("due since"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_names_the_way_back() {
    let joined = Joined::new().await;
    joined.expire();
    let agent = joined.start();
    let again = format!("gangplank token create --config FILE --again --cluster {NAME}");
    let there = "gangplank join RELAY --token-file FILE --again --directory DIR";
    wait::until("the log to name the way back", || {
        let log = agent.log();
        let line = log.lines().find(|line| line.contains("expired at 2021"))?;
        (line.contains(&again) && line.contains(there)).then_some(())
    });
    wait::until("the status to say that renewal is due", || {
        let shown = table(&agent);
        (shown.contains("Renewal: due since ") && shown.contains(", retrying; last error: "))
            .then_some(())
    });

    // That way leads back, beside the running agent.
    let config = joined
        .relay
        .folder()
        .join("relay.yaml")
        .display()
        .to_string();
    let create = [
        "token",
        "create",
        "--config",
        &config,
        "--again",
        "--cluster",
        NAME,
    ];
    let token = run(&create).expect_success();
    fs::write(joined.file("token"), &token.out).expect("written");
    let before = fs::read_to_string(joined.file("agent.yaml")).expect("readable");
    let (relay, token) = (
        joined.relay.address.to_string(),
        joined.file("token").display().to_string(),
    );
    let folder = joined.folder.path().display().to_string();
    let join = [
        "join",
        &relay,
        "--token-file",
        &token,
        "--again",
        "--directory",
        &folder,
    ];
    drop(run(&join).expect_success());
    agent.await_ready();
    let after = fs::read_to_string(joined.file("agent.yaml")).expect("readable");
    assert_eq!(before, after);
    fs::write(joined.file("token"), joined.relay.token("quay.acme")).expect("written");
    let said = run(&join);
    assert_ne!(said.code, 0, "{}", said.text());
    let of_another = format!("is of {NAME}, and this token makes quay.acme");
    assert!(said.err.contains(&of_another), "{}", said.err);
}

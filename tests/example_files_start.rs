//! The files under `docs/examples` start as they are, with papers made by `gangplank pki`; a key that nobody knows is
//! refused wherever it stands, in them and in whatever the pages and the demo show.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank::{self, Gangplank};
use crate::support::wait;

mod charted;
mod shown;

/// On ports of the kernel's choice; an agent has no `--listen`.
fn anywhere(role: &str) -> &'static [&'static str] {
    let arguments = &["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    if matches!(role, "agent" | "controller") {
        &arguments[2..]
    } else {
        arguments
    }
}

const TRUST: &str = "trust/team-a.yaml";
const PLACEHOLDER: &str = "REPLACE-WITH-BASE64-OF-YOUR-CA";

/// A copy of the examples with everything that they name.
struct Examples(tempfile::TempDir);

impl Examples {
    fn furnished(server: &FakeApiServer) -> Self {
        let examples = Self(tempfile::tempdir().expect("a folder"));
        fs::create_dir(examples.path("trust")).expect("a folder");
        for file in [
            "relay.yaml",
            "agent.yaml",
            "proxy.yaml",
            "controller.yaml",
            TRUST,
        ] {
            fs::copy(original(file), examples.path(file)).expect("an example");
        }
        for authority in ["relay", "agents", "exit", "team-a"] {
            examples.verb(&format!(
                "pki init ca/{authority} --common-name {authority}"
            ));
        }
        examples.verb("pki issue --for relay --ca ca/relay --host relay.example.com --out relay");
        examples.verb("pki issue --for agent --ca ca/agents --cluster harbour.acme --out agent");
        examples.verb(
            "pki issue --for exit --ca ca/exit --cluster harbour.acme --domain tunnels.example.com --out exit",
        );
        fs::copy(
            examples.path("ca/relay/ca.crt"),
            examples.path("relay-ca.crt"),
        )
        .expect("copied");
        fs::copy(
            examples.path("ca/agents/ca.crt"),
            examples.path("agents-ca.crt"),
        )
        .expect("copied");
        let authority = fs::read(examples.path("ca/team-a/ca.crt")).expect("a certificate");
        examples.change(TRUST, |text| {
            text.replace(PLACEHOLDER, &BASE64_STANDARD.encode(authority))
        });
        let kubeconfig = fs::read_to_string(server.kubeconfig()).expect("a kubeconfig");
        let kubeconfig = kubeconfig.replace("contexts: [{name: fake,", "contexts: [{name: exit,");
        fs::write(
            examples.path("upstream.kubeconfig"),
            kubeconfig.replace("current-context: fake", "current-context: exit"),
        )
        .expect("written");
        examples
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn verb(&self, line: &str) {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let child = gangplank::command(&arguments)
            .current_dir(self.0.path())
            .spawn();
        crate::support::kubectl::finish(child.expect("gangplank starts"), line).expect_success();
    }

    fn change(&self, file: &str, change: impl FnOnce(&str) -> String) {
        let text = fs::read_to_string(self.path(file)).expect("readable");
        fs::write(self.path(file), change(&text)).expect("written");
    }

    /// Runs the role that reads this file, which must refuse it; answers what it says.
    fn refusal(&self, file: &str) -> String {
        let role = match file {
            TRUST => "proxy",
            role_file => role_file.trim_end_matches(".yaml"),
        };
        let config = self.path(&format!("{role}.yaml")).display().to_string();
        let said = gangplank::run(&[&[role, "--config", &config], anywhere(role)].concat());
        assert_eq!(said.code, 2, "{}{}", said.text(), said.err);
        said.err
    }
}

fn original(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/examples")
        .join(file)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_as_it_is() {
    let server = FakeApiServer::echo().await;
    let examples = Examples::furnished(&server);
    for (role, ready) in [("relay", true), ("agent", false), ("proxy", true)] {
        let file = examples.path(&format!("{role}.yaml"));
        let running = Gangplank::start_with(role, &file, anywhere(role));
        if ready {
            running.await_ready();
        } else {
            // There is no relay.example.com; everything else about it is fine.
            wait::until("the agent to say what it lacks", || {
                let (ready, said) = running.readiness();
                let lacking: Vec<&str> =
                    said.lines().filter(|line| line.starts_with("- ")).collect();
                (!ready
                    && lacking.len() == 1
                    && lacking[0].contains("no tunnel to relay.example.com:8443"))
                .then_some(())
            });
        }
    }
    // The trust file is an example too: as long as nobody has put an authority in, it says so.
    fs::copy(original(TRUST), examples.path(TRUST)).expect("copied");
    let said = examples.refusal(TRUST);
    let line = place_of(&examples, TRUST, "certificateAuthorityData").0;
    assert!(
        said.contains(&format!("{}:{line}:", examples.path(TRUST).display())),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_key_but_those_that_are_known() {
    let server = FakeApiServer::echo().await;
    let examples = Examples::furnished(&server);
    for file in ["relay.yaml", "agent.yaml", "proxy.yaml", TRUST] {
        let good = fs::read_to_string(examples.path(file)).expect("readable");
        let keys = keys_of(&good);
        assert!(keys.len() > 7, "{file}: {keys:?}");
        for (line, start, end) in keys {
            let lines = good.lines().enumerate();
            let broken: Vec<String> = lines
                .map(|(number, text)| match number + 1 == line {
                    true => renamed(text, start, end),
                    false => text.to_owned(),
                })
                .collect();
            fs::write(examples.path(file), broken.join("\n")).expect("written");
            let said = examples.refusal(file);
            let place = format!("{}:{line}:{}: ", examples.path(file).display(), start + 1);
            let key = good
                .lines()
                .nth(line - 1)
                .and_then(|text| text.get(start..end))
                .expect("that key");
            // Without these nobody can tell which object it is, and so what its keys should be.
            let lacks = matches!(key, "apiVersion" | "kind" | "metadata")
                && said.contains(&format!("lacks the key `{key}`"));
            assert!(
                lacks || said.contains(&place) && said.contains("unheardOf"),
                "{place}\n{said}"
            );
        }
        fs::write(examples.path(file), &good).expect("written");
    }
}

/// Everything that a person may copy: each example file, each example in a page, each file that the demo writes.
#[tokio::test(flavor = "multi_thread")]
async fn with_one_unknown_key_more_they_do_not() {
    let server = FakeApiServer::echo().await;
    let examples = Examples::furnished(&server);
    let all = shown::everything(Path::new(env!("CARGO_MANIFEST_DIR")));
    for part in [
        "docs/examples/",
        "docs/trust.md",
        "docs/joining.md",
        "docs/operate.md",
        "demo/",
    ] {
        let found = all.iter().any(|example| example.place.starts_with(part));
        assert!(found, "no example in {part}");
    }
    for shown::Example { place, file, text } in all {
        let good = fs::read_to_string(examples.path(file)).expect("readable");
        for broken in shown::with_an_unknown_key(&text) {
            fs::write(examples.path(file), &broken.text).expect("written");
            let said = examples.refusal(file);
            let (line, column) = broken.place;
            let at = format!("{}:{line}:{column}: ", examples.path(file).display());
            let told = said
                .lines()
                .any(|said| said.contains(&at) && said.contains("unheardOf"));
            assert!(told, "{place}\n{}\n{at}\n{said}", broken.text);
        }
        fs::write(examples.path(file), good).expect("written");
    }
}

/// A line with another key between two columns.
fn renamed(line: &str, start: usize, end: usize) -> String {
    let (before, behind) = (line.split_at(start).0, line.split_at(end).1);
    format!("{before}unheardOf{behind}")
}

/// Line (from 1), start and end (from 0) of every key in a file without anchors and block texts.
fn keys_of(text: &str) -> Vec<(usize, usize, usize)> {
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let content = line.split(" #").next().unwrap_or_default();
        if content.trim_start().starts_with('#') {
            continue;
        }
        for (end, _) in content.match_indices(':') {
            if matches!(content.as_bytes().get(end + 1), None | Some(b' ')) {
                let start = content
                    .split_at(end)
                    .0
                    .rfind([' ', '{'])
                    .map_or(0, |before| before + 1);
                keys.push((number + 1, start, end));
            }
        }
    }
    keys
}

fn place_of(examples: &Examples, file: &str, key: &str) -> (usize, usize) {
    let text = fs::read_to_string(examples.path(file)).expect("readable");
    let found = text
        .lines()
        .enumerate()
        .find_map(|(number, line)| Some((number + 1, line.find(key)?)));
    found.expect("it is there")
}

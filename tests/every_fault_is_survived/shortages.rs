//! Where things run out: file descriptors at the relay and at the agent, and the disk of the relay's register.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::ground::Ground;
use super::ledger::seconds;
use super::story::{Mark, Row};
use crate::support::afar::{Hosts, Terms};
use crate::support::gangplank::{self, Gangplank, Surroundings};
use crate::support::hosts;
use crate::support::kubectl::{Said, finish};

/// How long descriptors are short: a folder of trust is looked at every two seconds, so that is hit, too.
const SHORT: Duration = Duration::from_secs(3);

/// So few that a role has them all, and no call that needs another is granted.
const FEW: &str = "16";

/// Bytes of the register's file system.
const DISK: &str = "1m";

pub(super) fn relay_without_descriptors() -> Row {
    let ground = Ground::new();
    without_descriptors(
        ground,
        "no file descriptors at the relay for 3 s",
        |ground| &ground.afar.relay().process,
    )
}

pub(super) fn agent_without_descriptors() -> Row {
    let ground = Ground::new();
    without_descriptors(
        ground,
        "no file descriptors at the agent for 3 s",
        |ground| &ground.afar.site.exit,
    )
}

fn without_descriptors(ground: Ground, fault: &str, whose: fn(&Ground) -> &Gangplank) -> Row {
    let role = whose(&ground);
    let usual = soft_limit(role);
    let struck = Mark::now();
    limit(role, FEW);
    sleep(SHORT);
    limit(role, &usual);
    let mended = Mark::now();
    ground.tell(fault, struck, mended)
}

/// How many descriptors a role may have (proc(5), `limits`).
fn soft_limit(role: &Gangplank) -> String {
    let limits = fs::read_to_string(format!("/proc/{}/limits", role.pid())).expect("it runs");
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|fields| fields.split_whitespace().next());
    soft.expect("a limit").to_owned()
}

/// Changes it; the hard limit stays.
fn limit(role: &Gangplank, soft: &str) {
    let set = Command::new("prlimit")
        .args([
            "--pid",
            &role.pid().to_string(),
            &format!("--nofile={soft}:"),
        ])
        .status();
    assert!(set.expect("prlimit, of util-linux").success(), "it is set");
}

/// A relay whose register is on a file system of its own, which is full for a while.
pub(super) fn full_disk() -> Row {
    let disk = tempfile::tempdir().expect("a folder");
    let register = disk.path().display();
    let script = format!("mount -t tmpfs -o size={DISK} none {register} && exec \"$@\"");
    let through = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let terms = Terms {
        relay: Surroundings {
            through: through.map(str::to_owned).to_vec(),
            ..Surroundings::default()
        },
        relay_further: format!(
            "enrolment:\n  certificateFile: agents-ca.crt\n  keyFile: agents-ca.key\n  relayCAFile: relay-ca.crt\n  \
             register: {{ file: {register}/enrolment.db }}\n"
        ),
        ..Terms::default()
    };
    let ground = Ground::between(Hosts::new(), terms);
    let early = token(&ground, "early.acme").expect_success();
    let struck = Mark::now();
    let ballast = fill(&ground.afar.relay().process, disk.path());
    let (refused, late) = (
        join(&ground, early.text().trim()),
        token(&ground, "late.acme"),
    );
    assert!(late.err.contains("database or disk is full"), "{late:?}");
    let why = "the relay cannot issue now, its log says why";
    assert!(refused.err.contains(why), "{refused:?}");
    fs::remove_file(ballast).expect("ours");
    let mended = Mark::now();
    join(&ground, early.text().trim()).expect_success();
    let again = mended.at.elapsed();
    token(&ground, "late.acme").expect_success();
    let mut row = ground.tell("the disk of the relay's register is full", struck, mended);
    row.back = format!("{} (a cluster that joins)", seconds(again));
    row.ended = "`token create` and `join`: refused with what is wrong".to_owned();
    row
}

/// Makes a token, with the relay's view of the disk.
fn token(ground: &Ground, name: &str) -> Said {
    let relay = ground.afar.relay();
    let (pid, config) = (
        relay.process.pid().to_string(),
        relay.folder().join("relay.yaml"),
    );
    let through = ["nsenter", "--target", &pid, "--mount"].map(str::to_owned);
    let config = config.display().to_string();
    let arguments = ["token", "create", "--config", &config, "--cluster", name];
    let mut command = gangplank::command_through(&through, &arguments);
    finish(
        command.spawn().expect("nsenter, of util-linux"),
        "token create",
    )
}

/// Joins from the cluster's host.
fn join(ground: &Ground, token: &str) -> Said {
    let afar = &ground.afar;
    let folder = tempfile::tempdir().expect("a folder");
    let (relay, folder) = (
        afar.relay().address.to_string(),
        folder.path().join("agent").display().to_string(),
    );
    let kubeconfig = afar.api_server.kubeconfig().display().to_string();
    let arguments = [
        "join",
        &relay,
        "--token",
        token,
        "--directory",
        &folder,
        "--kubeconfig",
        &kubeconfig,
    ];
    let mut command = gangplank::command(&arguments);
    let joining = hosts::at(Some(&afar.hosts.cluster), || command.spawn());
    finish(joining.expect("it starts"), "join")
}

/// Fills a file system as a role sees it; answers the file that does.
fn fill(role: &Gangplank, disk: &Path) -> std::path::PathBuf {
    let seen = format!("/proc/{}/root{}/ballast", role.pid(), disk.display());
    let filled = Command::new("dd")
        .args(["if=/dev/zero", "bs=4k", &format!("of={seen}")])
        .stderr(Stdio::null())
        .status();
    assert!(
        !filled.expect("dd").success(),
        "it ends when nothing more goes in"
    );
    seen.into()
}

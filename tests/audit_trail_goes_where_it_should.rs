//! The audit trail goes to standard error, to standard output, to a file that is rotated, or nowhere; and all of it is
//! there when the exit has ended in order.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use http::Request;
use serde_json::Value;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank;
use crate::support::path::Site;
use crate::support::{audit, caller, wait};

/// A path so long that its events fill files of a mebibyte soon.
fn path(number: usize) -> String {
    format!("/{number}/{}", "\\".repeat(2000))
}

/// Asks for this many paths and waits for each answer.
async fn ask(site: &Site, organisation: &Organisation, paths: impl Iterator<Item = String>) {
    let mut connection =
        Connection::open(site, Some(&organisation.caller("a")), Protocol::Two).await;
    for path in paths {
        let request = Request::get(path)
            .header("authorization", "Bearer secret")
            .body(caller::body(""));
        let answer = connection.send(request.expect("a request")).await;
        assert_eq!(answer.expect("an answer").status(), 200);
    }
}

/// The numbers of [`path`] in events, in their order.
fn numbers(events: &[Value]) -> Vec<usize> {
    let paths = events.iter().filter_map(|event| event["path"].as_str());
    let numbers = paths.filter_map(|path| path.split('/').nth(1)?.parse().ok());
    numbers.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn to_files_that_are_rotated() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let audit = "{ sink: file, file: { path: audit.log, maxSize: 1Mi, keep: 2 } }";
    let mut site = Site::direct_with_audit(&fake.kubeconfig(), &[&organisation], audit);
    let file = |name: &str| site.folder().join(name);
    let files = ["audit.log.2", "audit.log.1", "audit.log"].map(file);

    ask(&site, &organisation, (0..250).map(path)).await;
    assert!(site.exit.terminate().success());
    let trail: Vec<Value> = files
        .iter()
        .flat_map(|file| audit::trail_in(file))
        .collect();
    assert_eq!(
        numbers(&trail),
        (0..250).collect::<Vec<_>>(),
        "each once, in order"
    );
    assert!(files[0].exists(), "it was rotated twice");
    assert!(
        audit::trail(&site.exit.log()).is_empty(),
        "and not in the log"
    );

    site.restart_exit();
    ask(&site, &organisation, (250..400).map(path)).await;
    assert!(site.exit.terminate().success());
    for file in &files {
        let size = fs::metadata(file).expect("it is there").len();
        assert!(size <= 1 << 20, "{} has {size} bytes", file.display());
        let text = fs::read_to_string(file).expect("readable");
        assert_eq!(
            text.lines().count(),
            audit::trail(&text).len(),
            "whole lines"
        );
        assert!(!text.contains("secret"));
    }
    let trail: Vec<Value> = files
        .iter()
        .flat_map(|file| audit::trail_in(file))
        .collect();
    let kept = numbers(&trail);
    let first = 400 - kept.len();
    assert!(first > 0, "the oldest are gone");
    assert_eq!(kept, (first..400).collect::<Vec<_>>());
    assert!(!site.folder().join("audit.log.3").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_file_that_others_move() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let audit = "{ sink: file, file: { path: audit.log } }";
    let site = Site::direct_with_audit(&fake.kubeconfig(), &[&organisation], audit);
    let (file, moved) = (site.folder().join("audit.log"), site.folder().join("moved"));
    ask(&site, &organisation, (0..3).map(path)).await;
    await_numbers(&file, &[0, 1, 2]);
    fs::rename(&file, &moved).expect("renamed");
    ask(&site, &organisation, (3..6).map(path)).await;
    await_numbers(&file, &[3, 4, 5]);
    assert_eq!(numbers(&audit::trail_in(&moved)), [0, 1, 2]);
}

fn await_numbers(file: &Path, expected: &[usize]) {
    wait::until("the events in the file", || {
        (numbers(&audit::trail_in(file)) == expected).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn to_standard_output() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let audit = "{ sink: stdout }";
    let site = Site::direct_with_audit(&fake.kubeconfig(), &[&organisation], audit);
    // Once more by hand, because tests throw standard output away.
    assert!(site.exit.terminate().success());
    let (config, output) = (
        site.folder().join("proxy.yaml"),
        site.folder().join("stdout"),
    );
    let config = config.display().to_string();
    let listen = [
        "proxy",
        "--config",
        &config,
        "--listen",
        &site.address.to_string(),
    ]
    .map(str::to_owned);
    let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
    let mut exit = gangplank::command(&listen)
        .stdout(File::create(&output).expect("a file"))
        .stderr(Stdio::null())
        .spawn()
        .expect("gangplank starts");
    wait::until("it to listen", || {
        std::net::TcpStream::connect(site.address).ok()
    });
    ask(&site, &organisation, (0..3).map(path)).await;
    await_numbers(&output, &[0, 1, 2]);
    let text = fs::read_to_string(&output).expect("readable");
    assert_eq!(text.lines().count(), 3, "nothing else: {text}");
    exit.kill().expect("our own child can be ended");
    exit.wait().expect("and waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_standard_error_whatever_the_log_is() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let site = Site::direct_with_audit(&fake.kubeconfig(), &[&organisation], "{ sink: stderr }");
    ask(&site, &organisation, (0..100).map(path)).await;
    assert!(site.exit.terminate().success());
    let trail = audit::trail(&site.exit.log());
    assert_eq!(
        numbers(&trail),
        (0..100).collect::<Vec<_>>(),
        "all, also the last"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nowhere() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let site = Site::direct_with_audit(&fake.kubeconfig(), &[&organisation], "{ sink: off }");
    ask(&site, &organisation, (0..3).map(path)).await;
    assert!(site.exit.terminate().success());
    assert!(audit::trail(&site.exit.log()).is_empty());
    let sent = fake.arrived();
    let ids: Vec<String> = sent.iter().flat_map(|it| it.values("audit-id")).collect();
    assert_eq!(
        ids.len(),
        3,
        "the API server's audit log has its ids all the same"
    );
}

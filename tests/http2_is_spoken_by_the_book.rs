//! HTTP/2 as RFC 9113 and RFC 7541 have it, in the eyes of h2spec, with a certificate shown and the exit behind a tunnel.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use http_body_util::BodyExt as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::caller;
use crate::support::certificates::{Organisation, Papers};
use crate::support::fake_api_server::{FakeApiServer, ok};
use crate::support::path::{Site, Way};

/// Tests that h2spec 2.2.1 has, the strict ones included. kube-apiserver passes 141 of them.
const TESTS: usize = 146;

#[tokio::test(flavor = "multi_thread")]
async fn in_all_that_h2spec_asks() {
    // It answers when it has heard everything: an answer that overtakes a fault is no answer to it.
    let fake = FakeApiServer::start(&["h2", "http/1.1"], |request| {
        Box::pin(async {
            drop(request.into_body().collect().await);
            ok("{\"kind\":\"APIVersions\"}")
        })
    })
    .await;
    let organisation = Organisation::new("acme");
    let site = Arc::new(Site::start(
        Way::Tunnel,
        &fake.kubeconfig(),
        &[&organisation],
    ));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let papers = Arc::new(organisation.caller("a"));
    let mut connections = JoinSet::new();
    let report = tokio::task::spawn_blocking(move || ask_h2spec(&address));
    tokio::pin!(report);
    let (report, said) = loop {
        tokio::select! {
            report = &mut report => break report.expect("it ran"),
            accepted = listener.accept() => {
                let (site, papers) = (Arc::clone(&site), Arc::clone(&papers));
                let (plain, _) = accepted.expect("a connection");
                connections.spawn(async move { show_papers(plain, &site, &papers).await });
            }
        }
    };
    let passed = report.lines().filter(|line| line.starts_with("passed "));
    assert_eq!(passed.count(), TESTS, "{said}\n{report}");
    assert_eq!(report.lines().count(), TESTS, "{report}");
}

/// Passes on what h2spec says, behind the TLS that it does not speak.
async fn show_papers(mut plain: TcpStream, site: &Site, papers: &Papers) {
    let mut tls = caller::board(site, Some(papers), &["h2"])
        .await
        .expect("the handshake");
    // Half of the tests end with a broken connection, which is what they are for.
    drop(copy_bidirectional(&mut plain, &mut tls).await);
}

/// The outcome of each test, and what h2spec said about it all.
fn ask_h2spec(address: &str) -> (String, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/h2spec/build.sh");
    let built = Command::new(script)
        .stderr(Stdio::inherit())
        .output()
        .expect("tests/h2spec/build.sh starts");
    assert!(built.status.success(), "h2spec was not built; see above");
    let program = String::from_utf8(built.stdout).expect("a path");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = folder.path().join("report");
    let ran = Command::new(program.trim())
        .arg(address)
        .arg(&report)
        .output()
        .expect("h2spec starts");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "h2spec failed: {said}");
    (fs::read_to_string(report).expect("a report"), said)
}

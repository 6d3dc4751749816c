use std::fs;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::*;
use crate::fixture::{Workplace, agent, authority, issued};
use crate::material::{KeyPair, Purpose, Token};

/// Far above what any change takes, so that only what never comes is late.
const BOUND: Duration = Duration::from_secs(20);

fn follow<T: Send + Sync + 'static>(reloader: Reloader<T>) -> DropGuard {
    let shutdown = CancellationToken::new();
    TaskTracker::new().spawn(reloader.run(shutdown.clone()));
    shutdown.drop_guard()
}

/// Waits for a report.
async fn until<T>(
    what: &str,
    reloaded: &Reloaded<T>,
    fits: impl Fn(&Report) -> bool + Send + Sync,
) -> Report
where
    T: Send + Sync + 'static,
{
    let mut reports = reloaded.reports();
    let fitting = async {
        let report = reports.wait_for(|report| fits(report)).await;
        report.map(|report| report.clone())
    };
    let report = timeout(BOUND, fitting).await;
    report
        .unwrap_or_else(|_| panic!("{what}: {reloaded:?}"))
        .unwrap()
}

fn key_pair(place: &Workplace) -> Material<KeyPair> {
    KeyPair::material(place.path("x.crt"), place.path("x.key"), Purpose::Agent)
}

#[tokio::test]
async fn a_token_that_rotates_is_read_again() {
    let place = Workplace::empty();
    place.write("token", "first");
    let (token, reloader) = Token::material(place.path("token")).watch().unwrap();
    let _running = follow(reloader);
    place.replace("token", "second");
    until("the second token", &token, |report| report.generation == 2).await;
    assert_eq!(token.current().secret(), "second");
}

#[tokio::test]
async fn a_pair_counts_when_both_files_are_there_and_the_last_good_one_until_then() {
    let place = Workplace::empty();
    let authority = authority("agents");
    let (first, second) = (issued(&authority, agent()), issued(&authority, agent()));
    place.write("x.crt", &first.cert_pem);
    place.write("x.key", &first.key_pem);
    let (pair, reloader) = key_pair(&place).watch().unwrap();
    let old = pair.current();
    let _running = follow(reloader);

    place.replace("x.crt", &second.cert_pem);
    let report = until("the mismatch", &pair, |report| report.fault.is_some()).await;
    assert_eq!(
        (report.generation, report.fault.unwrap().reason()),
        (1, "KeyMismatch")
    );
    assert_eq!(pair.current().chain(), old.chain());

    place.replace("x.key", &second.key_pem);
    let report = until("the new pair", &pair, |report| report.generation == 2).await;
    assert_eq!(report.fault, None);
    assert_ne!(pair.current().chain(), old.chain());
}

#[tokio::test]
async fn a_file_that_is_deleted_or_emptied_keeps_what_was_good() {
    let place = Workplace::empty();
    place.write("token", "first");
    let (token, reloader) = Token::material(place.path("token")).watch().unwrap();
    let _running = follow(reloader);
    let told =
        |reason| move |report: &Report| report.fault.as_ref().is_some_and(|f| f.reason() == reason);
    place.write("token", "");
    until("it is empty", &token, told("BadToken")).await;
    fs::remove_file(place.path("token")).unwrap();
    let report = until("it is missing", &token, told("NoSuchFile")).await;
    assert_eq!(token.current().secret(), "first");
    assert_eq!((report.generation, report.failures), (1, 2));
    place.write("token", "first");
    until("it is back", &token, |report| report.fault.is_none()).await;
}

#[test]
fn the_first_read_must_succeed() {
    let place = Workplace::empty();
    assert_eq!(key_pair(&place).watch().unwrap_err().reason(), "NoSuchFile");
}

#[tokio::test]
async fn what_is_fixed_needs_no_writer() {
    let material = Material::fixed(Token::parse("constant").unwrap());
    let (token, reloader) = material.watch().unwrap();
    timeout(BOUND, reloader.run(CancellationToken::new()))
        .await
        .expect("nothing to follow");
    assert_eq!(token.current().secret(), "constant");
}

#[test]
fn nothing_that_is_shown_tells_a_key() {
    let place = Workplace::empty();
    let leaf = issued(&authority("agents"), agent());
    place.write("x.crt", &leaf.cert_pem);
    place.write("x.key", &leaf.key_pem);
    let (pair, reloader) = key_pair(&place).watch().unwrap();
    let shown = format!("{pair:?} {reloader:?} {:?}", pair.current());
    assert!(shown.len() < 1_000 && !shown.contains("MI"), "{shown}");
}

#[test]
fn what_did_not_change_is_not_read_again() {
    let place = Workplace::empty();
    place.write("token", "first");
    let token = Token::material(place.path("token"));
    let known = Digest::of(token.files());
    place.replace("token", "first");
    assert!(read_if_changed(&token, &known).is_none());
    place.replace("token", "other");
    assert!(read_if_changed(&token, &known).is_some());
}

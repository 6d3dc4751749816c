//! Callers who are gone without a word: their link is cut, and nobody but the relay, or the exit that they came to, can notice. How long until their
//! streams are gone everywhere is seen at the far end, where the API server's answer is given up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::time::{Instant, interval};

use super::ledger::seconds;
use super::story::Row;
use crate::support::afar::Afar;
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::{Answer, AnswerBody, FakeApiServer};
use crate::support::gangplank::Surroundings;
use crate::support::path::Site;
use crate::support::{hosts, wait};

/// Longer than any of them may be kept.
const BOUND: Duration = Duration::from_secs(120);

/// Between two events of a watch that has some.
const EVENTS: Duration = Duration::from_secs(1);

/// When the answer to each target was given up.
type Ends = Arc<Mutex<HashMap<String, Instant>>>;

/// Notes the end of an answer.
struct Answering(String, Ends);

impl Drop for Answering {
    fn drop(&mut self) {
        let mut ends = self.1.lock();
        ends.insert(std::mem::take(&mut self.0), Instant::now());
    }
}

fn watch(target: String, ends: Ends) -> AnswerBody {
    let beat = target.contains("events").then(|| interval(EVENTS));
    let answering = (Answering(target, ends), beat, true);
    let events = stream::unfold(answering, |(answering, mut beat, first)| async move {
        match &mut beat {
            _ if first => {}
            Some(beat) => drop(beat.tick().await),
            None => std::future::pending().await,
        }
        let event = Bytes::from_static(b"{}\n");
        Some((Ok(Frame::data(event)), (answering, beat, false)))
    });
    StreamBody::new(events).boxed()
}

/// Somebody who watches and then is gone.
struct Watcher<'s> {
    site: &'s Site,
    protocol: Protocol,
    target: String,
    fault: String,
}

/// A row for each kind of caller, through the tunnel and without one; they go at the same time.
pub(super) fn callers_gone() -> Vec<Row> {
    let runtime = Runtime::new().expect("a runtime");
    let ends = Ends::default();
    let answer = {
        let ends = Arc::clone(&ends);
        move |request: Request<Incoming>| -> Answer {
            let (target, ends) = (request.uri().path().to_owned(), Arc::clone(&ends));
            Box::pin(async move { Response::new(watch(target, ends)) })
        }
    };
    let within = runtime.enter();
    let afar = Afar::lay(answer.clone());
    let quay = &afar.hosts.quay;
    let beside = FakeApiServer::start_on(quay, answer);
    let surroundings = Surroundings {
        host: Some(quay.clone()),
        ..Surroundings::default()
    };
    let trusted = afar.organisations.each_ref();
    let own_port = Site::direct_in(
        &surroundings,
        afar.outside.second(),
        &beside.kubeconfig(),
        &trusted,
    );
    drop(within);
    let watchers = watchers(&afar.site, &own_port);
    let gone = board_and_vanish(&afar, &watchers);
    let ended = |target: &str| {
        let ends = ends.lock();
        ends.get(target).copied()
    };
    let all_gone = || watchers.iter().all(|it| ended(&it.target).is_some());
    // Who is kept for longer has a row that says so.
    wait::up_to(BOUND, || all_gone().then_some(()));
    let row = |watcher: &Watcher<'_>| {
        let after = ended(&watcher.target).map(|end| seconds(end - gone));
        let kept = format!("not within {}", seconds(BOUND));
        let wrongs = if after.is_none() {
            vec![format!("{}: {kept}", watcher.fault)]
        } else {
            Vec::new()
        };
        Row {
            fault: watcher.fault.clone(),
            noticed: after.unwrap_or(kept),
            back: "–".to_owned(),
            ended: "its stream, everywhere".to_owned(),
            went_on: "–".to_owned(),
            wrongs,
        }
    };
    watchers.iter().map(row).collect()
}

/// One of each kind.
fn watchers<'s>(tunnel: &'s Site, own_port: &'s Site) -> Vec<Watcher<'s>> {
    let mut watchers = Vec::new();
    for (site, by, without) in [
        (tunnel, "tunnel", ""),
        (own_port, "own-port", ", without a tunnel"),
    ] {
        for protocol in PROTOCOLS {
            for manner in ["silent", "events"] {
                let name = protocol.name();
                watchers.push(Watcher {
                    site,
                    protocol,
                    target: format!("/{by}/{manner}/{name}"),
                    fault: format!("caller gone silently, a watch over {name}, {manner}{without}"),
                });
            }
        }
    }
    watchers
}

/// They watch; then their link is cut, and nothing of theirs gets out any more, whatever they do. Answers when.
fn board_and_vanish(afar: &Afar, watchers: &[Watcher<'_>]) -> Instant {
    afar.call(async || {
        let mut kept = Vec::new();
        for watcher in watchers {
            let papers = Some(&afar.papers);
            let mut connection = Connection::open(watcher.site, papers, watcher.protocol).await;
            let mut answer = connection.get(&watcher.target).await.expect("an answer");
            let event = answer.body_mut().frame().await.expect("an event");
            event.expect("an event");
            kept.push((connection, answer));
        }
        wait::until("everything to be acknowledged", || {
            hosts::at(Some(&afar.hosts.quay), nothing_under_way).then_some(())
        });
        afar.outside.change(|conditions| conditions.cut = true);
        Instant::now()
    })
}

/// Whether no connection of this host has sent something that is not acknowledged (proc(5), `net/tcp`).
fn nothing_under_way() -> bool {
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp").expect("the kernel tells");
    let queues = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(4));
    queues
        .map(|queue| queue.split(':').next())
        .all(|sent| sent == Some("00000000"))
}

//! Callers who are gone without a word: their link is cut, and the kernel of the relay is all that could notice. How long until their
//! streams are gone everywhere is seen at the far end, where the API server's answer is given up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::time::{Instant, interval};

use super::ledger::seconds;
use super::story::Row;
use crate::support::afar::Afar;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::AnswerBody;
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

/// How often the relay's kernel sends again what nobody acknowledges, if not as often as usual: some fifty seconds long.
const RETRIES: (&str, &str) = ("/proc/sys/net/ipv4/tcp_retries2", "7");

/// A row for each kind of caller; they go at the same time.
pub(super) fn callers_gone() -> Vec<Row> {
    rows(&["silent", "events"], "", false)
}

/// The same for those whom the relay's kernel would look for much longer, where it is told not to.
pub(super) fn callers_gone_with_fewer_retries() -> Vec<Row> {
    rows(&["events"], ", `tcp_retries2` 7", true)
}

fn rows(manners: &[&str], where_: &str, fewer: bool) -> Vec<Row> {
    let runtime = Runtime::new().expect("a runtime");
    let ends = Ends::default();
    let afar = {
        let (_within, ends) = (runtime.enter(), Arc::clone(&ends));
        Afar::lay(move |request| {
            let (target, ends) = (request.uri().path().to_owned(), Arc::clone(&ends));
            Box::pin(async move { Response::new(watch(target, ends)) })
        })
    };
    if fewer {
        let set = || std::fs::write(RETRIES.0, RETRIES.1);
        hosts::at(Some(&afar.hosts.quay), set).expect("a host's own setting");
    }
    let (gone, targets) = board_and_vanish(&afar, manners);
    let ended = |target: &str| {
        let ends = ends.lock();
        ends.get(target).copied()
    };
    // Who is kept for longer has a row that says so.
    let all_gone = || targets.iter().all(|target| ended(target).is_some());
    wait::up_to(BOUND, || all_gone().then_some(()));
    let row = |target: &String| {
        let after = ended(target).map(|end| seconds(end - gone));
        let words = target.trim_start_matches('/').split_once('/');
        let (manner, protocol) = words.expect("two words");
        Row {
            fault: format!("caller gone silently, a watch over {protocol}, {manner}{where_}"),
            noticed: after.unwrap_or_else(|| format!("not within {}", seconds(BOUND))),
            back: "–".to_owned(),
            ended: "its stream, everywhere".to_owned(),
            went_on: "–".to_owned(),
            wrongs: Vec::new(),
        }
    };
    targets.iter().map(row).collect()
}

/// A caller of each protocol and manner; then their link is cut, and nothing of theirs gets out any more, whatever they do. Answers
/// when, and what they watched.
fn board_and_vanish(afar: &Afar, manners: &[&str]) -> (Instant, Vec<String>) {
    afar.call(async || {
        let mut kept = Vec::new();
        for (protocol, manner) in PROTOCOLS
            .iter()
            .flat_map(|it| manners.iter().map(move |manner| (it, manner)))
        {
            let target = format!("/{manner}/{}", protocol.name());
            let papers = Some(&afar.papers);
            let mut connection = Connection::open(&afar.site, papers, *protocol).await;
            let mut answer = connection.get(&target).await.expect("an answer");
            let event = answer.body_mut().frame().await.expect("an event");
            event.expect("an event");
            kept.push((target, connection, answer));
        }
        wait::until("everything to be acknowledged", || {
            hosts::at(Some(&afar.hosts.quay), nothing_under_way).then_some(())
        });
        afar.outside.change(|conditions| conditions.cut = true);
        let gone = Instant::now();
        (gone, kept.into_iter().map(|(target, ..)| target).collect())
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

//! Callers as client-go has them: one HTTP/2 connection each, which they keep until they are told to leave it, and a
//! name with two addresses, of which the next is taken where the first is refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::SendRequest;
use parking_lot::Mutex;
use rustls::ClientConfig;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::support::caller::{self, AnyBody};
use crate::support::wait;

/// Times that a request is sent anew that was certainly not begun, as client-go does.
const ATTEMPTS: usize = 5;

/// What all callers together have seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) answered: AtomicUsize,
    /// Requests that were certainly not begun, and sent anew.
    pub(super) sent_anew: AtomicUsize,
    pub(super) connections: AtomicUsize,
    /// Events of all watches.
    pub(super) events: AtomicUsize,
    /// Watches that ended between two events, and were taken up again.
    pub(super) resumed: AtomicUsize,
    /// The longest that an answer took, in milliseconds.
    pub(super) slowest: AtomicUsize,
    /// What failed, and how often.
    failed: Mutex<BTreeMap<String, usize>>,
    over: AtomicBool,
}

impl Tally {
    fn fail(&self, what: String) {
        let mut failed = self.failed.lock();
        *failed.entry(what).or_default() += 1;
    }

    pub(super) fn failed(&self) -> BTreeMap<String, usize> {
        self.failed.lock().clone()
    }

    /// What there was to see when nothing failed.
    pub(super) fn summary(&self, asked: usize, watches: usize, seconds: f64) -> String {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        let pace = f64::from(u32::try_from(asked).unwrap_or(u32::MAX)) / seconds;
        format!(
            "{asked} requests ({pace:.0} a second) and {} events of {watches} watches in {seconds:.0} s: 0 failed, the \
             slowest {} ms; {} sent anew, {} connections, {} watches taken up again",
            count(&self.events),
            count(&self.slowest),
            count(&self.sent_anew),
            count(&self.connections),
            count(&self.resumed)
        )
    }

    pub(super) fn finish(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

/// How a request came to nothing.
enum Failure {
    /// The server has certainly not begun it.
    NotBegun(String),
    Failed(String),
}

impl Failure {
    /// Not begun is what never left, and what the server says that it has not looked at: it reset the stream so, or
    /// went away with an earlier one as its last (RFC 9113 §6.8 and §8.7).
    fn of(error: &hyper::Error) -> Self {
        let told = format!("{error:?}");
        let h2 = std::error::Error::source(error).and_then(|it| it.downcast_ref::<h2::Error>());
        let refused = h2.is_some_and(|it| {
            it.reason() == Some(h2::Reason::REFUSED_STREAM) || it.is_go_away() && it.is_remote()
        });
        if error.is_canceled() || error.is_closed() || refused {
            Self::NotBegun(told)
        } else {
            Self::Failed(told)
        }
    }
}

/// One caller.
pub(super) struct Caller {
    pub(super) number: usize,
    /// In the order in which it tries them.
    pub(super) addresses: [SocketAddr; 2],
    pub(super) entrance: String,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) tally: Arc<Tally>,
    /// Whether it keeps its connection, or comes anew for each request.
    pub(super) keeps: bool,
    pub(super) kept: tokio::sync::Mutex<Option<SendRequest<AnyBody>>>,
    pub(super) dials: AtomicUsize,
}

impl Caller {
    /// One who keeps its connection, number 0.
    pub(super) fn like(
        tally: &Arc<Tally>,
        addresses: [SocketAddr; 2],
        entrance: &str,
        tls: &Arc<ClientConfig>,
    ) -> Self {
        Self {
            number: 0,
            addresses,
            entrance: entrance.to_owned(),
            tls: Arc::clone(tls),
            tally: Arc::clone(tally),
            keeps: true,
            kept: tokio::sync::Mutex::default(),
            dials: AtomicUsize::new(0),
        }
    }

    /// Its connection, or a new one where that takes nothing more.
    async fn connection(&self) -> Result<SendRequest<AnyBody>, String> {
        if !self.keeps {
            return self.dial().await;
        }
        let mut kept = self.kept.lock().await;
        if let Some(sender) = kept.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let sender = self.dial().await?;
        *kept = Some(sender.clone());
        drop(kept);
        Ok(sender)
    }

    async fn dial(&self) -> Result<SendRequest<AnyBody>, String> {
        self.tally.connections.fetch_add(1, Ordering::SeqCst);
        let mut addresses = self.addresses;
        if !self.keeps {
            // As a resolver turns them.
            addresses.rotate_left(self.dials.fetch_add(1, Ordering::SeqCst) % 2);
        }
        let socket = match TcpStream::connect(addresses[0]).await {
            Ok(socket) => Ok(socket),
            Err(_refused) => TcpStream::connect(addresses[1]).await,
        };
        let socket = socket.map_err(|error| format!("no connection: {error}"))?;
        let stream = caller::over(socket, &self.entrance, Arc::clone(&self.tls)).await;
        let stream = stream.map_err(|error| format!("no TLS: {error}"))?;
        Ok(caller::http2_over(stream).await)
    }

    /// Sends a request and gives its answer's head, and its body.
    async fn send(&self, method: &str, path: &str) -> Result<hyper::body::Incoming, String> {
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                self.tally.sent_anew.fetch_add(1, Ordering::SeqCst);
            }
            let mut sender = self.connection().await?;
            let request = Request::builder()
                .method(method)
                .uri(format!("https://{}{path}", self.entrance))
                .body(caller::body(""))
                .expect("a request");
            let sent = async {
                sender.ready().await?;
                sender.send_request(request).await
            };
            match sent.await.map_err(|error| Failure::of(&error)) {
                Ok(answer) if answer.status() == 200 => return Ok(answer.into_body()),
                Ok(answer) => return Err(format!("{} for {method}", answer.status())),
                Err(Failure::NotBegun(told)) => last = told,
                Err(Failure::Failed(told)) => return Err(told),
            }
        }
        Err(format!("not begun, again and again: {last}"))
    }

    /// A request with its whole answer.
    async fn ask(self: Arc<Self>, number: usize) {
        let begun = Instant::now();
        // One in ten changes something.
        let method = if number.is_multiple_of(10) {
            "POST"
        } else {
            "GET"
        };
        let path = format!(
            "/api/v1/namespaces/a/configmaps?fieldManager=caller-{}-{number}",
            self.number
        );
        let asking = async {
            let body = self.send(method, &path).await?;
            let read = body.collect().await;
            read.map_err(|error| format!("an answer broke off: {error:?}"))
        };
        match tokio::time::timeout(wait::PATIENCE, asking).await {
            Ok(Ok(_)) => {
                let took = usize::try_from(begun.elapsed().as_millis()).unwrap_or(usize::MAX);
                self.tally.slowest.fetch_max(took, Ordering::SeqCst);
                self.tally.answered.fetch_add(1, Ordering::SeqCst);
            }
            Ok(Err(failure)) => self.tally.fail(format!("{method}: {failure}")),
            Err(_elapsed) => self.tally.fail(format!("{method}: no answer")),
        }
    }

    /// Asks at this pace until it is over; answers how often.
    pub(super) async fn ask_at(self: Arc<Self>, pace: Duration) -> usize {
        let (mut due, mut asking, mut asked) = (interval(pace), JoinSet::new(), 0);
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while !self.tally.is_over() {
            due.tick().await;
            asking.spawn(Arc::clone(&self).ask(asked));
            asked += 1;
            while asking.try_join_next().is_some() {}
        }
        asking.join_all().await;
        asked
    }

    /// Watches as an informer does, from where it was, until it is over; answers the last event that it has.
    pub(super) async fn watch(self: Arc<Self>) -> u64 {
        let mut version = 0;
        while !self.tally.is_over() {
            if let Err(failure) = self.follow(&mut version).await {
                self.tally.fail(format!("watch: {failure}"));
                return version;
            }
        }
        version
    }

    /// One watch, to its end.
    async fn follow(&self, version: &mut u64) -> Result<(), String> {
        let path = format!("/api/v1/namespaces/a/configmaps?watch=1&resourceVersion={version}");
        let mut watch = self.send("GET", &path).await?;
        let mut unread = Vec::new();
        while !self.tally.is_over() {
            let next = tokio::time::timeout(wait::PATIENCE, watch.frame()).await;
            let Some(frame) = next.map_err(|elapsed| format!("no event: {elapsed}"))? else {
                self.tally.resumed.fetch_add(1, Ordering::SeqCst);
                return match unread.is_empty() {
                    true => Ok(()),
                    false => Err("it ended within an event".to_owned()),
                };
            };
            let frame = frame.map_err(|error| format!("it broke off: {error:?}"))?;
            unread.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = unread.drain(..=end).collect();
                self.note(&line, version)?;
            }
        }
        Ok(())
    }

    fn note(&self, line: &[u8], version: &mut u64) -> Result<(), String> {
        let event: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let told = event["object"]["metadata"]["resourceVersion"].as_str();
        let told: u64 = told
            .and_then(|told| told.parse().ok())
            .ok_or("no version")?;
        if told != *version + 1 {
            return Err(format!("event {told} came after {version}"));
        }
        *version = told;
        self.tally.events.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

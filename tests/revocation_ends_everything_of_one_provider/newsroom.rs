//! An API server whose watches tell numbered events, and readers that notice when one is missing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use crate::support::fake_api_server::{AnswerBody, FakeApiServer, ok};
use crate::support::{echo, wait};

/// What is watched.
pub(super) const WATCH: &str = "/api/v1/events?watch=1";

/// What is executed: it echoes.
pub(super) const EXEC: &str = "/api/v1/namespaces/a/pods/b/exec?command=cat";

/// Events that a watch may lag behind: more than a test publishes.
const LAG: usize = 1 << 14;

/// The server and what it tells.
pub(super) struct Newsroom {
    pub(super) server: FakeApiServer,
    desk: Arc<Desk>,
}

struct Desk {
    events: broadcast::Sender<u64>,
    published: AtomicU64,
    /// Open watches by user.
    watching: Mutex<HashMap<String, usize>>,
}

impl Newsroom {
    pub(super) async fn open() -> Arc<Self> {
        let desk = Arc::new(Desk {
            events: broadcast::channel(LAG).0,
            published: AtomicU64::new(0),
            watching: Mutex::default(),
        });
        let at_desk = Arc::clone(&desk);
        let server = FakeApiServer::start(&["h2", "http/1.1"], move |request| {
            let answer = match request.uri().path() {
                "/api/v1/events" => Response::builder()
                    .header("content-type", "application/json")
                    .body(at_desk.watch(&request))
                    .expect("a response"),
                "/version" => ok("{}"),
                _ => echo::switch(request),
            };
            Box::pin(async { answer })
        });
        Arc::new(Self {
            server: server.await,
            desk,
        })
    }

    /// Tells the next event to all watches.
    pub(super) fn publish(&self) {
        let number = self.desk.published.fetch_add(1, Ordering::SeqCst) + 1;
        // While nobody watches there is nobody to tell.
        drop(self.desk.events.send(number));
    }

    /// The number of the last event.
    pub(super) fn published(&self) -> u64 {
        self.desk.published.load(Ordering::SeqCst)
    }

    /// As whom the last request with this target came.
    pub(super) fn last_user(&self, target: &str) -> String {
        let last = self.server.arrived_at(target).pop().expect("it has come");
        last.values("impersonate-user").join(", ")
    }

    /// Open watches of users whose name has this in it.
    pub(super) fn watching(&self, part: &str) -> usize {
        let watching = self.desk.watching.lock().clone();
        let of = watching.iter().filter(|(user, _)| user.contains(part));
        of.map(|(_, count)| count).sum()
    }
}

impl Desk {
    fn watch(self: &Arc<Self>, request: &Request<Incoming>) -> AnswerBody {
        let user = request.headers()["impersonate-user"].to_str();
        let place = Place::taken(self, user.expect("a user in ASCII"));
        let events = self.events.subscribe();
        let frames = stream::unfold((events, place), |(mut events, place)| async {
            let number = events.recv().await.ok()?;
            let line = Bytes::from(format!("{number}\n"));
            Some((Ok(Frame::data(line)), (events, place)))
        });
        StreamBody::new(frames).boxed()
    }

    fn count(&self, user: &str, change: impl FnOnce(&mut usize)) {
        let mut watching = self.watching.lock();
        change(watching.entry(user.to_owned()).or_default());
    }
}

/// An open watch, as long as this is there.
struct Place {
    desk: Arc<Desk>,
    user: String,
}

impl Place {
    fn taken(desk: &Arc<Desk>, user: &str) -> Self {
        desk.count(user, |count| *count += 1);
        Self {
            desk: Arc::clone(desk),
            user: user.to_owned(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.desk.count(&self.user, |count| *count -= 1);
    }
}

/// Watches that are read all the time.
pub(super) struct Readers {
    /// The last event of each; zero before the first.
    seen: Vec<Arc<AtomicU64>>,
    _reading: JoinSet<()>,
}

impl Readers {
    pub(super) fn follow(watches: Vec<Incoming>) -> Self {
        let (mut seen, mut reading) = (Vec::new(), JoinSet::new());
        for watch in watches {
            let last = Arc::new(AtomicU64::new(0));
            seen.push(Arc::clone(&last));
            reading.spawn(read_without_gap(watch, last));
        }
        Self {
            seen,
            _reading: reading,
        }
    }

    /// Waits until each has told all events up to that one.
    pub(super) async fn await_all(&self, number: u64) {
        wait::until_async("every event at every watch", || async {
            let seen = self.seen.iter().map(|last| last.load(Ordering::SeqCst));
            (seen.min() == Some(number)).then_some(())
        })
        .await;
    }
}

/// A gap stops it, so that nobody waits for it in vain without a reason.
async fn read_without_gap(mut watch: Incoming, last: Arc<AtomicU64>) {
    let mut unread = BytesMut::new();
    while let Some(piece) = piece(&mut watch).await {
        unread.extend_from_slice(&piece);
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line = unread.split_to(end + 1);
            let number = std::str::from_utf8(&line[..end]).expect("digits");
            let number: u64 = number.parse().expect("a number");
            let before = last.swap(number, Ordering::SeqCst);
            assert_eq!(number, before + 1, "an event is missing");
        }
    }
}

/// The next piece of a watch; `None` at its end, whichever that is.
pub(super) async fn piece(watch: &mut Incoming) -> Option<Bytes> {
    loop {
        match watch.frame().await?.ok()?.into_data() {
            Ok(data) => return Some(data),
            Err(_trailers) => {}
        }
    }
}

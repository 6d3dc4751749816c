//! 300 watches of which 100 are never read, and a LIST of 200 MB whose reader stopped: requests beside them are
//! answered, the others' events go on, the API server sees few connections, and what is unread is held only
//! up to a bound. More of them than a tunnel holds make way for one another, and stop nobody either.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use parking_lot::Mutex;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::{Answer, AnswerBody, FakeApiServer, ok};
use crate::support::path::{Site, Way};
use crate::support::wait;

/// What is watched and read, watched and not read, listed, and asked for beside.
const WATCHED: &str = "/api/v1/pods?watch=1";
const BUSY: &str = "/api/v1/events?watch=1";
const LISTED: &str = "/api/v1/secrets";
const SMALL: &str = "/api/v1/namespaces/a/configmaps/b";

const READ: usize = 200;
const UNREAD: usize = 100;
const GETS: usize = 200;

/// Watches that share a caller's connection.
const SHARED: usize = 100;

/// An event as long as a Pod.
const EVENT: usize = 4 << 10;

const LIST: usize = 200_000_000;

/// Three connections of 100 streams for the watches and one that is opened before anyone has to wait for it; one
/// for the LIST, and as many as may be opened at the same time for reads.
const UPSTREAM_CONNECTIONS: usize = 4 + 1 + 4;

/// What a process may grow by besides what lies unread: as in the test of large bodies.
const GROWTH_KIB: u64 = 64 << 10;

/// What the relay may hold of one unread stream. Its window is 1 MiB; but a piece of a stream keeps the whole batch of
/// datagrams alive with which it came, and the others of the batch may have been for streams that were read. Up to
/// 3.7 MiB were seen.
const UNREAD_AT_RELAY_KIB: u64 = 4 * 1024;

/// What the exit may hold of one: a window towards the API server and one towards the tunnel, 256 KiB each, and
/// HTTP/1.1's own buffer of 128 KiB.
const UNREAD_AT_EXIT_KIB: u64 = 256 + 256 + 128;

/// How often in a row the API server must have written nothing more until all windows count as full.
const LOOKS: usize = 25;

/// What the API server under test knows.
#[derive(Debug, Default)]
struct Cluster {
    /// Events handed out on watches that nobody reads, and pieces of the LIST.
    handed_out: AtomicUsize,
    /// Where the events of the watches that are read come from.
    watches: Mutex<Vec<Sender<Bytes>>>,
}

impl Cluster {
    fn answer(self: &Arc<Self>, target: &str) -> Response<AnswerBody> {
        match target {
            WATCHED => {
                // An event waits for the one before it at most.
                let (sender, events) = channel(1);
                self.watches.lock().push(sender);
                watch(events)
            }
            BUSY => self.pieces(usize::MAX),
            LISTED => self.pieces(LIST / EVENT),
            _ => ok("{}"),
        }
    }

    /// As many pieces as are taken, at most so many.
    fn pieces(self: &Arc<Self>, count: usize) -> Response<AnswerBody> {
        let cluster = Arc::clone(self);
        let piece = Bytes::from(vec![b'x'; EVENT]);
        let mut left = count;
        let pieces = stream::poll_fn(move |_| {
            if left == 0 {
                return std::task::Poll::Ready(None);
            }
            left -= 1;
            cluster.handed_out.fetch_add(1, Ordering::SeqCst);
            std::task::Poll::Ready(Some(Ok(Frame::data(piece.clone()))))
        });
        Response::new(StreamBody::new(pieces).boxed())
    }

    /// One event on each watch that is read.
    async fn happen(&self, event: &str) {
        let watches = self.watches.lock().clone();
        assert_eq!(watches.len(), READ, "each watch has reached us once");
        for watch in watches {
            wait::within(
                "an event to leave",
                watch.send(Bytes::from(event.to_owned())),
            )
            .await
            .expect("the watch goes on");
        }
    }

    /// Waits until nothing more can be written to those who do not read.
    fn await_full_windows(&self) {
        let (mut last, mut alike) = (0, 0);
        wait::until("the windows of the unread to be full", || {
            let now = self.handed_out.load(Ordering::SeqCst);
            alike = if now == last { alike + 1 } else { 0 };
            last = now;
            (alike >= LOOKS).then_some(())
        });
        let least = (UNREAD + 1) * (256 << 10) / EVENT;
        assert!(last >= least, "only {last} events of {EVENT} bytes left");
    }
}

fn watch(mut events: Receiver<Bytes>) -> Response<AnswerBody> {
    let events = stream::poll_fn(move |cx| {
        let event = events.poll_recv(cx);
        event.map(|event| event.map(|event| Ok(Frame::data(event))))
    });
    Response::new(StreamBody::new(events).boxed())
}

async fn server(cluster: &Arc<Cluster>) -> FakeApiServer {
    let cluster = Arc::clone(cluster);
    FakeApiServer::start(&["h2", "http/1.1"], move |request| {
        let cluster = Arc::clone(&cluster);
        let answer: Answer = Box::pin(async move {
            let target = request.uri().path_and_query();
            cluster.answer(target.map_or("", http::uri::PathAndQuery::as_str))
        });
        answer
    })
    .await
}

/// An answer whose body has begun, and the connection it is on.
async fn left_unread(site: &Site, caller: &Organisation, target: &str) -> (Connection, Incoming) {
    let mut own = Connection::open(site, Some(&caller.caller("idler")), Protocol::One).await;
    let mut body = own.get(target).await.expect("an answer").into_body();
    wait::within("the first bytes", body.frame())
        .await
        .expect("a frame")
        .expect("data");
    (own, body)
}

/// Watches that are read to the event `last`, many on each connection.
async fn read_on(site: &Site, caller: &Organisation, last: &'static str) -> JoinSet<()> {
    let mut readers = JoinSet::new();
    for _ in 0..READ / SHARED {
        let papers = caller.caller("reader");
        let mut shared = Connection::open(site, Some(&papers), Protocol::Two).await;
        for _ in 0..SHARED {
            let mut body = shared.get(WATCHED).await.expect("an answer").into_body();
            readers.spawn(async move {
                let mut seen = Vec::new();
                while !seen.ends_with(last.as_bytes()) {
                    let frame = body.frame().await.expect("the watch goes on");
                    seen.extend(frame.expect("whole").into_data().expect("data"));
                }
            });
        }
    }
    readers
}

/// Issue "measured from the start": what stands still costs memory up to a bound, and nobody else anything.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_an_unread_list() {
    const LAST: &str = "last\n";
    let organisation = Organisation::new("watchers");
    let cluster = Arc::new(Cluster::default());
    let server = server(&cluster).await;
    let site = Site::start(Way::Tunnel, &server.kubeconfig(), &[&organisation]);
    let relay = site.relay.as_ref().expect("a relay");
    let papers = organisation.caller("a");
    let mut beside = Connection::open(&site, Some(&papers), Protocol::One).await;
    beside.fetch(SMALL).await.expect("an answer");
    let before = (relay.process.resident_kib(), site.exit.resident_kib());

    let mut readers = read_on(&site, &organisation, LAST).await;
    let mut unread = vec![left_unread(&site, &organisation, LISTED).await];
    for _ in 0..UNREAD {
        unread.push(left_unread(&site, &organisation, BUSY).await);
    }
    cluster.await_full_windows();

    for number in 0..GETS {
        if number % (GETS / 4) == 0 {
            cluster.happen("event\n").await;
        }
        let (status, _) = beside.fetch(SMALL).await.expect("an answer");
        assert_eq!(status, 200, "request {number} beside them");
    }
    cluster.happen(LAST).await;
    while let Some(reader) = wait::within("all events to be read", readers.join_next()).await {
        reader.expect("every watch has all its events");
    }

    assert!(
        server.connections() <= UPSTREAM_CONNECTIONS,
        "{} connections to the API server",
        server.connections()
    );
    let held = u64::try_from(unread.len()).expect("a count");
    let bounds = [
        (
            "relay",
            before.0,
            relay.process.resident_kib(),
            UNREAD_AT_RELAY_KIB,
        ),
        (
            "exit",
            before.1,
            site.exit.resident_kib(),
            UNREAD_AT_EXIT_KIB,
        ),
    ];
    for (role, before, after, each) in bounds {
        assert!(
            after < before + GROWTH_KIB + held * each,
            "{role}: {before} KiB became {after} KiB"
        );
    }
}

/// Case G15, in small: more callers who read nothing than a session's window has room for.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_crowd_that_would_fill_the_tunnel() {
    /// A window each; a session has 256.
    const CROWD: usize = 300;
    /// Of one source (`relay/src/entrance/standstill.rs`).
    const STAY: usize = 112;
    let (greedy, modest) = (Organisation::new("greedy"), Organisation::new("modest"));
    let cluster = Arc::new(Cluster::default());
    let server = server(&cluster).await;
    let site = Site::start(Way::Tunnel, &server.kubeconfig(), &[&greedy, &modest]);
    let relay = site.relay.as_ref().expect("a relay");
    let papers = modest.caller("a");
    let mut beside = Connection::open(&site, Some(&papers), Protocol::One).await;
    beside.fetch(SMALL).await.expect("an answer");

    let mut unread = Vec::new();
    for _ in 0..CROWD {
        unread.push(left_unread(&site, &greedy, BUSY).await);
    }
    cluster.await_full_windows();

    let (status, _) = beside.fetch(SMALL).await.expect("an answer");
    assert_eq!(status, 200, "on the connection that was there");
    let mut new = Connection::open(&site, Some(&papers), Protocol::Two).await;
    assert_eq!(
        new.fetch(SMALL).await.expect("an answer").0,
        200,
        "on a new one"
    );
    wait::until("all that stand still beyond the bound to be gone", || {
        let gone = "gangplank_relay_ends_total{outcome=\"MadeWay\"} ";
        let gone = relay.process.metric(gone).unwrap_or_default();
        (gone >= f64::from(u32::try_from(CROWD - STAY).expect("a count"))).then_some(())
    });
    let open = site
        .exit
        .metric("gangplank_exit_connections ")
        .unwrap_or_default();
    assert!(
        open >= f64::from(u32::try_from(STAY).expect("a count")),
        "who may stay does: {open}"
    );
}

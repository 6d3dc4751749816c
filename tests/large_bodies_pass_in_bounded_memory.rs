//! 256 MiB up and 256 MiB down arrive whole, and no process on the way holds much of it; a caller that stops
//! reading stops nobody else, and what it left unread is held only up to a bound.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use parking_lot::Mutex;

use crate::support::caller::AnyBody;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::{Answer, AnswerBody, FakeApiServer, ok, whole};
use crate::support::path::{Course, Relay, Site, WAYS};
use crate::support::wait;

const PIECE: usize = 64 << 10;
const PIECES: usize = (256 << 20) / PIECE;

/// A gibibyte.
const GIGABYTE: usize = (1 << 30) / PIECE;

/// What a process may grow by while this passes: far less than one of the bodies.
const GROWTH_KIB: u64 = 64 << 10;

/// Callers that stop reading in the middle of a large LIST.
const STALLED: usize = 32;

/// One piece without pattern, made once.
static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let words = (0..u64::try_from(PIECE / 8).expect("small"))
        .map(|at| (at + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    words.flat_map(u64::to_le_bytes).collect()
});

/// The block with its number in front, so that no two pieces are alike.
fn piece(number: usize) -> Bytes {
    let mut piece = BLOCK.clone();
    piece[..8].copy_from_slice(&number.to_le_bytes());
    piece.into()
}

fn expected() -> Vec<u8> {
    let mut hash = Context::new(&SHA256);
    (0..PIECES).for_each(|number| hash.update(&piece(number)));
    hash.finish().as_ref().to_vec()
}

fn large_answer(pieces: usize) -> Response<AnswerBody> {
    let pieces =
        stream::iter(0..pieces).map(|number| Ok::<_, std::io::Error>(Frame::data(piece(number))));
    Response::new(BodyExt::boxed(StreamBody::new(pieces)))
}

fn large_body() -> AnyBody {
    let pieces =
        stream::iter(0..PIECES).map(|number| Ok::<_, Infallible>(Frame::data(piece(number))));
    BodyExt::boxed(StreamBody::new(pieces))
}

async fn hash_of(mut body: Incoming) -> Vec<u8> {
    let mut hash = Context::new(&SHA256);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.expect("a whole body").into_data() {
            hash.update(&data);
        }
    }
    hash.finish().as_ref().to_vec()
}

async fn server(uploaded: Arc<Mutex<Vec<u8>>>) -> FakeApiServer {
    FakeApiServer::start(&["h2", "http/1.1"], move |request| {
        let uploaded = Arc::clone(&uploaded);
        let answer: Answer = Box::pin(async move {
            match request.uri().path() {
                "/large" => large_answer(PIECES),
                "/gigabyte" => large_answer(GIGABYTE),
                "/middling" => large_answer(PIECES / 4),
                "/upload" => {
                    let hash = hash_of(request.into_body()).await;
                    *uploaded.lock() = hash;
                    Response::new(whole("taken"))
                }
                _ => ok("{}"),
            }
        });
        answer
    })
    .await
}

fn resident(site: &Site) -> Vec<u64> {
    let relay = site
        .relay
        .as_ref()
        .map(|relay| relay.process.resident_kib());
    relay
        .into_iter()
        .chain([site.exit.resident_kib()])
        .collect()
}

fn assert_grew_little(site: &Site, before: &[u64], while_what: &str) {
    for (before, after) in before.iter().zip(resident(site)) {
        assert!(
            after < before + GROWTH_KIB,
            "{while_what}: {before} KiB became {after} KiB"
        );
    }
}

/// Issue "the path": 256 MiB each way, over both protocols of callers.
#[tokio::test(flavor = "multi_thread")]
async fn up_and_down() {
    let organisation = Organisation::new("movers");
    let uploaded = Arc::new(Mutex::new(Vec::new()));
    let server = server(Arc::clone(&uploaded)).await;
    let expected = expected();
    for (way, protocol) in WAYS.into_iter().zip([Protocol::Two, Protocol::One]) {
        let site = Site::start(way, &server.kubeconfig(), &[&organisation]);
        let mut connection =
            Connection::open(&site, Some(&organisation.caller("a")), protocol).await;
        connection.fetch("/small").await.expect("an answer");
        let before = resident(&site);
        let answer = connection.get("/large").await.expect("an answer");
        assert!(
            wait::within("256 MiB down", hash_of(answer.into_body())).await == expected,
            "{way:?} down"
        );
        assert_grew_little(&site, &before, "down");
        let request = Request::post("/upload")
            .body(large_body())
            .expect("a request");
        let answer = wait::within("256 MiB up", connection.send(request))
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
        assert!(*uploaded.lock() == expected, "{way:?} up");
        assert_grew_little(&site, &before, "up");
    }
}

/// Readers that stopped in the middle of a large LIST, each on a connection of its own and many on one, beside
/// callers that go on.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_readers_stop_nobody() {
    let organisation = Organisation::new("stallers");
    let server = server(Arc::default()).await;
    for way in WAYS {
        let site = Site::start(way, &server.kubeconfig(), &[&organisation]);
        let papers = organisation.caller("a");
        let mut other = Connection::open(&site, Some(&papers), Protocol::One).await;
        other.fetch("/small").await.expect("an answer");
        let before = resident(&site);
        let mut held = Vec::new();
        let mut shared = Connection::open(&site, Some(&papers), Protocol::Two).await;
        for number in 0..STALLED {
            let mut own = Connection::open(&site, Some(&papers), Protocol::One).await;
            let line = if number % 2 == 0 {
                &mut shared
            } else {
                &mut own
            };
            let mut answer = line.get("/large").await.expect("an answer").into_body();
            wait::within("the first bytes", answer.frame())
                .await
                .expect("a frame")
                .expect("data");
            held.push((own, answer));
        }
        for _ in 0..50 {
            wait::within("a small request beside them", other.fetch("/small"))
                .await
                .expect("an answer");
            wait::within("and on the very connection", shared.fetch("/small"))
                .await
                .expect("an answer");
        }
        // Each of them may hold one window upstream, one in the tunnel and one towards the caller.
        for (before, after) in before.iter().zip(resident(&site)) {
            assert!(
                after < before + 3 * GROWTH_KIB,
                "{way:?}: {before} KiB became {after} KiB"
            );
        }
    }
}

/// One reader that stopped in the middle of a gibibyte, in a tunnel over each transport, beside one who reads on: the
/// other's body passes, and relay and agent hold a window of what is not read.
#[tokio::test(flavor = "multi_thread")]
async fn one_reader_that_stops_costs_a_window() {
    let organisation = Organisation::new("stallers");
    let server = server(Arc::default()).await;
    for transport in ["Quic", "Tcp"] {
        let relay = Arc::new(Relay::start());
        let course = Course::by(relay.address).with(&format!("transport: {transport}"));
        let exit = (&*server.kubeconfig(), &[&organisation][..]);
        let site = Site::tunnel_on(&relay, "harbour.acme", exit, &course);
        let papers = organisation.caller("a");
        let mut other = Connection::open(&site, Some(&papers), Protocol::Two).await;
        other.fetch("/small").await.expect("an answer");
        let before = resident(&site);
        let mut stalled = Connection::open(&site, Some(&papers), Protocol::One).await;
        let mut unread = stalled
            .get("/gigabyte")
            .await
            .expect("an answer")
            .into_body();
        wait::within("the first bytes", unread.frame())
            .await
            .expect("a frame")
            .expect("data");
        let answer = other.get("/middling").await.expect("an answer");
        let mut body = answer.into_body();
        let mut length = 0;
        while let Some(frame) = wait::within("the next bytes", body.frame()).await {
            length += frame
                .expect("a whole body")
                .into_data()
                .map_or(0, |data| data.len());
        }
        assert_eq!(length, PIECES / 4 * PIECE, "{transport}");
        assert_grew_little(&site, &before, transport);
        drop(unread);
    }
}

//! SIGTERM ends a role in order: nothing new is taken, what runs is finished, the exit code is 0. A second signal does
//! not wait.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::support::agent_by_hand::AgentByHand;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::entrance::{self, INTERNAL_ERROR, alert};
use crate::support::fake_api_server::{AnswerBody, FakeApiServer, ok};
use crate::support::frames::{END_STREAM, Frames, GOAWAY, HEADERS};
use crate::support::path::{Relay, Site, WAYS, Way};
use crate::support::{caller, hello, wait};

/// The first signal gives what runs longer than any test waits.
const PATIENT: &str = "drain: { settle: 0s, limit: 600s }\n";

const EVENT: &str = "{\"type\":\"ADDED\",\"object\":{}}\n";

/// A site whose exit waits for what runs, before a server that answers when it is told to.
async fn site_before_a_slow_server(
    way: Way,
) -> (Site, Organisation, FakeApiServer, watch::Sender<bool>) {
    let (release, released) = watch::channel(false);
    let fake = FakeApiServer::start(&["h2", "http/1.1"], move |_| {
        let mut released = released.clone();
        Box::pin(async move {
            released
                .wait_for(|released| *released)
                .await
                .expect("the test releases it");
            ok("{}")
        })
    });
    let fake = fake.await;
    let organisation = Organisation::new("acme");
    let mut site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
    make_patient(&mut site);
    (site, organisation, fake, release)
}

/// Starts the exit anew with [`PATIENT`] in its file.
fn make_patient(site: &mut Site) {
    drain_like(site, PATIENT);
}

fn drain_like(site: &mut Site, how: &str) {
    site.exit.kill();
    let name = if site.relay.is_some() {
        "agent.yaml"
    } else {
        "proxy.yaml"
    };
    let file = site.folder().join(name);
    let text = fs::read_to_string(&file).expect("its file");
    fs::write(&file, format!("{text}{how}")).expect("written");
    site.restart_exit();
    site.exit.await_ready();
}

fn await_refusal(address: SocketAddr) {
    wait::until("the listener to be closed", || {
        let refused = std::net::TcpStream::connect(address).err()?;
        (refused.kind() == ErrorKind::ConnectionRefused).then_some(())
    });
}

/// What a new caller meets once the exit takes nobody.
async fn await_nobody_is_taken(site: &Site) {
    if site.relay.is_none() {
        return await_refusal(site.address);
    }
    let hello = hello::asking_for(site.entrance.as_bytes());
    wait::until_async("the tunnel to take nobody", || async {
        let told = entrance::say(site.address, &hello).await;
        told.is_ok_and(|told| told == alert(INTERNAL_ERROR))
            .then_some(())
    })
    .await;
}

fn await_draining(site: &Site) {
    wait::until("readiness to say that it drains", || {
        let (ready, said) = site.exit.readiness();
        (!ready && said.contains("draining")).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn short_requests_finish() {
    for way in WAYS {
        for protocol in PROTOCOLS {
            let (site, organisation, fake, release) = site_before_a_slow_server(way).await;
            let papers = organisation.caller("a");
            let mut connection = Connection::open(&site, Some(&papers), protocol).await;
            let running = tokio::spawn(async move { connection.fetch("/slow").await });
            wait::until("the request to arrive", || {
                (!fake.arrived_at("/slow").is_empty()).then_some(())
            });

            site.exit.ask_to_end();
            await_draining(&site);
            await_nobody_is_taken(&site).await;
            assert!(
                site.exit.ended().is_none(),
                "{way:?} {protocol:?}: it waits for what runs"
            );

            release.send_replace(true);
            let answer = wait::within("the answer", running)
                .await
                .expect("no panic")
                .expect("a whole answer");
            assert_eq!(answer, (200, "{}".to_owned()), "{way:?} {protocol:?}");
            assert_eq!(
                site.exit.await_end().code(),
                Some(0),
                "{way:?} {protocol:?}"
            );
        }
    }
}

/// Case C33: callers of HTTP/2 are told with GOAWAY, and what is not over by the limit is cut: a watch in the middle of an
/// event, and a request that is never answered.
#[tokio::test(flavor = "multi_thread")]
async fn what_outlasts_the_limit_is_cut() {
    for way in WAYS {
        let (server, mut answers) = server_with_bodies_by_hand().await;
        let organisation = Organisation::new("acme");
        let mut site = Site::start(way, &server.kubeconfig(), &[&organisation]);
        drain_like(&mut site, "drain: { settle: 0s, limit: 1s }\n");
        let papers = organisation.caller("a");
        let mut watching = Connection::open(&site, Some(&papers), Protocol::One).await;
        let watch = watching.get("/api/v1/pods?watch=1").await;
        let mut watch = watch.expect("an answer").into_body();
        let events = answers.recv().await.expect("its body");
        let (half, _) = EVENT.split_at(9);
        send(&events, half).await;
        assert_eq!(next(&mut watch).await.as_deref(), Some(half));
        let stream = caller::board(&site, Some(&papers), &["h2"]).await;
        let mut frames = Frames::over(stream.expect("the handshake")).await;
        let list = [
            (&b":method"[..], &b"GET"[..]),
            (b":scheme", b"https"),
            (b":path", b"/api/v1/pods"),
            (b":authority", b"a"),
        ];
        frames.send_headers(1, END_STREAM, &list).await;
        assert_eq!(frames.outcome(1).await, Some(HEADERS));
        let items = answers.recv().await.expect("its body");

        site.exit.ask_to_end();
        let mut told = false;
        while let Some(frame) = frames.next().await {
            told |= frame.kind == GOAWAY;
        }
        assert!(told, "{way:?}: GOAWAY before the end");
        let cut = wait::within("the watch's end", watch.frame()).await;
        assert!(
            cut.is_some_and(|frame| frame.is_err()),
            "{way:?}: half an event does not look whole"
        );
        assert_eq!(site.exit.await_end().code(), Some(0), "{way:?}");
        drop((events, items));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_does_not_wait() {
    for way in WAYS {
        let (site, organisation, fake, _release) = site_before_a_slow_server(way).await;
        let papers = organisation.caller("a");
        let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
        let running = tokio::spawn(async move { connection.fetch("/slow").await });
        wait::until("the request to arrive", || {
            (!fake.arrived_at("/slow").is_empty()).then_some(())
        });
        site.exit.ask_to_end();
        await_draining(&site);
        site.exit.ask_to_end();
        assert_eq!(
            site.exit.await_end().code(),
            Some(0),
            "{way:?}: its limit is far away"
        );
        let answer = wait::within("the end at the caller", running)
            .await
            .expect("no panic");
        assert!(
            answer.is_err(),
            "{way:?}: what was cut off does not look whole: {answer:?}"
        );
    }
    let relay = Arc::new(Relay::start_with(PATIENT));
    let exit = AgentByHand::at(&relay, "harbour.acme").await;
    let (mut caller, _stream) = on_board(&exit).await;
    relay.process.ask_to_end();
    await_refusal(relay.address);
    relay.process.ask_to_end();
    assert_eq!(relay.process.await_end().code(), Some(0));
    let cut = entrance::hear_out(&mut caller).await;
    assert_eq!(
        cut.map_err(|error| error.kind()),
        Err(ErrorKind::ConnectionReset)
    );
}

/// A relay that drains closes its listener, and what runs goes on to its end.
#[tokio::test(flavor = "multi_thread")]
async fn connections_through_a_relay_finish() {
    let relay = Arc::new(Relay::start_with(PATIENT));
    let exit = AgentByHand::at(&relay, "harbour.acme").await;
    let (mut caller, mut stream) = on_board(&exit).await;
    relay.process.ask_to_end();
    await_refusal(relay.address);
    assert!(relay.process.readiness().1.contains("draining"));

    stream
        .write_all(b"still here")
        .await
        .expect("the relay carries on");
    stream.shutdown().await.expect("an end");
    assert_eq!(
        entrance::hear_out(&mut caller).await.expect("a clean end"),
        b"still here"
    );
    caller
        .write_all(b"so am I")
        .await
        .expect("the relay carries on");
    assert!(
        relay.process.ended().is_none(),
        "the caller has not finished"
    );
    caller.shutdown().await.expect("an end");
    let mut heard = Vec::new();
    wait::within("the caller's end", stream.read_to_end(&mut heard))
        .await
        .expect("a clean end");
    assert_eq!(heard, b"so am I");
    assert_eq!(relay.process.await_end().code(), Some(0));
}

async fn on_board(exit: &AgentByHand) -> (TcpStream, gangplank_tunnel::Stream) {
    let hello = hello::asking_for(exit.entrance.as_bytes());
    let mut caller = entrance::connect(exit.relay.address).await;
    caller.write_all(&hello).await.expect("the relay reads");
    let (_, mut stream) = exit.caller().await;
    let mut arrived = vec![0; hello.len()];
    wait::within("the hello", stream.read_exact(&mut arrived))
        .await
        .expect("all of it");
    (caller, stream)
}

/// A watch ends behind a whole event, however the events are cut on their way, and ends cleanly: the client takes it
/// up again elsewhere. A list that looks like it is never cut.
#[tokio::test(flavor = "multi_thread")]
async fn watches_end_between_events() {
    for way in WAYS {
        for protocol in PROTOCOLS {
            let (server, mut answers) = server_with_bodies_by_hand().await;
            let organisation = Organisation::new("acme");
            let mut site = Site::start(way, &server.kubeconfig(), &[&organisation]);
            make_patient(&mut site);
            let papers = organisation.caller("a");
            let mut watching = Connection::open(&site, Some(&papers), protocol).await;
            let mut watch = watching
                .get("/api/v1/pods?watch=1")
                .await
                .expect("an answer")
                .into_body();
            let events = answers.recv().await.expect("its body");
            let (half, rest) = EVENT.split_at(9);
            send(&events, EVENT).await;
            send(&events, half).await;
            let mut seen = String::new();
            while seen.len() < EVENT.len() + half.len() {
                seen.push_str(&next(&mut watch).await.expect("more"));
            }
            let mut listing = Connection::open(&site, Some(&papers), protocol).await;
            let mut list = listing
                .get("/api/v1/pods")
                .await
                .expect("an answer")
                .into_body();
            let items = answers.recv().await.expect("its body");
            send(&items, EVENT).await;
            assert_eq!(next(&mut list).await.as_deref(), Some(EVENT));

            site.exit.ask_to_end();
            await_draining(&site);
            await_nobody_is_taken(&site).await;
            send(&events, rest).await;
            while let Some(more) = next(&mut watch).await {
                seen.push_str(&more);
            }
            assert_eq!(
                seen,
                EVENT.repeat(2),
                "{way:?} {protocol:?}: two whole events"
            );
            assert!(
                site.exit.ended().is_none(),
                "{way:?} {protocol:?}: the list goes on"
            );
            send(&items, EVENT).await;
            drop(items);
            let mut listed = String::new();
            while let Some(more) = next(&mut list).await {
                listed.push_str(&more);
            }
            assert_eq!(listed, EVENT, "{way:?} {protocol:?}: the list was not cut");
            assert_eq!(
                site.exit.await_end().code(),
                Some(0),
                "{way:?} {protocol:?}"
            );
        }
    }
}

type Feed = mpsc::Sender<Bytes>;

/// A server whose answers' bodies are fed by the test, in the order of the requests.
async fn server_with_bodies_by_hand() -> (FakeApiServer, mpsc::Receiver<Feed>) {
    let (feeds, fed) = mpsc::channel(8);
    let feeds = Mutex::new(feeds);
    let server = FakeApiServer::start(&["h2", "http/1.1"], move |_| {
        let (feed, pieces) = mpsc::channel::<Bytes>(8);
        feeds.lock().try_send(feed).expect("the test looks at each");
        Box::pin(async move {
            let answer = Response::builder().header("content-type", "application/json");
            answer.body(body_of(pieces)).expect("a response")
        })
    });
    (server.await, fed)
}

fn body_of(pieces: mpsc::Receiver<Bytes>) -> AnswerBody {
    let frames = stream::unfold(pieces, |mut pieces| async {
        let piece = pieces.recv().await?;
        Some((Ok(Frame::data(piece)), pieces))
    });
    BodyExt::boxed(StreamBody::new(frames))
}

async fn send(feed: &Feed, text: &str) {
    feed.send(Bytes::copy_from_slice(text.as_bytes()))
        .await
        .expect("it is still read");
}

/// The next piece of a body; `None` at its clean end.
async fn next(body: &mut hyper::body::Incoming) -> Option<String> {
    let frame = wait::within("a piece of a body", body.frame()).await?;
    let piece = frame.expect("no break").into_data().expect("data");
    Some(String::from_utf8(piece.to_vec()).expect("text"))
}

//! An agent renews its certificate while callers are served: none of them notices, and no watch breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::support::certificates::{Organisation, Papers};
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::{FakeApiServer, ok};
use crate::support::path::{Relay, Site};
use crate::support::{measured, wait};

const NAME: &str = "harbour.acme";

/// Fifty requests a second.
const PACE: Duration = Duration::from_millis(20);

/// A server with one watch that counts aloud, five times a second, and an answer to everything else.
async fn counting_server() -> FakeApiServer {
    FakeApiServer::start(&["h2", "http/1.1"], |request| {
        let watches = request.uri().path() == "/watch";
        Box::pin(async move {
            if !watches {
                return ok("{}");
            }
            let counting = stream::unfold(0_u64, |number| async move {
                sleep(Duration::from_millis(200)).await;
                let line = Bytes::from(format!("{number}\n"));
                Some((Ok(Frame::data(line)), number + 1))
            });
            let answer = Response::builder().header("content-type", "application/json");
            answer
                .body(BodyExt::boxed(StreamBody::new(counting)))
                .expect("a response")
        })
    })
    .await
}

/// Reads a watch for ever, which is its test: each number follows the one before.
async fn follow(mut watch: Incoming, heard: Arc<AtomicUsize>) {
    let mut rest = String::new();
    loop {
        let frame = wait::within("a number", watch.frame())
            .await
            .expect("no end");
        let piece = frame.expect("no break").into_data().expect("data");
        rest += std::str::from_utf8(&piece).expect("digits");
        while let Some((number, others)) = rest.split_once('\n') {
            let number: usize = number.parse().expect("a number");
            assert_eq!(number, heard.fetch_add(1, Ordering::SeqCst));
            rest = others.to_owned();
        }
    }
}

/// Asks at the pace, in turn on a connection that stays and on a new one; answers how often.
async fn ask(site: &Site, papers: &Papers, mut until: impl FnMut() -> bool) -> usize {
    let mut kept = Connection::open(site, Some(papers), Protocol::One).await;
    let mut due = interval(PACE);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut asked = 0;
    while !until() {
        due.tick().await;
        let answer = if asked % 50 == 49 {
            let protocol = PROTOCOLS[asked / 50 % 2];
            let mut new = Connection::open(site, Some(papers), protocol).await;
            new.fetch("/new").await
        } else {
            kept.fetch("/kept").await
        };
        assert_eq!(answer.expect("an answer").0, 200, "request {asked}");
        asked += 1;
    }
    asked
}

/// Serves with certificates of so many seconds until so many renewals were done.
async fn serve_through(lifetime: u64, renewals: u32) -> String {
    let (fake, organisation) = (counting_server().await, Organisation::new("acme"));
    let relay = Arc::new(Relay::start_enrolling(lifetime));
    let site = Site::joined(&relay, NAME, &fake.kubeconfig(), &[&organisation]);
    let papers = organisation.caller("a");
    let heard = Arc::new(AtomicUsize::new(0));
    let mut watching = Connection::open(&site, Some(&papers), Protocol::Two).await;
    let watch = watching.get("/watch").await.expect("an answer").into_body();
    let following = tokio::spawn(follow(watch, Arc::clone(&heard)));
    let renewed = || {
        let line = "gangplank_agent_renewals_total{outcome=\"Renewed\"}";
        site.exit.metric(line).unwrap_or_default()
    };
    let begun = Instant::now();
    let mut looked = begun;
    let asked = ask(&site, &papers, || {
        let look = looked.elapsed() >= Duration::from_secs(1);
        if look {
            looked = Instant::now();
        }
        look && renewed() >= f64::from(renewals)
    })
    .await;
    assert!(!following.is_finished(), "{:?}", following.await);
    following.abort();
    // A tunnel outlives its successor's arrival only as long as it carries somebody: the watch's does.
    wait::until("the newest certificate to be in use", || {
        relay.has_tunnel(NAME).then_some(())
    });
    let failed = site.exit.metrics();
    assert!(
        !failed.contains("gangplank_agent_renewals_total{outcome=\"H"),
        "{failed}"
    );
    format!(
        "{asked} requests and a watch of {} events in {:.0} s, {} renewals of a certificate of {lifetime} s: 0 failures",
        heard.load(Ordering::SeqCst),
        begun.elapsed().as_secs_f64(),
        renewed()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn of_short_certificates() {
    serve_through(10, 2).await;
}

/// Five minutes of fifty requests a second with certificates of a minute.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: make soak"]
async fn soak_of_a_minute_each() {
    measured::tell(&serve_through(60, 7).await);
}

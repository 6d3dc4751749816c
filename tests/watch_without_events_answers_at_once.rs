//! A watch that has nothing to tell yet is answered all the same, and may stay silent for as long as it likes.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::Semaphore;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::{AnswerBody, FakeApiServer};
use crate::support::path::{Site, WAYS};
use crate::support::wait;

/// Longer than a tunnel without traffic lives (13 s), so that its keepalives are what keeps the watch.
const SILENCE: Duration = Duration::from_secs(14);

/// Until the test lets the event go, the API server has sent the answer's headers and nothing else.
static EVENTS: Semaphore = Semaphore::const_new(0);

/// Cases C1 and C3: headers come without an event; after a long silence the event comes, then a clean end.
#[tokio::test(flavor = "multi_thread")]
async fn and_may_stay_silent() {
    let organisation = Organisation::new("acme");
    let papers = organisation.caller("a");
    let mut watches = Vec::new();
    let mut sites = Vec::new();
    for upstream in ["h2", "http/1.1"] {
        let fake = FakeApiServer::start(&[upstream], |_| {
            Box::pin(async { Response::new(one_event()) })
        })
        .await;
        for way in WAYS {
            let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
            for protocol in PROTOCOLS {
                let mut connection = Connection::open(&site, Some(&papers), protocol).await;
                let watch = connection
                    .get("/watch")
                    .await
                    .expect("the headers, without any event");
                watches.push((watch, connection));
            }
            sites.push(site);
        }
    }
    // This test is about silence, and there is no predicate for it.
    tokio::time::sleep(SILENCE).await;
    EVENTS.add_permits(watches.len());
    for (watch, _connection) in watches {
        let body = wait::within("the event", watch.into_body().collect())
            .await
            .expect("the watch is whole");
        assert_eq!(body.to_bytes(), "event");
    }
}

fn one_event() -> AnswerBody {
    let event = futures_util::stream::once(async {
        EVENTS.acquire().await.expect("it is never closed").forget();
        Ok(Frame::data(Bytes::from("event")))
    });
    StreamBody::new(event).boxed()
}

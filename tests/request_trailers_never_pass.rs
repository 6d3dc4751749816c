//! Trailers of a request could say who someone is after everything was checked: they end at the exit.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use parking_lot::Mutex;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::{FakeApiServer, ok};
use crate::support::path::{Site, Way};
use crate::support::wire::{self, Wire};

/// Case B26: after an HTTP/1.1 chunked body and after an HTTP/2 body.
#[tokio::test(flavor = "multi_thread")]
async fn of_either_version() {
    let organisation = Organisation::new("acme");
    let papers = organisation.caller("a");
    for upstream in ["h2", "http/1.1"] {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&bodies);
        let fake = FakeApiServer::start(&[upstream], move |request| {
            let seen = Arc::clone(&seen);
            Box::pin(async move {
                let body = request.into_body().collect().await.expect("a whole body");
                let trailers = body.trailers().cloned();
                seen.lock().push((body.to_bytes(), trailers));
                ok("{}")
            })
        })
        .await;
        let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);

        let mut wire = Wire::open(&site, &papers).await;
        wire.say(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Impersonate-User, Authorization\r\n\
             \r\n4\r\nbody\r\n0\r\nImpersonate-User: root\r\nAuthorization: Bearer stolen\r\n\r\n",
        )
        .await;
        assert_eq!(wire::status(&wire.head().await), 200);

        let mut trailers = HeaderMap::new();
        trailers.insert("impersonate-user", HeaderValue::from_static("root"));
        trailers.insert("authorization", HeaderValue::from_static("Bearer stolen"));
        let frames = [
            Ok(Frame::data(Bytes::from("body"))),
            Ok(Frame::trailers(trailers)),
        ];
        let request =
            Request::post("/").body(StreamBody::new(futures_util::stream::iter(frames)).boxed());
        let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
        let answer = connection
            .send(request.expect("a request"))
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);

        let bodies = bodies.lock().clone();
        assert_eq!(
            bodies,
            [(Bytes::from("body"), None), (Bytes::from("body"), None)],
            "{upstream}"
        );
        for request in fake.arrived() {
            assert_eq!(
                request.values("impersonate-user"),
                [organisation.username("a")]
            );
            assert!(request.values("trailer").is_empty(), "{request:?}");
        }
    }
}

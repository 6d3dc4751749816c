//! client-go asks with a PING whether a connection still lives, and closes it when no answer comes: streams that stand
//! still because nobody reads them delay none.

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;

use crate::support::certificates::Organisation;
use crate::support::fake_api_server::{FakeApiServer, ok};
use crate::support::path::{Site, WAYS};
use crate::support::{caller, wait};

/// Streams that nobody reads.
const STALLED: usize = 20;

const PINGS: usize = 5;

/// Case C30.
#[tokio::test(flavor = "multi_thread")]
async fn one_after_the_other() {
    let organisation = Organisation::new("acme");
    let fake = FakeApiServer::start(&["h2"], |request| {
        let endless = request.uri().path() == "/endless";
        Box::pin(async move {
            if !endless {
                return ok("{}");
            }
            let pieces =
                stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[7; 16 << 10]))));
            Response::new(StreamBody::new(pieces).boxed())
        })
    })
    .await;
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        let stream = caller::board(&site, Some(&organisation.caller("a")), &["h2"]).await;
        let (mut sender, mut connection) = h2::client::handshake(stream.expect("TLS"))
            .await
            .expect("HTTP/2");
        let mut pings = connection.ping_pong().expect("the first to ask");
        let running = tokio::spawn(connection);
        let mut held = Vec::new();
        for _ in 0..STALLED {
            let uri = format!("https://{}/endless", site.entrance);
            let request = Request::get(uri).body(()).expect("a request");
            sender = sender.ready().await.expect("a place");
            let (answer, _) = sender.send_request(request, true).expect("sent");
            let answer = wait::within("an answer", answer).await.expect("an answer");
            assert_eq!(answer.status(), 200);
            held.push(answer.into_body());
        }
        for _ in 0..PINGS {
            let pong = pings.ping(h2::Ping::opaque());
            wait::within("the answer to a PING", pong)
                .await
                .unwrap_or_else(|error| panic!("{way:?}: {error}"));
        }
        assert_eq!(held.len(), STALLED);
        running.abort();
    }
}

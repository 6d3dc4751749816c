//! The API server may answer before a request's body has ended; the caller gets that answer.

use std::path::Path;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use crate::support::caller::{self, AnyBody};
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::{FakeApiServer, whole};
use crate::support::path::{Site, WAYS};
use crate::support::raw_api_server::RawApiServer;

/// Case C10: the body never ends, and is longer than every window on the way; 413 and 403 come nevertheless.
#[tokio::test(flavor = "multi_thread")]
async fn from_an_http2_api_server() {
    let fake = FakeApiServer::start(&["h2"], |request| {
        let code = request.uri().path().trim_start_matches('/').to_owned();
        let answer = Response::builder().status(code.as_str());
        let answer = answer.body(whole("why")).expect("a response");
        Box::pin(async { answer })
    })
    .await;
    assert_answered(&fake.kubeconfig()).await;
}

/// Case C10: the server reads on after its answer, as one must for the answer to survive on TCP.
#[tokio::test(flavor = "multi_thread")]
async fn from_an_http1_api_server() {
    let raw = RawApiServer::start().await;
    let kubeconfig = raw.kubeconfig();
    let answering = async {
        loop {
            let mut asked = raw.asked().await;
            let code = if asked.head.starts_with("POST /413 ") {
                413
            } else {
                403
            };
            let head = format!("HTTP/1.1 {code} No\r\nConnection: close\r\nContent-Length: 3");
            asked.wire.say(format!("{head}\r\n\r\nwhy")).await;
            tokio::spawn(async move { asked.wire.rest().await });
        }
    };
    tokio::select! {
        () = assert_answered(&kubeconfig) => {}
        () = answering => {}
    }
}

async fn assert_answered(upstream: &Path) {
    let organisation = Organisation::new("acme");
    let papers = organisation.caller("a");
    for way in WAYS {
        let site = Site::start(way, upstream, &[&organisation]);
        for protocol in PROTOCOLS {
            for code in [413, 403] {
                let mut connection = Connection::open(&site, Some(&papers), protocol).await;
                let request = Request::post(format!("/{code}")).body(endless());
                let answer = connection.send(request.expect("a request")).await;
                let answer = answer.expect("the answer, while the body is being sent");
                assert_eq!(answer.status(), code, "{way:?} {protocol:?}");
                assert_eq!(caller::read(answer).await, b"why");
            }
        }
    }
}

/// Eight MiB at once, then nothing more, and no end.
fn endless() -> AnyBody {
    let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
    let much = futures_util::stream::iter((0..128).map(move |_| Ok(Frame::data(chunk.clone()))));
    BodyExt::boxed(StreamBody::new(much.chain(futures_util::stream::pending())))
}

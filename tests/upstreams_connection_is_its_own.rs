//! What the API server says about its connection is about that connection: callers do not hear of it, and their other
//! streams go on.

use std::sync::Arc;

use http::Request;
use tokio::sync::Mutex;

use crate::support::caller;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::path::{Site, WAYS};
use crate::support::raw_api_server::{Asked, RawApiServer};

/// Case B30: an answer that closes, beside one that is still awaited on the same connection of the caller.
#[tokio::test(flavor = "multi_thread")]
async fn also_when_it_closes() {
    let (raw, organisation) = (
        Arc::new(RawApiServer::start().await),
        Organisation::new("acme"),
    );
    for way in WAYS {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        let papers = organisation.caller("a");
        for protocol in PROTOCOLS {
            let mut connection = Connection::open(&site, Some(&papers), protocol).await;
            let server = Arc::clone(&raw);
            let serving = tokio::spawn(async move {
                close_behind_an_answer(server.asked().await).await;
            });
            let answer = connection.get("/closes").await.expect("an answer");
            for name in ["keep-alive", "x-hop", "proxy-connection", "upgrade"] {
                let found = answer.headers().get(name);
                assert_eq!(found, None, "{way:?} {protocol:?}");
            }
            if protocol == Protocol::Two {
                assert_eq!(answer.headers().get("connection"), None, "{way:?}");
            }
            assert_eq!(answer.headers()["x-kept"], "1");
            assert_eq!(caller::read(answer).await, b"done", "{way:?} {protocol:?}");
            serving.await.expect("it answered");
            // On the same connection of the caller, over another one of the exit's.
            let server = Arc::clone(&raw);
            let serving = tokio::spawn(async move {
                close_behind_an_answer(server.asked().await).await;
            });
            let again = connection.fetch("/again").await.expect("it is kept");
            assert_eq!(again, (200, "done".to_owned()), "{way:?} {protocol:?}");
            serving.await.expect("it answered");
        }
    }
}

/// Case B30: of two requests on one connection of HTTP/2 one is answered with a close; the other hears nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn beside_another_stream() {
    let (raw, organisation) = (RawApiServer::start().await, Organisation::new("acme"));
    for way in WAYS {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        let papers = organisation.caller("a");
        let stream = caller::board(&site, Some(&papers), &["h2"]).await;
        let sender = Mutex::new(caller::http2_over(stream.expect("the handshake")).await);
        let ask = async |path: &str| {
            let request = Request::get(format!("https://{}{path}", site.entrance));
            let request = request.body(caller::body("")).expect("a request");
            let answer = sender.lock().await.send_request(request);
            caller::read(answer.await.expect("an answer")).await
        };
        let server = async {
            let both = [raw.asked().await, raw.asked().await];
            for asked in both {
                close_behind_an_answer(asked).await;
            }
        };
        let (one, two, ()) = tokio::join!(ask("/one"), ask("/two"), server);
        assert_eq!((&*one, &*two), (&b"done"[..], &b"done"[..]), "{way:?}");
    }
}

async fn close_behind_an_answer(mut asked: Asked) {
    asked
        .wire
        .say(
            "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: close\r\n\
             X-Kept: 1\r\nContent-Length: 4\r\n\r\ndone",
        )
        .await;
    asked.wire.finish().await;
}

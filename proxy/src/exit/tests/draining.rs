//! How a connection ends when this exit does.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::stage::{BOUND, Http, Stage, fed, get, read, text};

async fn both(stage: &Stage, drain: &CancellationToken) -> [Http; 2] {
    let papers = stage.partner("x");
    [
        Http::One(stage.http1_draining(Some(&papers), drain.clone()).await),
        Http::Two(stage.http2_draining(Some(&papers), drain.clone()).await),
    ]
}

#[tokio::test]
async fn requests_finish_and_the_connection_closes() {
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let stage = Stage::new(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            Response::new(text("done"))
        }
    })
    .await;
    for index in 0..2 {
        let drain = CancellationToken::new();
        let mut http = both(&stage, &drain).await.into_iter().nth(index).unwrap();
        let (response, ()) = tokio::join!(http.send(get("/api")), async {
            while stage.api.seen().len() <= index {
                tokio::task::yield_now().await;
            }
            drain.cancel();
            opened.notify_one();
        });
        let response = response.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(read(response).await, "done");
        http.closed().await;
    }
}

#[tokio::test]
async fn idle_connections_close() {
    let stage = Stage::new(|_| async { Response::new(text("")) }).await;
    let drain = CancellationToken::new();
    let mut idle = both(&stage, &drain).await;
    for http in &mut idle {
        drop(read(http.send(get("/api")).await.unwrap()).await);
    }
    drain.cancel();
    for http in &mut idle {
        http.closed().await;
    }
}

#[tokio::test]
async fn a_watch_ends_cleanly_between_two_events_and_a_list_is_finished() {
    let (feeds, mut fed_bodies) = mpsc::channel(4);
    let feeds = Arc::new(feeds);
    let stage = Stage::new(move |_: Request<Incoming>| {
        let feeds = Arc::clone(&feeds);
        async move {
            let (feed, body) = fed();
            feeds.send(feed).await.unwrap();
            Response::builder()
                .header("content-type", "application/json")
                .body(body)
                .unwrap()
        }
    })
    .await;
    for index in 0..2 {
        let drain = CancellationToken::new();
        let mut http = both(&stage, &drain).await.into_iter().nth(index).unwrap();
        let mut watch = http
            .send(get("/api/v1/pods?watch=true"))
            .await
            .unwrap()
            .into_body();
        let feed = fed_bodies.recv().await.unwrap();
        feed.send(Ok(Bytes::from_static(b"{\"type\":\"ADDED\"}\n{\"ha")))
            .await
            .unwrap();
        timeout(BOUND, watch.frame())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        drain.cancel();
        feed.send(Ok(Bytes::from_static(b"lf\":2}\n")))
            .await
            .unwrap();
        let rest = timeout(BOUND, watch.collect())
            .await
            .expect("it ends")
            .expect("cleanly");
        assert_eq!(rest.to_bytes(), "lf\":2}\n");

        let drain = CancellationToken::new();
        let mut http = both(&stage, &drain).await.into_iter().nth(index).unwrap();
        let list = http.send(get("/api")).await.unwrap();
        let feed = fed_bodies.recv().await.unwrap();
        feed.send(Ok(Bytes::from_static(b"{\"items\":[\n")))
            .await
            .unwrap();
        drain.cancel();
        feed.send(Ok(Bytes::from_static(b"]}\n"))).await.unwrap();
        drop(feed);
        assert_eq!(
            timeout(BOUND, read(list)).await.unwrap(),
            "{\"items\":[\n]}\n"
        );
        http.closed().await;
    }
}

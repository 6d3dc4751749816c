//! What ends, and what does not, when trust changes under a connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::stage::{BOUND, Http, PARTNERS, Stage, caller, fed, get, issue_for, read, text};
use super::upgrades::{echoing, upgraded};

/// The contract's second.
const AT_MOST: Duration = Duration::from_secs(1);

type Feeds = mpsc::Receiver<mpsc::Sender<std::io::Result<Bytes>>>;

/// An API server whose watches the test feeds; everything else is answered with the username.
async fn watched() -> (Stage, Feeds) {
    let (feeds, fed_bodies) = mpsc::channel(16);
    let feeds = Arc::new(feeds);
    let stage = Stage::new(move |request: Request<Incoming>| {
        let feeds = Arc::clone(&feeds);
        async move {
            if request.uri().query() == Some("watch=true") {
                let (feed, body) = fed();
                feeds.send(feed).await.unwrap();
                return Response::new(body);
            }
            if request.uri().path() == "/never" {
                std::future::pending::<()>().await;
            }
            let user = request.headers()["impersonate-user"]
                .to_str()
                .unwrap()
                .to_owned();
            Response::new(text(user))
        }
    })
    .await;
    (stage, fed_bodies)
}

#[tokio::test]
async fn a_removed_provider_ends_its_watches_within_a_second_and_nobody_elses() {
    let (stage, mut feeds) = watched().await;
    let (partner, friend) = (stage.partner("x"), stage.friend("y"));
    for index in 0..2 {
        let mut theirs = Http::both(&stage, Some(&partner))
            .await
            .into_iter()
            .nth(index)
            .unwrap();
        let mut others = Http::both(&stage, Some(&friend))
            .await
            .into_iter()
            .nth(index)
            .unwrap();
        let cut = theirs.send(get("/api/v1/pods?watch=true")).await.unwrap();
        let cut_feed = feeds.recv().await.unwrap();
        let kept = others.send(get("/api/v1/pods?watch=true")).await.unwrap();
        let kept_feed = feeds.recv().await.unwrap();

        let began = Instant::now();
        stage.trust(vec![stage.provider_friends()]);
        let ended = timeout(AT_MOST, cut.into_body().collect())
            .await
            .expect("ended in time");
        assert!(ended.is_err(), "a cut watch does not look whole");
        timeout(AT_MOST, cut_feed.closed())
            .await
            .expect("upstream ended too");
        theirs.closed().await;
        assert!(began.elapsed() < AT_MOST);

        kept_feed
            .send(Ok(Bytes::from_static(b"event")))
            .await
            .unwrap();
        let frame = timeout(BOUND, kept.into_body().frame())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(frame.into_data().unwrap(), "event");
        stage.trust(vec![
            stage.provider_friends(),
            stage.provider_partners(PARTNERS),
        ]);
    }
}

#[tokio::test]
async fn a_removed_provider_ends_requests_that_wait_and_connections_that_idle() {
    let (stage, _feeds) = watched().await;
    let partner = stage.partner("x");
    let [mut one, mut two] = Http::both(&stage, Some(&partner)).await;
    let [mut idle_one, mut idle_two] = Http::both(&stage, Some(&partner)).await;
    for http in [&mut idle_one, &mut idle_two] {
        assert_eq!(
            http.send(get("/api")).await.unwrap().status(),
            StatusCode::OK
        );
    }
    let began = Instant::now();
    let changed = async {
        while stage.api.seen().len() < 4 {
            tokio::task::yield_now().await;
        }
        stage.trust(vec![stage.provider_friends()]);
    };
    let answers = async { tokio::join!(one.send(get("/never")), two.send(get("/never")), changed) };
    let (first, second, ()) = timeout(BOUND, answers)
        .await
        .expect("both are answered or cut");
    for response in [first, second].into_iter().flatten() {
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    for http in [&mut one, &mut two, &mut idle_one, &mut idle_two] {
        http.closed().await;
    }
    assert!(began.elapsed() < AT_MOST * 2);
}

#[tokio::test]
async fn a_changed_prefix_is_never_answered_in_the_old_name() {
    let (stage, _feeds) = watched().await;
    let papers = stage.partner("x");
    for mut http in Http::both(&stage, Some(&papers)).await {
        stage.trust(vec![
            stage.provider_friends(),
            stage.provider_partners(PARTNERS),
        ]);
        let response = http.send(get("/api")).await;
        if let Ok(response) = response
            && response.status() == StatusCode::OK
        {
            assert_eq!(read(response).await, format!("{PARTNERS}x"));
        }
        let before = stage.api.seen().len();
        stage.trust(vec![
            stage.provider_friends(),
            stage.provider_partners("spiffe://renamed/"),
        ]);
        match http.send(get("/api")).await {
            Ok(response) => assert_eq!(response.status(), StatusCode::UNAUTHORIZED),
            Err(error) => assert!(error.is_closed() || error.is_canceled() || !error.is_user()),
        }
        assert_eq!(stage.api.seen().len(), before);
        http.closed().await;
    }
    let mut http = Http::Two(stage.http2(Some(&papers)).await);
    assert_eq!(
        read(http.send(get("/api")).await.unwrap()).await,
        "spiffe://renamed/x"
    );
}

#[tokio::test]
async fn an_unrelated_change_disturbs_nothing() {
    let (stage, mut feeds) = watched().await;
    let papers = stage.partner("x");
    for mut http in Http::both(&stage, Some(&papers)).await {
        let watch = http.send(get("/api/v1/pods?watch=true")).await.unwrap();
        let feed = feeds.recv().await.unwrap();
        for _ in 0..5 {
            stage.trust(vec![stage.provider_partners(PARTNERS)]);
            stage.trust(vec![
                stage.provider_partners(PARTNERS),
                stage.provider_friends(),
            ]);
        }
        feed.send(Ok(Bytes::from_static(b"event"))).await.unwrap();
        let frame = timeout(BOUND, watch.into_body().frame())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(frame.into_data().unwrap(), "event");
    }
}

#[tokio::test]
async fn an_expired_certificate_ends_its_watch() {
    let (stage, mut feeds) = watched().await;
    let short = issue_for(
        &stage.partners,
        caller("x"),
        &*stage.clock,
        Duration::from_secs(2),
    );
    let (mut watches, mut kept) = (Vec::new(), Vec::new());
    let mut both = Http::both(&stage, Some(&short)).await;
    for http in &mut both {
        watches.push(http.send(get("/api/v1/pods?watch=true")).await.unwrap());
        kept.push(feeds.recv().await.unwrap());
    }
    // The connections look again when the certificate's last second has begun by their reckoning.
    stage.clock.advance(Duration::from_secs(3));
    for watch in watches {
        let ended = timeout(BOUND, watch.into_body().collect())
            .await
            .expect("ended");
        assert!(ended.is_err());
    }
}

#[tokio::test]
async fn a_removed_provider_ends_an_upgraded_connection() {
    let stage = Stage::new(echoing).await;
    let papers = stage.partner("x");
    let mut io = upgraded(&stage, &papers, "SPDY/3.1").await;
    io.write_all(b"ping").await.unwrap();
    let mut pong = [0; 4];
    timeout(BOUND, io.read_exact(&mut pong))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&pong, b"ping");
    stage.trust(vec![stage.provider_friends()]);
    let ended = timeout(AT_MOST, io.read(&mut pong))
        .await
        .expect("ended in time");
    assert!(ended.is_err(), "not a clean end: {ended:?}");
}

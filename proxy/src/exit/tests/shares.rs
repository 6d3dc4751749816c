//! What one organisation, and one caller, may use; and that it is told apart from everybody else's.

use std::io;

use bytes::Bytes;
use futures_util::stream;
use gangplank_config::role::limits::Limits;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::time::timeout;

use super::stage::{BOUND, ENTRANCE, Http, Stage, get, read, text};
use super::upgrades::{asking, echoing, upgraded};

fn class(response: &Response<Incoming>) -> String {
    let warning = response.headers()["warning"].to_str().unwrap();
    let text = warning.strip_prefix("299 gangplank \"").unwrap();
    text.split(':').next().unwrap().to_owned()
}

/// Sends until the answer has this status; answers how many others there were before it, and it.
async fn until(http: &mut Http, status: StatusCode) -> (usize, Response<Incoming>) {
    let asking = async {
        let mut others = 0;
        loop {
            let answer = http.send(get("/api")).await.unwrap();
            if answer.status() == status {
                return (others, answer);
            }
            drop(read(answer).await);
            others += 1;
        }
    };
    timeout(BOUND, asking).await.expect("it comes to that")
}

#[tokio::test]
async fn a_provider_that_sends_too_many_requests_is_told_so_and_others_are_served() {
    let limits = Limits {
        requests_per_second: 1,
        request_burst: 3,
        ..Limits::default()
    };
    let stage = Stage::with_limits(limits, |_| async { Response::new(text("{}")) }).await;
    let (one, friend) = (stage.partner("one"), stage.friend("friend"));
    let [mut other, _] = Http::both(&stage, Some(&stage.partner("other"))).await;
    let friends = Http::both(&stage, Some(&friend)).await;
    for (mut http, mut friend) in Http::both(&stage, Some(&one))
        .await
        .into_iter()
        .zip(friends)
    {
        let before = stage.api.seen().len();
        let (served, refused) = until(&mut http, StatusCode::TOO_MANY_REQUESTS).await;
        assert_eq!(class(&refused), "TooManyRequests");
        assert_eq!(refused.headers()["retry-after"], "1");
        let status = read(refused).await;
        assert!(status.contains(r#""code":429"#), "{status}");
        assert_eq!(
            stage.api.seen().len(),
            before + served,
            "none that was refused"
        );
        let answer = friend.send(get("/api")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "another provider's");
        // The same connection is good for more, once there is room.
        drop(until(&mut http, StatusCode::OK).await);
    }
    drop(until(&mut other, StatusCode::TOO_MANY_REQUESTS).await);
}

#[tokio::test]
async fn a_provider_has_so_many_upgraded_connections_and_may_open_another_when_one_ends() {
    let limits = Limits {
        upgrades: 1,
        ..Limits::default()
    };
    let stage = Stage::with_limits(limits, echoing).await;
    let papers = stage.partner("x");
    let open = upgraded(&stage, &papers, "SPDY/3.1").await;
    let mut sender = stage.http1(Some(&papers)).await;
    let answer = sender.send_request(asking("SPDY/3.1")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(class(&answer), "TooManyUpgrades");
    assert!(!answer.headers().contains_key("retry-after"));
    assert_eq!(answer.headers()["connection"], "close");
    assert_eq!(stage.api.seen().len(), 1, "nothing more upstream");
    drop(upgraded(&stage, &stage.friend("y"), "SPDY/3.1").await);
    drop(open);
    let again = async {
        loop {
            let mut sender = stage.http1(Some(&papers)).await;
            let answer = sender.send_request(asking("SPDY/3.1")).await.unwrap();
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                return;
            }
        }
    };
    timeout(BOUND, again)
        .await
        .expect("the place is given back");
}

#[tokio::test]
async fn an_upgrade_that_the_api_server_refuses_takes_no_place() {
    let limits = Limits {
        upgrades: 1,
        ..Limits::default()
    };
    let stage = Stage::with_limits(limits, |_| async {
        let mut refused = Response::new(text("no"));
        *refused.status_mut() = StatusCode::FORBIDDEN;
        refused
    })
    .await;
    let papers = stage.partner("x");
    for _ in 0..3 {
        let mut sender = stage.http1(Some(&papers)).await;
        let answer = sender.send_request(asking("SPDY/3.1")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn a_certificate_has_so_many_connections_and_the_next_is_told_and_closed() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let stage = Stage::with_limits(limits, |_| async { Response::new(text("{}")) }).await;
    let papers = stage.partner("x");
    let mut open = Http::both(&stage, Some(&papers)).await;
    for http in &mut open {
        assert_eq!(http.send(get("/")).await.unwrap().status(), StatusCode::OK);
    }
    for mut surplus in Http::both(&stage, Some(&papers)).await {
        let answer = surplus.send(get("/surplus")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(class(&answer), "TooManyConnections");
        assert!(!answer.headers().contains_key("retry-after"));
        drop(read(answer).await);
        surplus.closed().await;
    }
    let mut other = stage.http1(Some(&stage.partner("y"))).await;
    let answer = other.send_request(get("/")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "another certificate's");
    for http in &mut open {
        assert_eq!(http.send(get("/")).await.unwrap().status(), StatusCode::OK);
    }
    assert!(
        stage.api.seen().iter().all(|it| it.target != "/surplus"),
        "nothing upstream"
    );
    drop(open);
    let again = async {
        loop {
            let mut sender = stage.http1(Some(&papers)).await;
            let answer = sender.send_request(get("/")).await.unwrap();
            if answer.status() == StatusCode::OK {
                return;
            }
        }
    };
    timeout(BOUND, again)
        .await
        .expect("the place is given back");
}

/// What hangs at the API server, and who never reads, has a number.
#[tokio::test]
async fn a_provider_has_so_many_requests_under_way_and_others_are_served() {
    let limits = Limits {
        requests_at_once: 3,
        ..Limits::default()
    };
    let stage = Stage::with_limits(limits, |request| async move {
        if request.uri().path() == "/short" {
            return Response::new(text("{}"));
        }
        // It runs until its reader leaves.
        let frames = stream::pending::<io::Result<Frame<Bytes>>>();
        Response::new(StreamBody::new(frames).boxed())
    })
    .await;
    let (one, two) = (stage.partner("one"), stage.partner("two"));
    let mut http = stage.http2(Some(&one)).await;
    let ask = |target: &str| get(&format!("https://{ENTRANCE}{target}"));
    let mut watches = Vec::new();
    for _ in 0..3 {
        watches.push(http.send_request(ask("/api?watch=1")).await.unwrap());
    }
    for mut http in Http::both(&stage, Some(&two)).await {
        let refused = http.send(get("/short")).await.unwrap();
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(class(&refused), "TooManyAtOnce");
        assert_eq!(refused.headers()["retry-after"], "1");
        drop(read(refused).await);
    }
    for mut http in Http::both(&stage, Some(&stage.friend("friend"))).await {
        let answer = http.send(get("/short")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "another provider's");
    }
    assert_eq!(stage.api.seen().len(), 5, "none that was refused");
    watches.pop();
    let mut http = Http::Two(stage.http2(Some(&two)).await);
    drop(until(&mut http, StatusCode::OK).await);
}

/// Nobody is told who was refused once so many are being told, and who is let in does not notice.
#[tokio::test]
async fn strangers_have_so_many_connections_and_the_next_is_closed_without_a_word() {
    let stage =
        Stage::with_limits(Limits::default(), |_| async { Response::new(text("{}")) }).await;
    let handshake = &stage.exit.shared.handshake;
    let told: Vec<_> = std::iter::from_fn(|| handshake.place_to_be_told()).collect();
    for mut stranger in Http::both(&stage, None).await {
        assert!(stranger.send(get("/")).await.is_err());
    }
    for mut friend in Http::both(&stage, Some(&stage.friend("friend"))).await {
        assert_eq!(
            friend.send(get("/")).await.unwrap().status(),
            StatusCode::OK
        );
    }
    drop(told);
    for mut stranger in Http::both(&stage, None).await {
        let answer = stranger.send(get("/")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(stage.api.seen().len(), 2);
}

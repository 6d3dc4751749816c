//! Servers that are away, silent, refusing, or cut their answers short.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::Reason;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use tokio::net::TcpListener;

use super::fake::{self, Exchange, Sight};
use super::support::{Harness, Papers, post, until, within};
use crate::upstream::UpstreamError;
use crate::upstream::limits::Pace;
use gangplank_apiserver::{Deadlines, DialError};

async fn acting<F>(pace: Pace, act: F) -> (Harness, Arc<Sight>)
where
    F: Fn(Exchange) -> futures_util::future::BoxFuture<'static, ()> + Send + Sync + 'static,
{
    let papers = Papers::new();
    let config = fake::tls(&papers.server("127.0.0.1"), &["h2", "http/1.1"]);
    let (port, sight) = fake::http2(config, 100, act).await;
    (Harness::with_pace(&papers.upstream(port), pace), sight)
}

#[tokio::test]
async fn a_server_that_is_away_is_told_to_everyone_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let harness = Harness::new(&Papers::new().upstream(port));
    for answer in join_all((0..300).map(|_| harness.get("/get"))).await {
        let error = answer.unwrap_err();
        assert!(
            matches!(error, UpstreamError::Dial(DialError::Unreachable { .. })),
            "{error:?}"
        );
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(error.certainly_not_sent());
    }
    assert_eq!(harness.metrics.waiting.get(), 0);
    assert_eq!(
        harness.client.reachable().await.unwrap_err().reason(),
        "UpstreamUnreachable"
    );
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let pace = Pace {
        dial: Deadlines {
            handshake: Duration::from_millis(100),
            ..Deadlines::default()
        },
        ..Pace::default()
    };
    let harness = Harness::with_pace(&Papers::new().upstream(port), pace);
    for answer in join_all((0..20).map(|_| harness.get("/get"))).await {
        let error = answer.unwrap_err();
        assert!(
            matches!(error, UpstreamError::Dial(DialError::HandshakeLate { .. })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_told_as_that() {
    let mut upstream = Papers::new().upstream(1);
    upstream.server.host = "no-such-name.invalid".to_owned();
    let error = Harness::new(&upstream).get("/get").await.unwrap_err();
    assert!(
        matches!(error, UpstreamError::Dial(DialError::Unresolved { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed_and_replaced() {
    let pace = Pace {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(100),
        ..Pace::default()
    };
    let (harness, sight) = acting(pace, |exchange| {
        Box::pin(async move {
            match exchange.request.uri.path() {
                "/hang" => {
                    exchange.sight.freeze.notify_one();
                    std::future::pending::<()>().await;
                }
                _ => exchange.play().await,
            }
        })
    })
    .await;
    let mut watch = harness.get("/watch").await.unwrap().into_body();
    assert_eq!(
        within(watch.frame())
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap(),
        "event"
    );
    let error = harness.get("/hang").await.unwrap_err();
    assert!(matches!(error, UpstreamError::Silent(_)), "{error:?}");
    assert!(!error.certainly_not_sent());
    assert!(within(watch.frame()).await.unwrap().is_err());
    assert_eq!(harness.text("/get").await, "/get");
    assert_eq!(sight.connections(), 2);
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_when_it_has_no_body() {
    let refused = AtomicUsize::new(0);
    let (harness, sight) = acting(Pace::default(), move |exchange| {
        let first = refused.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        Box::pin(async move {
            if first {
                exchange.refuse();
            } else {
                exchange.play().await;
            }
        })
    })
    .await;
    assert_eq!(harness.text("/get").await, "/get");
    assert_eq!(sight.lines(), ["GET /get", "GET /get"]);

    let error = harness.send(post("/pods", "body").await).await.unwrap_err();
    assert!(
        matches!(error, UpstreamError::RefusedUnprocessed { attempts: 1 }),
        "{error:?}"
    );
    assert!(error.certainly_not_sent());
    assert_eq!(sight.lines(), ["GET /get", "GET /get", "POST /pods"]);
}

#[tokio::test]
async fn a_server_that_refuses_everything_is_not_asked_for_ever() {
    let (harness, sight) = acting(Pace::default(), |exchange| {
        Box::pin(async move { exchange.refuse() })
    })
    .await;
    let error = harness.get("/get").await.unwrap_err();
    assert!(
        matches!(error, UpstreamError::RefusedUnprocessed { .. }),
        "{error:?}"
    );
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(sight.lines().len() < 10);
}

#[tokio::test]
async fn a_request_that_may_have_been_executed_is_not_sent_again() {
    let (harness, sight) = acting(Pace::default(), |mut exchange| {
        Box::pin(async move {
            match exchange.request.uri.path() {
                "/cut" => exchange.sight.cut.notify_one(),
                _ => exchange.respond.send_reset(Reason::INTERNAL_ERROR),
            }
            until("nothing", || true).await;
        })
    })
    .await;
    for path in ["/reset", "/cut"] {
        let error = harness.get(path).await.unwrap_err();
        assert!(matches!(error, UpstreamError::BrokeOff(_)), "{error:?}");
        assert_eq!(error.status(), StatusCode::BAD_GATEWAY);
        assert!(!error.certainly_not_sent());
    }
    assert_eq!(sight.lines(), ["GET /reset", "GET /cut"]);
}

#[tokio::test]
async fn a_body_cut_short_never_looks_complete() {
    let (harness, sight) = acting(Pace::default(), |mut exchange| {
        Box::pin(async move {
            let mut stream = exchange.begin();
            stream
                .send_data(Bytes::from_static(b"half"), false)
                .unwrap();
            exchange.sight.proceed.notified().await;
            match exchange.request.uri.path() {
                "/error" => stream.send_reset(Reason::INTERNAL_ERROR),
                "/cancel" => stream.send_reset(Reason::CANCEL),
                "/no-error" => stream.send_reset(Reason::NO_ERROR),
                _ => exchange.sight.cut.notify_one(),
            }
        })
    })
    .await;
    for path in ["/error", "/cancel", "/no-error", "/cut"] {
        let mut body = harness.get(path).await.unwrap().into_body();
        assert_eq!(
            within(body.frame())
                .await
                .unwrap()
                .unwrap()
                .into_data()
                .unwrap(),
            "half"
        );
        sight.proceed.notify_one();
        assert!(within(body.frame()).await.unwrap().is_err(), "{path}");
    }
}

#[tokio::test]
async fn sixty_kilobytes_of_headers_are_relayed() {
    let (harness, _sight) = acting(Pace::default(), |mut exchange| {
        Box::pin(async move {
            let mut response = Response::new(());
            for _ in 0..15 {
                let warning = format!("299 - \"{}\"", "w".repeat(4096));
                response
                    .headers_mut()
                    .append("warning", warning.parse().unwrap());
            }
            exchange.respond.send_response(response, true).unwrap();
        })
    })
    .await;
    let response = harness.get("/get").await.unwrap();
    assert_eq!(response.headers().get_all("warning").iter().count(), 15);
}

#[tokio::test]
async fn a_caller_who_leaves_frees_the_place() {
    let (harness, sight) = acting(Pace::default(), |exchange| {
        Box::pin(async move {
            let mut exchange = exchange;
            let respond = &mut exchange.respond;
            let reset = std::future::poll_fn(|cx| respond.poll_reset(cx))
                .await
                .unwrap();
            exchange.sight.requests.lock().push(format!("{reset:?}"));
        })
    })
    .await;
    {
        let sent = harness.get("/never");
        tokio::pin!(sent);
        let arrived = until("it arrived", || sight.lines().len() == 1);
        tokio::select! {
            _ = &mut sent => panic!("answered"),
            () = arrived => {}
        }
        assert_eq!(harness.metrics.streams.get(), 1);
    }
    until("the server is told", || sight.lines().len() == 2).await;
    assert_eq!(sight.lines()[1], "CANCEL");
    until("its place is free", || harness.metrics.streams.get() == 0).await;
}

//! What HTTP carries, and what it must not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gangplank_tcp::Listener;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::stage::{BOUND, ENTRANCE, Http, Stage, fed, get, read, secure, text};
use crate::listen::TcpProxy;

/// An API server that sends the request's body back.
async fn echo() -> Stage {
    Stage::new(|request: Request<hyper::body::Incoming>| async move {
        let mut response = Response::new(text(""));
        if let Ok(body) = request.into_body().collect().await {
            let had = body.trailers().map_or(0, HeaderMap::len).to_string();
            response
                .headers_mut()
                .insert("trailers", had.parse().unwrap());
            *response.body_mut() = text(body.to_bytes());
        }
        response
    })
    .await
}

#[tokio::test]
async fn path_and_query_pass_byte_for_byte() {
    let stage = echo().await;
    let papers = stage.partner("x");
    let long = format!("/api?labelSelector={}", "a%2Cb".repeat(12_000));
    let targets = [
        "/api/v1/../x",
        "//api//",
        "/a%2Fb/%2e%2e/c",
        "/a;b=c/d+e",
        "/a%/b%zz",
        "/a?",
        "/a?b?c&d=%2F+%20",
        "/a?x=[y]&{z}",
        &long,
    ];
    let mut sent = Vec::new();
    for mut http in Http::both(&stage, Some(&papers)).await {
        for target in targets {
            let response = http.send(get(target)).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{target}");
            drop(read(response).await);
            sent.push(target.to_owned());
        }
    }
    let seen: Vec<_> = stage
        .api
        .seen()
        .into_iter()
        .map(|seen| seen.target)
        .collect();
    assert_eq!(seen, sent);
}

#[tokio::test]
async fn bodies_pass_whole_and_trailers_do_not() {
    let stage = echo().await;
    let papers = stage.partner("x");
    for mut http in Http::both(&stage, Some(&papers)).await {
        let mut trailers = HeaderMap::new();
        trailers.insert("impersonate-user", "root".parse().unwrap());
        trailers.insert("authorization", "Bearer mine".parse().unwrap());
        let frames = vec![
            Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"half "))),
            Ok(Frame::data(Bytes::from_static(b"and half"))),
            Ok(Frame::trailers(trailers)),
        ];
        let body = BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)));
        let request = Request::post("/api")
            .header("host", ENTRANCE)
            .header("trailer", "Impersonate-User, Authorization")
            .body(body)
            .unwrap();
        let response = http.send(request).await.unwrap();
        assert_eq!(response.headers()["trailers"], "0");
        assert_eq!(read(response).await, "half and half");
    }
    for seen in stage.api.seen() {
        assert!(!seen.headers.contains_key("trailer"));
        assert_eq!(seen.headers.get_all("impersonate-user").iter().count(), 1);
    }
}

#[tokio::test]
async fn many_and_long_headers_pass() {
    let stage = echo().await;
    let papers = stage.partner("x");
    for mut http in Http::both(&stage, Some(&papers)).await {
        let mut request = get("/many");
        for number in 0..250 {
            let name = http::HeaderName::try_from(format!("x-small-{number}")).unwrap();
            request.headers_mut().insert(name, "1".parse().unwrap());
        }
        assert_eq!(http.send(request).await.unwrap().status(), StatusCode::OK);
        let mut request = get("/long");
        request
            .headers_mut()
            .insert("x-long", "a".repeat(60_000).parse().unwrap());
        assert_eq!(http.send(request).await.unwrap().status(), StatusCode::OK);
    }
    for seen in stage.api.seen() {
        let expected = if seen.target == "/many" { 250 } else { 1 };
        let passed = seen
            .headers
            .keys()
            .filter(|name| name.as_str().starts_with("x-"))
            .count();
        assert_eq!(passed, expected);
    }
}

#[tokio::test]
async fn answers_pass_as_they_are_but_for_what_is_about_the_connection() {
    let stage = Stage::new(|request: Request<hyper::body::Incoming>| async move {
        let response = Response::builder()
            .header("audit-id", "kas")
            .header("warning", "299 - \"old\"")
            .header("retry-after", "7")
            .header("x-kubernetes-pf-flowschema-uid", "u")
            .header("location", "https://elsewhere.example.com/")
            .header("content-encoding", "gzip");
        let code: u16 = request.uri().query().unwrap().parse().unwrap();
        let bodiless = code == 204 || code == 304 || request.method() == Method::HEAD;
        response
            .status(code)
            .body(text(if bodiless { "" } else { "\u{1f}raw" }))
            .unwrap()
    })
    .await;
    let papers = stage.partner("x");
    for mut http in Http::both(&stage, Some(&papers)).await {
        for code in [
            200, 201, 204, 301, 302, 304, 307, 401, 403, 404, 409, 410, 422, 429, 500, 503, 504,
        ] {
            let response = http.send(get(&format!("/x?{code}"))).await.unwrap();
            assert_eq!(response.status(), code);
            for (name, value) in [
                ("audit-id", "kas"),
                ("warning", "299 - \"old\""),
                ("retry-after", "7"),
                ("x-kubernetes-pf-flowschema-uid", "u"),
                ("location", "https://elsewhere.example.com/"),
                ("content-encoding", "gzip"),
            ] {
                assert_eq!(response.headers()[name], value);
            }
            drop(read(response).await);
        }
        let request = Request::builder()
            .method(Method::HEAD)
            .uri("/x?200")
            .header("host", ENTRANCE)
            .body(text(""))
            .unwrap();
        let response = http.send(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(read(response).await, "");
    }
}

#[tokio::test]
async fn a_watch_without_events_gives_its_headers_and_each_event_at_once() {
    let (feeds, mut fed_bodies) = tokio::sync::mpsc::channel(4);
    let feeds = Arc::new(feeds);
    let stage = Stage::new(move |_| {
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
    let papers = stage.partner("x");
    for mut http in Http::both(&stage, Some(&papers)).await {
        let response = timeout(BOUND, http.send(get("/api/v1/pods?watch=true")))
            .await
            .unwrap()
            .unwrap();
        let feed = fed_bodies.recv().await.unwrap();
        let mut body = response.into_body();
        for event in ["{\"n\":1}\n", "{\"n\":2}\n"] {
            feed.send(Ok(Bytes::from(event))).await.unwrap();
            let frame = timeout(BOUND, body.frame())
                .await
                .unwrap()
                .unwrap()
                .unwrap();
            assert_eq!(frame.into_data().unwrap(), event);
        }
        drop(feed);
        let rest = timeout(BOUND, body.collect()).await.unwrap().unwrap();
        assert!(rest.to_bytes().is_empty());
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_whole() {
    let (feeds, mut fed_bodies) = tokio::sync::mpsc::channel(4);
    let feeds = Arc::new(feeds);
    let stage = Stage::new(move |_| {
        let feeds = Arc::clone(&feeds);
        async move {
            let (feed, body) = fed();
            feeds.send(feed).await.unwrap();
            Response::new(body)
        }
    })
    .await;
    let papers = stage.partner("x");
    for mut http in Http::both(&stage, Some(&papers)).await {
        let response = http.send(get("/api/v1/pods")).await.unwrap();
        let feed = fed_bodies.recv().await.unwrap();
        feed.send(Ok(Bytes::from_static(b"{\"items\":[1,2")))
            .await
            .unwrap();
        feed.send(Err(io::Error::other("the API server died")))
            .await
            .unwrap();
        let read = timeout(BOUND, response.into_body().collect())
            .await
            .unwrap();
        assert!(read.is_err());
    }
}

#[tokio::test]
async fn a_caller_who_leaves_takes_the_request_along() {
    let (feeds, mut fed_bodies) = tokio::sync::mpsc::channel(4);
    let feeds = Arc::new(feeds);
    let stage = Stage::new(move |_| {
        let feeds = Arc::clone(&feeds);
        async move {
            let (feed, body) = fed();
            feeds.send(feed).await.unwrap();
            Response::new(body)
        }
    })
    .await;
    let papers = stage.partner("x");
    for mut http in Http::both(&stage, Some(&papers)).await {
        let response = http.send(get("/api/v1/pods?watch=1")).await.unwrap();
        let feed = fed_bodies.recv().await.unwrap();
        drop((response, http));
        timeout(BOUND, feed.closed())
            .await
            .expect("the upstream request ends");
    }
}

#[tokio::test]
async fn connect_is_refused_and_options_of_everything_is_harmless() {
    let stage = echo().await;
    let papers = stage.partner("x");
    let config = stage.client_config(Some(&papers), &[b"http/1.1"]);
    let mut tls = stage.tls(config, CancellationToken::new()).await.unwrap();
    tls.write_all(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    tls.write_all(b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut all = Vec::new();
    drop(timeout(BOUND, tls.read_to_end(&mut all)).await.unwrap());
    let all = String::from_utf8(all).unwrap();
    assert!(all.starts_with("HTTP/1.1 200 OK\r\n"), "{all}");
    assert!(all.contains("HTTP/1.1 405 Method Not Allowed\r\n"), "{all}");
    assert!(stage.api.seen().is_empty());

    let mut sender = stage.http2(Some(&papers)).await;
    let connect = Request::builder()
        .method(Method::CONNECT)
        .uri("127.0.0.1:22")
        .body(text(""))
        .unwrap();
    let response = sender.send_request(connect).await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(stage.api.seen().is_empty());
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_each_in_the_callers_name() {
    let stage = echo().await;
    let papers = stage.partner("x");
    let config = stage.client_config(Some(&papers), &[b"http/1.1"]);
    let mut tls = stage.tls(config, CancellationToken::new()).await.unwrap();
    let mut segment = Vec::new();
    for number in 0..3 {
        segment.extend(
            format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n#{number}")
                .bytes(),
        );
    }
    segment.extend(b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    tls.write_all(&segment).await.unwrap();
    let mut all = String::new();
    timeout(BOUND, tls.read_to_string(&mut all))
        .await
        .unwrap()
        .unwrap();
    let places: Vec<_> = (0..3)
        .map(|number| all.find(&format!("#{number}")).unwrap())
        .collect();
    assert!(places.is_sorted(), "{all}");
    let seen = stage.api.seen();
    assert_eq!(seen.len(), 4);
    for seen in seen {
        assert_eq!(seen.headers.get_all("impersonate-user").iter().count(), 1);
    }
}

#[tokio::test]
async fn smuggled_and_malformed_requests_never_reach_the_api_server() {
    let stage = echo().await;
    let papers = stage.partner("x");
    for head in [
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n1",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n1",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nImpersonate-User : root\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\n X-Folded: 1\r\n\r\n",
        "GET  /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "* * *\r\n\r\n",
    ] {
        let config = stage.client_config(Some(&papers), &[b"http/1.1"]);
        let mut tls = stage.tls(config, CancellationToken::new()).await.unwrap();
        tls.write_all(head.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        drop(
            timeout(BOUND, tls.read_buf(&mut all))
                .await
                .expect("an answer or an end"),
        );
        let all = String::from_utf8_lossy(&all).into_owned();
        assert!(
            all.is_empty() || all.starts_with("HTTP/1.1 400 "),
            "{head:?}: {all}"
        );
    }
    assert_eq!(stage.api.seen().len(), 0);
}

#[tokio::test]
async fn an_upload_that_stands_still_stops_no_other_stream() {
    let stage = Stage::new(|request: Request<hyper::body::Incoming>| async move {
        if request.uri().path() == "/stuck" {
            std::future::pending::<()>().await;
        }
        Response::new(text("fine"))
    })
    .await;
    let papers = stage.partner("x");
    let sender = stage.http2(Some(&papers)).await;
    let mut uploads = tokio::task::JoinSet::new();
    let mut feeds = Vec::new();
    for _ in 0..8 {
        let (feed, body) = fed();
        let request = Request::post("/stuck").body(body).unwrap();
        let mut http = Http::Two(sender.clone());
        uploads.spawn(async move { http.send(request).await.map(drop) });
        feeds.push(feed);
    }
    // As much as the windows take, on each.
    for feed in &feeds {
        let piece = Bytes::from(vec![7; 64 * 1024]);
        while feed.try_send(Ok(piece.clone())).is_ok() {
            tokio::task::yield_now().await;
        }
    }
    let mut http = Http::Two(sender);
    for _ in 0..20 {
        let response = timeout(BOUND, http.send(get("/fine")))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(read(response).await, "fine");
    }
}

#[tokio::test]
async fn a_caller_who_waits_for_100_gets_one_and_then_the_answer() {
    let stage = echo().await;
    let papers = stage.partner("x");
    for expectation in ["100-continue", "something-else"] {
        let config = stage.client_config(Some(&papers), &[b"http/1.1"]);
        let mut tls = stage.tls(config, CancellationToken::new()).await.unwrap();
        let head = format!(
            "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\
             Expect: {expectation}\r\n\r\n"
        );
        tls.write_all(head.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        if expectation == "100-continue" {
            timeout(BOUND, tls.read_buf(&mut all))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(all, b"HTTP/1.1 100 Continue\r\n\r\n");
            all.clear();
        }
        tls.write_all(b"body").await.unwrap();
        timeout(BOUND, tls.read_to_end(&mut all))
            .await
            .unwrap()
            .unwrap();
        let all = String::from_utf8(all).unwrap();
        assert!(
            all.starts_with("HTTP/1.1 200 OK\r\n") && all.ends_with("body"),
            "{all}"
        );
        assert!(
            !stage
                .api
                .seen()
                .pop()
                .unwrap()
                .headers
                .contains_key("expect")
        );
    }
}

#[tokio::test]
async fn an_api_server_that_is_not_there_is_told_as_such() {
    let stage = Stage::without_api().await;
    let papers = stage.partner("x");
    for mut http in Http::both(&stage, Some(&papers)).await {
        let response = timeout(BOUND, http.send(get("/api")))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let warning = response.headers()["warning"].to_str().unwrap().to_owned();
        assert!(
            warning.starts_with("299 gangplank \"UpstreamUnreachable: "),
            "{warning}"
        );
        assert!(!response.headers().contains_key("retry-after"));
        let text = read(response).await;
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status["code"], 503);
        assert!(
            !text.contains("127.0.0.1"),
            "where it would be is not the caller's business: {text}"
        );
    }
}

#[tokio::test]
async fn an_early_answer_reaches_a_caller_who_is_still_sending() {
    let stage = Stage::new(|_| async {
        Response::builder()
            .status(StatusCode::PAYLOAD_TOO_LARGE)
            .body(text("too large"))
            .unwrap()
    })
    .await;
    let papers = stage.partner("x");
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_address().unwrap();
    let shutdown = CancellationToken::new();
    let proxy = TcpProxy::new(listener, stage.exit.clone(), BOUND);
    let served = stage
        .tasks
        .spawn(proxy.run(shutdown.clone(), std::future::pending()));

    let config = stage.client_config(Some(&papers), &[b"http/1.1"]);
    let mut tls = secure(config, TcpStream::connect(address).await.unwrap())
        .await
        .unwrap();
    tls.write_all(b"POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        .await
        .unwrap();
    let (mut reading, mut writing) = tokio::io::split(tls);
    // A caller that reads only after it noticed that it cannot send any more.
    let piece = vec![7; 64 * 1024];
    let mut sent = 0;
    while sent < 8 * 1024 * 1024 && writing.write_all(&piece).await.is_ok() {
        sent += piece.len();
    }
    let mut answer = Vec::new();
    while let Ok(read) = timeout(BOUND, reading.read_buf(&mut answer)).await.unwrap() {
        if read == 0 {
            break;
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.ends_with("too large"), "{answer}");
    shutdown.cancel();
    timeout(BOUND, served)
        .await
        .expect("the proxy ends")
        .unwrap();
}

#[tokio::test]
async fn an_abort_ends_what_a_drain_would_wait_for() {
    let reached = Arc::new(Notify::new());
    let arrived = Arc::clone(&reached);
    let stage = Stage::new(move |_| {
        arrived.notify_one();
        std::future::pending::<Response<_>>()
    })
    .await;
    let papers = stage.partner("x");
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_address().unwrap();
    let (shutdown, abort) = (CancellationToken::new(), CancellationToken::new());
    let proxy = TcpProxy::new(listener, stage.exit.clone(), Duration::from_secs(3600));
    let running = proxy.run(shutdown.clone(), abort.clone().cancelled_owned());
    let served = stage.tasks.spawn(running);

    let config = stage.client_config(Some(&papers), &[b"http/1.1"]);
    let mut tls = secure(config, TcpStream::connect(address).await.unwrap())
        .await
        .unwrap();
    tls.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    timeout(BOUND, reached.notified())
        .await
        .expect("the request is under way");
    shutdown.cancel();
    abort.cancel();
    timeout(BOUND, served)
        .await
        .expect("the proxy ends")
        .unwrap();
}

/// Case G7: as long as kube-apiserver keeps an idle connection, and no longer for a head than it.
#[tokio::test]
async fn an_idle_connection_is_kept_for_ninety_seconds_and_a_head_must_be_whole_after_thirty_two() {
    const SECOND: Duration = Duration::from_secs(1);
    let stage = echo().await;
    let papers = stage.partner("x");
    let dial = || stage.http1(Some(&papers));
    let (mut kept, mut idle) = (dial().await, dial().await);
    for http in [&mut kept, &mut idle] {
        let answer = http.send_request(get("/")).await.unwrap();
        drop(read(answer).await);
        // The answer's end has been noticed once the connection is ready for the next request.
        http.ready().await.unwrap();
    }
    let config = stage.client_config(Some(&papers), &[b"http/1.1"]);
    let tls = stage.tls(config, CancellationToken::new()).await.unwrap();
    let (mut reading, mut dripping) = tokio::io::split(tls);
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let drip = async {
        loop {
            // It fails once the connection is over, and the other branch hears that.
            drop(dripping.write_all(b"G").await);
            drop(dripping.flush().await);
            tokio::time::sleep(SECOND).await;
        }
    };
    let mut rest = Vec::new();
    tokio::select! {
        _end = reading.read_to_end(&mut rest) => {}
        () = drip => unreachable!(),
    }
    let after = began.elapsed();
    assert!(after <= 35 * SECOND, "a head that drips in: {after:?}");
    tokio::time::advance((80 * SECOND).saturating_sub(after)).await;
    assert!(
        !kept.is_closed() && !idle.is_closed(),
        "80 s are not too long"
    );
    tokio::time::resume();
    let answer = kept.send_request(get("/")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    drop(read(answer).await);
    tokio::time::pause();
    tokio::time::advance(12 * SECOND).await;
    tokio::time::resume();
    Http::One(idle).closed().await;
    assert!(!kept.is_closed(), "its time begins with each request");
}

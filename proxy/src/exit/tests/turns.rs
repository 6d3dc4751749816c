//! Plain reads of all callers take turns on HTTP/1.1 connections: what reaches the API server there is heads
//! of requests and nothing else, whatever a caller sends, and everyone gets their own answer.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::stage::{
    AnyBody, BOUND, ENTRANCE, FRIENDS, Http, PARTNERS, Stage, TOKEN, get, read, text,
};

/// What follows each head of [`HEADS`]: a body, the next request, or a mistake. If it arrived as a request it
/// would act as someone else.
const BEHIND: &str =
    "GET /smuggled HTTP/1.1\r\nHost: a\r\nImpersonate-User: root\r\nX-Rest: a\r\n\r\n0\r\n\r\n";

/// Beginnings of requests over HTTP/1.1 by which one reader sees a body and another does not, or which change
/// what a connection is.
const HEADS: &[&str] = &[
    "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 00\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\n Content-Length: 5\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: b\rContent-Length: 5\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: b\nContent-Length: 5\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: b\0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: \u{85}\u{2028} b%0d%0aContent-Length: 5\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: a\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    "GET /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close, keep-alive, host, impersonate-user\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tls/1.2, websocket\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nTE: trailers, chunked\r\nTrailer: Host\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nKeep-Alive: max=1\r\nProxy-Connection: close\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET http://elsewhere/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://elsewhere?a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET //elsewhere/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a?%0d%0a%20HTTP/1.1%0d%0aX:%20b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a\u{85}b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET\t/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET  /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "get /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    "HEAD /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "TRACE /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// An API server that says who asked for what.
async fn telling() -> Stage {
    Stage::new(|request: Request<hyper::body::Incoming>| async move {
        let user = request.headers()["impersonate-user"].clone();
        let said = format!("{} {}", user.to_str().unwrap(), request.uri().path());
        drop(request.into_body().collect().await);
        Response::new(text(said))
    })
    .await
}

/// Somebody else, who reads what is theirs after each attempt.
struct Neighbour {
    http: Http,
    reads: usize,
}

impl Neighbour {
    /// One whose reads have a connection by now.
    async fn settled(stage: &Stage) -> Self {
        let http = Http::Two(stage.http2(Some(&stage.friend("y"))).await);
        let mut me = Self { http, reads: 0 };
        while stage.api.heard().is_empty() {
            me.reads_their_own("before").await;
        }
        me
    }

    async fn reads_their_own(&mut self, after: &str) {
        self.reads += 1;
        let path = format!("/own/{}", self.reads);
        let answer = timeout(BOUND, self.http.send(get(&path))).await;
        let said = read(answer.unwrap().unwrap()).await;
        assert_eq!(said, format!("{FRIENDS}y {path}"), "after {after:?}");
    }
}

/// Everything that came over HTTP/1.1 is heads of plain reads, each with one user, one credential and no word
/// about a body or the connection. How many were the partner's.
fn heads_of_partner(heard: &[u8]) -> usize {
    let heard = String::from_utf8_lossy(heard);
    let heads: Vec<_> = heard.split("\r\n\r\n").collect();
    let Some((rest, heads)) = heads.split_last() else {
        return 0;
    };
    assert_eq!(*rest, "");
    let mut partners = 0;
    for head in heads {
        let mut lines = head.split("\r\n");
        let line: Vec<_> = lines.next().unwrap().split(' ').collect();
        let [method, target, version] = line[..] else {
            panic!("{head:?}");
        };
        assert!(
            matches!(method, "GET" | "HEAD") && target.starts_with('/'),
            "{head:?}"
        );
        assert!(
            version == "HTTP/1.1" && !head.contains("smuggled"),
            "{head:?}"
        );
        assert!(
            !head.replace("\r\n", "").contains(['\r', '\n', '\0']),
            "{head:?}"
        );
        let fields: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        let all = |name: &'static str| fields.iter().filter(move |it| it.0 == name).map(|it| it.1);
        let users: Vec<_> = all("impersonate-user").collect();
        let (partner, friend) = (format!("{PARTNERS}x"), format!("{FRIENDS}y"));
        assert!(users == [&partner] || users == [&friend], "{head:?}");
        assert_eq!(all("host").count(), 1, "{head:?}");
        assert!(
            all("authorization").eq([format!("Bearer {TOKEN}")]),
            "{head:?}"
        );
        assert!(
            all("content-length").all(|length| length == "0"),
            "{head:?}"
        );
        for name in [
            "transfer-encoding",
            "connection",
            "upgrade",
            "expect",
            "te",
            "trailer",
        ] {
            assert_eq!(all(name).count(), 0, "{head:?}");
        }
        partners += usize::from(users == [&partner]);
    }
    partners
}

#[tokio::test]
async fn whatever_a_caller_sends_over_http1_its_neighbour_reads_its_own() {
    let stage = telling().await;
    let papers = stage.partner("x");
    let mut neighbour = Neighbour::settled(&stage).await;
    for head in HEADS {
        let config = stage.client_config(Some(&papers), &[b"http/1.1"]);
        let mut tls = stage.tls(config, CancellationToken::new()).await.unwrap();
        let sent = format!("{head}{BEHIND}");
        tls.write_all(sent.as_bytes()).await.unwrap();
        tls.shutdown().await.unwrap();
        let ended = timeout(BOUND, tls.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "no end after {head:?}");
        neighbour.reads_their_own(head).await;
    }
    assert!(heads_of_partner(&stage.api.heard()) > 10);
    let seen = stage.api.seen();
    assert!(seen.iter().all(|seen| !seen.target.contains("smuggled")));
}

/// Name, head, pieces of the body, whether trailers follow.
struct Attempt(
    &'static str,
    fn() -> Request<()>,
    &'static [&'static str],
    bool,
);

fn asked(method: Method, headers: &[(&'static str, &'static str)]) -> Request<()> {
    let uri = format!("https://{ENTRANCE}/a");
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

const ATTEMPTS: &[Attempt] = &[
    Attempt("no body", || asked(Method::GET, &[]), &[], false),
    Attempt("an empty piece", || asked(Method::GET, &[]), &[""], false),
    Attempt(
        "a length of nothing",
        || asked(Method::GET, &[("content-length", "0")]),
        &[""],
        false,
    ),
    Attempt(
        "an empty piece and trailers",
        || asked(Method::GET, &[]),
        &[""],
        true,
    ),
    Attempt("trailers", || asked(Method::GET, &[]), &[], true),
    Attempt("a body", || asked(Method::GET, &[]), &[BEHIND], false),
    Attempt(
        "a body of some length",
        || asked(Method::GET, &[("content-length", "75")]),
        &[BEHIND],
        false,
    ),
    Attempt(
        "a body and trailers",
        || asked(Method::HEAD, &[]),
        &[BEHIND],
        true,
    ),
    Attempt(
        "crumbs",
        || asked(Method::GET, &[("cookie", "a=b"), ("cookie", "c=\td")]),
        &[],
        false,
    ),
    Attempt(
        "another host",
        || asked(Method::GET, &[("host", "elsewhere")]),
        &[],
        false,
    ),
    Attempt(
        "what is about trailers",
        || asked(Method::GET, &[("te", "trailers"), ("trailer", "x")]),
        &[],
        false,
    ),
    Attempt(
        "an expectation",
        || asked(Method::GET, &[("expect", "100-continue")]),
        &[],
        false,
    ),
    Attempt(
        "a settings header",
        || asked(Method::GET, &[("http2-settings", "AAMAAABk")]),
        &[],
        false,
    ),
    Attempt(
        "a verb in small letters",
        || asked("get".parse().unwrap(), &[]),
        &[BEHIND],
        false,
    ),
    Attempt("a HEAD", || asked(Method::HEAD, &[]), &[], false),
];

#[tokio::test]
async fn whatever_a_caller_sends_over_http2_its_neighbour_reads_its_own() {
    let stage = telling().await;
    let papers = stage.partner("x");
    let mut neighbour = Neighbour::settled(&stage).await;
    for Attempt(name, head, pieces, trailers) in ATTEMPTS {
        for gives_up in [false, true] {
            let config = stage.client_config(Some(&papers), &[b"h2"]);
            let tls = stage.tls(config, CancellationToken::new()).await.unwrap();
            let (sender, connection) = h2::client::handshake(tls).await.unwrap();
            stage.tasks.spawn(async move { drop(connection.await) });
            ask(sender, head(), pieces, *trailers, gives_up).await;
            neighbour.reads_their_own(name).await;
        }
    }
    assert!(heads_of_partner(&stage.api.heard()) > 5);
}

async fn ask(
    sender: SendRequest<Bytes>,
    head: Request<()>,
    pieces: &[&'static str],
    trailers: bool,
    gives_up: bool,
) {
    let mut sender = sender.ready().await.unwrap();
    let ends = pieces.is_empty() && !trailers;
    let (answer, mut body) = sender.send_request(head, ends).unwrap();
    for (number, piece) in pieces.iter().enumerate() {
        let last = number + 1 == pieces.len() && !trailers;
        body.send_data(Bytes::from_static(piece.as_bytes()), last)
            .unwrap();
    }
    if trailers {
        let mut fields = HeaderMap::new();
        fields.insert("impersonate-user", "root".parse().unwrap());
        body.send_trailers(fields).unwrap();
    }
    if gives_up {
        body.send_reset(h2::Reason::CANCEL);
        return;
    }
    // Whether it is answered or reset is another test's affair.
    if let Ok(answer) = timeout(BOUND, answer).await.expect("an answer or an end") {
        let mut body = answer.into_body();
        while let Some(Ok(_)) = timeout(BOUND, body.data()).await.expect("more or an end") {}
    }
}

/// What a pod answers, and for how long, is nobody's business on a connection that callers take turns on; and
/// a pod's 401 says nothing about the exit's account.
#[tokio::test]
async fn what_the_api_server_hands_on_goes_over_http2_and_says_nothing_about_the_exit() {
    let stage = Stage::new(|request: Request<hyper::body::Incoming>| async move {
        let mut response: Response<AnyBody> = Response::new(text("a"));
        if request.uri().path() != "/own" {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        response
    })
    .await;
    let mut http = Http::Two(stage.http2(Some(&stage.partner("x"))).await);
    while stage.api.heard().is_empty() {
        drop(read(http.send(get("/own")).await.unwrap()).await);
    }
    for target in [
        "/api/v1/namespaces/a/pods/p/proxy/x",
        "/api/v1/namespaces/a/services/s:80/%70roxy?watch=0",
        "/api/v1/proxy/nodes/n/x",
    ] {
        let answer = http.send(get(target)).await.unwrap();
        assert!(!answer.headers().contains_key("warning"), "{target}");
        drop(read(answer).await);
        let version = stage.api.seen().pop().unwrap().version;
        assert_eq!(version, Version::HTTP_2, "{target}");
    }
    let its_own = async {
        let mut version = Version::HTTP_2;
        while version == Version::HTTP_2 {
            let answer = http.send(get("/api/v1/namespaces/a/pods/proxy")).await;
            assert!(answer.as_ref().unwrap().headers().contains_key("warning"));
            drop(read(answer.unwrap()).await);
            version = stage.api.seen().pop().unwrap().version;
        }
    };
    timeout(BOUND, its_own)
        .await
        .expect("a read has a connection of its own");
}

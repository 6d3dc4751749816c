//! Answers on a connection that callers take turns on, as no server should give them, and callers who give
//! up at any moment: the next one gets its own answer.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_util::future::join_all;
use http::Method;
use http_body_util::{BodyExt, Collected};

use super::fake::{self, Both, Said};
use super::support::{Harness, Papers, get, head, text, within};
use crate::body::RequestBody;
use crate::upstream::Expected;

/// What is wrong with an answer, its bytes, whether the connection is closed behind it, and what its own
/// caller may read of it.
struct Odd(&'static str, &'static [u8], bool, Reads);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// The whole answer.
    Body(&'static str),
    /// An error before or within the body.
    Fault,
}

const ODD: &[Odd] = &[
    Odd("two answers", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nb", false, Reads::Body("a")),
    Odd("more than announced", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nabc", false, Reads::Body("a")),
    Odd("no content with some", b"HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\nabc", false, Reads::Body("")),
    Odd("not modified with some", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\nabc", false, Reads::Body("")),
    Odd("less than announced", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na", true, Reads::Fault),
    Odd("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", false, Reads::Fault),
    Odd("a length that is none", b"HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc", false, Reads::Fault),
    Odd("length and chunks", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", false, Reads::Body("abc")),
    Odd("chunks without a last one", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", true, Reads::Fault),
    Odd("chunks and more", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nb", false, Reads::Body("abc")),
    Odd("a chunk that is too long", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n", false, Reads::Fault),
    Odd("a longer chunk than announced", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", false, Reads::Fault),
    Odd("trailers", b"HTTP/1.1 200 OK\r\ntrailer: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n", false, Reads::Body("a")),
    Odd("another transfer encoding", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\nabc", true, Reads::Body("abc")),
    Odd("no length", b"HTTP/1.1 200 OK\r\n\r\nabc", true, Reads::Body("abc")),
    Odd("HTTP/1.0", b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", false, Reads::Body("a")),
    Odd("HTTP/1.0 without a length that stays", b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\nabc", true, Reads::Body("abc")),
    Odd("HTTP/1.0 that stays", b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na", false, Reads::Body("a")),
    Odd("words ahead", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", false, Reads::Body("a")),
    Odd("words behind", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 103 Early Hints\r\n\r\n", false, Reads::Body("a")),
    Odd("a switch", b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nb", false, Reads::Fault),
    Odd("a switch that is named", b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nbytes", false, Reads::Fault),
    Odd("no HTTP", b"\0\x01\x02 hello\r\n\r\n", false, Reads::Fault),
    Odd("a goodbye with a body", b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n400 Bad Request", true, Reads::Body("400 Bad Request")),
    Odd("a folded header", b"HTTP/1.1 200 OK\r\nx: a\r\n content-length: 9\r\ncontent-length: 1\r\n\r\na", false, Reads::Fault),
];

fn say(path: &str) -> Said {
    let Some(number) = path.strip_prefix("/odd/") else {
        return fake::plainly(path);
    };
    let Odd(_, bytes, closes, _) = ODD[number.parse::<usize>().unwrap()];
    Said {
        pieces: vec![bytes.to_vec()],
        closes,
    }
}

/// Answers byte by byte, in chunks of one.
fn say_slowly(path: &str) -> Said {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    let chunks = path.chars().map(|letter| format!("1\r\n{letter}\r\n"));
    let all: String = std::iter::once(head)
        .chain(chunks)
        .chain(std::iter::once("0\r\n\r\n".to_owned()))
        .collect();
    Said {
        pieces: all.bytes().map(|byte| vec![byte]).collect(),
        closes: false,
    }
}

async fn server(say: fn(&str) -> Said) -> (Harness, Both) {
    let papers = Papers::new();
    let server = fake::both_saying(&papers.server("127.0.0.1"), say).await;
    (Harness::new(&papers.upstream(server.port)), server)
}

async fn read(harness: &Harness, path: &str) -> String {
    let answer = harness.send_expecting(get(path), Expected::Soon).await;
    text(answer.unwrap()).await
}

/// Reads until a connection is there that takes plain reads.
async fn settle(harness: &Harness, server: &Both) {
    let before = server.http1.lock().len();
    Box::pin(within(async {
        while server.http1.lock().len() == before {
            assert_eq!(read(harness, "/get").await, "/get");
            tokio::task::yield_now().await;
        }
    }))
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_an_answer_is_not_the_next_callers_affair() {
    let (harness, server) = server(say).await;
    for (number, Odd(name, _, _, reads)) in ODD.iter().enumerate() {
        for method in [Method::GET, Method::HEAD] {
            settle(&harness, &server).await;
            let request = head(method.clone(), &format!("/odd/{number}"));
            let request = request.body(RequestBody::empty()).unwrap();
            let answer = harness.send_expecting(request, Expected::Soon).await;
            let read_of_it = match answer {
                Ok(answer) => within(answer.into_body().collect()).await.ok(),
                Err(_) => None,
            };
            let read_of_it = read_of_it.map(Collected::to_bytes);
            if method == Method::GET {
                let expected = match reads {
                    Reads::Body(body) => Some(body.as_bytes()),
                    Reads::Fault => None,
                };
                assert_eq!(read_of_it.as_deref(), expected, "{name}");
            } else {
                assert!(read_of_it.is_none_or(|it| it.is_empty()), "HEAD: {name}");
            }
            for path in ["/get/own", "/get/another"] {
                assert_eq!(read(&harness, path).await, path, "after {name}, {method}");
            }
        }
    }
}

/// Polls `future` so often at most, letting others run in between.
async fn polled<F: Future + Unpin>(times: usize, future: &mut F) -> Option<F::Output> {
    for _ in 0..times {
        let ready = poll_fn(|_| {
            let cx = &mut Context::from_waker(Waker::noop());
            Poll::Ready(pin!(&mut *future).poll(cx))
        })
        .await;
        if let Poll::Ready(output) = ready {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

#[tokio::test]
async fn who_gives_up_at_any_moment_leaves_nothing_to_the_next() {
    let (harness, server) = server(say_slowly).await;
    for patience in 0..120 {
        settle(&harness, &server).await;
        let mut sent = Box::pin(harness.send_expecting(get("/given/up"), Expected::Soon));
        if let Some(answer) = polled(patience, &mut sent).await {
            let mut body = Box::pin(answer.unwrap().into_body().collect());
            drop(polled(patience / 3, &mut body).await);
        }
        drop(sent);
        let paths = ["/get/a", "/get/b", "/get/c"];
        let texts = join_all(paths.map(|path| read(&harness, path))).await;
        assert_eq!(texts, paths, "after {patience} looks");
    }
}

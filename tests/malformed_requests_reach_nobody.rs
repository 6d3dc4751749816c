//! HTTP/1.1 that two readers could read differently is refused whole: what the exit and the API server might disagree on
//! never gets there, and neither does what was hidden behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt as _;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::{FakeApiServer, ok};
use crate::support::path::{Site, Way};
use crate::support::wire::{self, Wire};

/// Behind each of them.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Heads of which nothing may reach the API server.
const HEADS: [&str; 30] = [
    // Case B17.
    "GET /bad HTTP/1.1\r\nHost: a\r\nX-Folded: 1\r\n Impersonate-User: root\r\n\r\n",
    "GET /bad HTTP/1.1\r\n Impersonate-User: root\r\nHost: a\r\n\r\n",
    "GET /bad HTTP/1.1\r\nHost: a\r\nImpersonate-User : root\r\n\r\n",
    "GET /bad HTTP/1.1\r\nHost: a\r\nImpersonate-User\t: root\r\n\r\n",
    "GET /bad HTTP/1.1\r\nHost: a\r\nX-Nul: a\0b\r\n\r\n",
    "GET /bad HTTP/1.1\r\nHost: a\r\nX-Cr: a\rImpersonate-User: root\r\n\r\n",
    "GET /bad HTTP/1.1\r\nHost: a\r\nX-\x01: 1\r\n\r\n",
    "GET /bad HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n",
    "GET /bad HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n",
    "GET /bad HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    "GET /bad HTTP/1.1 \r\nHost: a\r\n\r\n",
    "GET /bad\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    "G\x01T /bad HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /bad HTTP/3.7\r\nHost: a\r\n\r\n",
    // Case B20.
    "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
    "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n1",
    "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\n1",
    "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n1",
    "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n1",
    "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\n",
    "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n1",
    "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n1",
    "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "POST /bad HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /bad HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
];

/// Cases B17 and B20: 400 and the end, or the end alone.
#[tokio::test(flavor = "multi_thread")]
async fn for_their_head() {
    let fake = FakeApiServer::echo().await;
    let (site, organisation) = site_before(&fake);
    for head in HEADS {
        let mut wire = open(&site, &organisation).await;
        wire.say(format!("{head}{SMUGGLED}")).await;
        let answer = String::from_utf8_lossy(&wire.rest().await).into_owned();
        assert!(
            answer.is_empty() || wire::status(&answer) == 400,
            "{head:?}: {answer}"
        );
    }
    assert_nothing_but_a_good_one(&fake, &site, &organisation).await;
}

/// Case B20, where RFC 9110 (8.6) leaves it to the reader: a length that is said twice is one length, and what follows the
/// body is the same caller's next request, as two readers would have it.
#[tokio::test(flavor = "multi_thread")]
async fn but_one_length_said_twice_is_one() {
    let fake = FakeApiServer::echo().await;
    let (site, organisation) = site_before(&fake);
    let mut wire = open(&site, &organisation).await;
    wire.say(format!(
        "POST /twice HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1{SMUGGLED}"
    ))
    .await;
    for _ in 0..2 {
        assert_eq!(wire::status(&wire.answer().await.0), 200);
    }
    let arrived = fake.arrived();
    let targets: Vec<&str> = arrived.iter().map(|it| it.target.as_str()).collect();
    assert_eq!(targets, ["/twice", "/smuggled"]);
    assert_eq!(arrived[0].values("content-length"), ["1"]);
    for request in arrived {
        let user = organisation.username("a");
        assert_eq!(request.values("impersonate-user"), [user]);
    }
}

/// Case B19: two lengths at once. Refused, or read as the chunks say and then the end; never as the number says.
#[tokio::test(flavor = "multi_thread")]
async fn for_their_two_lengths() {
    let fake = FakeApiServer::echo().await;
    let (site, organisation) = site_before(&fake);
    let hidden = SMUGGLED.len();
    for lengths in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        format!(
            "Transfer-Encoding: chunked\r\nContent-Length: {}\r\n",
            5 + hidden
        ),
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n".to_owned(),
    ] {
        let mut wire = open(&site, &organisation).await;
        let head = format!("POST /both HTTP/1.1\r\nHost: a\r\n{lengths}\r\n0\r\n\r\n");
        wire.say(format!("{head}{SMUGGLED}")).await;
        let answer = String::from_utf8_lossy(&wire.rest().await).into_owned();
        assert!(
            answer.is_empty() || [200, 400].contains(&wire::status(&answer)),
            "{lengths}: {answer}"
        );
        let answered = answer.matches("HTTP/1.1 200").count();
        assert!(answered <= 1, "{lengths}: {answer}");
    }
    assert!(fake.arrived_at("/smuggled").is_empty());
    for request in fake.arrived_at("/both") {
        assert_eq!(request.values("transfer-encoding"), [""; 0], "{request:?}");
    }
}

/// Case B21: the head may have gone on by then, but its body never looks complete at the API server.
#[tokio::test(flavor = "multi_thread")]
async fn for_their_chunks() {
    let whole = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&whole);
    let fake = FakeApiServer::start(&["h2", "http/1.1"], move |request| {
        let count = Arc::clone(&count);
        Box::pin(async move {
            if request.uri().path() == "/bad" && request.into_body().collect().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
            ok("{}")
        })
    })
    .await;
    let (site, organisation) = site_before(&fake);
    for chunks in [
        "1;x=\n1\r\n0\r\n\r\n",
        "1\n1\n0\n\n",
        "1\r\n1\n0\r\n\r\n",
        "10000000000000000\r\n1\r\n0\r\n\r\n",
        "x\r\n1\r\n0\r\n\r\n",
        "-1\r\n1\r\n0\r\n\r\n",
        "2\r\n123\r\n0\r\n\r\n",
    ] {
        let mut wire = open(&site, &organisation).await;
        let head = "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        wire.say(format!("{head}{chunks}{SMUGGLED}")).await;
        let answer = String::from_utf8_lossy(&wire.rest().await).into_owned();
        assert!(!answer.contains(" 200 "), "{chunks:?}: {answer}");
    }
    assert_eq!(whole.load(Ordering::SeqCst), 0, "none was completed");
    assert!(fake.arrived_at("/smuggled").is_empty());
}

async fn assert_nothing_but_a_good_one(
    fake: &FakeApiServer,
    site: &Site,
    organisation: &Organisation,
) {
    let papers = organisation.caller("a");
    let mut good = Connection::open(site, Some(&papers), Protocol::One).await;
    assert_eq!(good.fetch("/good").await.expect("an answer").0, 200);
    let arrived: Vec<String> = fake.arrived().into_iter().map(|it| it.target).collect();
    assert_eq!(arrived, ["/good"]);
}

fn site_before(fake: &FakeApiServer) -> (Site, Organisation) {
    let organisation = Organisation::new("acme");
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);
    (site, organisation)
}

async fn open(
    site: &Site,
    organisation: &Organisation,
) -> Wire<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let papers = organisation.caller("a");
    Wire::open(site, &papers).await
}

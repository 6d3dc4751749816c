use std::time::Duration;

use gangplank_tunnel::wire::{RefusalCode, StreamStatus};
use gangplank_tunnel::{Session, answer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{Harness, RELAY_NAME, client_hello, read_all, read_some, soon, until};

const NAME: &str = "c.acme.tunnels.example.com";
const UNEXPECTED_MESSAGE: u8 = 10;
const DECODE_ERROR: u8 = 50;
const INTERNAL_ERROR: u8 = 80;
const MISSING_EXTENSION: u8 = 109;
const UNRECOGNIZED_NAME: u8 = 112;

fn alert(description: u8) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, description]
}

async fn told(relay: &Harness, name: &str) -> Vec<u8> {
    read_all(relay.call(name).await).await
}

#[tokio::test]
async fn names_that_lead_nowhere_are_unrecognized() {
    let relay = Harness::start("").await;
    let _agent = relay.agent("a.b", 1, 1).await;
    for name in [
        "nobody.acme.tunnels.example.com",
        "xa.b.tunnels.example.com",
        "b.tunnels.example.com",
        "tunnels.example.com",
        "x.y.a.b.tunnels.example.com",
        "a.b.tunnels.example.com.evil",
        "a.b.xtunnels.example.com",
        RELAY_NAME,
        "Relay.Example.com",
    ] {
        let asked = Instant::now();
        assert_eq!(told(&relay, name).await, alert(UNRECOGNIZED_NAME), "{name}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{name}");
    }
}

#[tokio::test]
async fn callers_without_a_name_or_without_tls_are_refused_at_once() {
    let relay = Harness::start("").await;
    let said = |bytes: &'static [u8]| async {
        let mut caller = relay.connect().await;
        caller.write_all(bytes).await.unwrap();
        read_all(caller).await
    };
    let nameless = relay.call("192.0.2.1").await; // rustls sends no name for an address
    assert_eq!(read_all(nameless).await, alert(MISSING_EXTENSION));
    assert_eq!(
        said(b"\x16\x03\x01\x00\x04\x01\x01\x00\x01").await,
        alert(DECODE_ERROR)
    );
    assert_eq!(
        said(b"\x16\x03\x03\x00\x04\x02\x00\x00\x00").await,
        alert(UNEXPECTED_MESSAGE)
    );
    for stranger in [
        &b"\x80\x2e\x01\x00\x02"[..],
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    ] {
        assert_eq!(said(stranger).await, b"", "{stranger:?}");
    }
    let told = said(b"GET / HTTP/1.1\r\nHost: c.acme.tunnels.example.com\r\n\r\n").await;
    assert!(
        told.starts_with(b"HTTP/1.1 400 "),
        "plain HTTP is told in HTTP"
    );
}

#[tokio::test]
async fn offline_tunnel_is_an_internal_error_within_two_seconds() {
    let relay = Harness::start("").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    go_offline(&relay, agent).await;
    let asked = Instant::now();
    assert_eq!(told(&relay, NAME).await, alert(INTERNAL_ERROR));
    assert!(asked.elapsed() < Duration::from_secs(2));
    assert!(
        asked.elapsed() > Duration::from_secs(1),
        "held for a moment"
    );
}

#[tokio::test]
async fn hidden_names_look_unknown_when_offline_and_take_as_long() {
    let relay = Harness::start("hideNames: true\n").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    go_offline(&relay, agent).await;
    for name in [NAME, "nobody.acme.tunnels.example.com"] {
        let asked = Instant::now();
        assert_eq!(told(&relay, name).await, alert(UNRECOGNIZED_NAME));
        assert!(asked.elapsed() > Duration::from_secs(1), "{name}");
    }
}

async fn go_offline(relay: &Harness, agent: crate::support::Agent) {
    agent
        .session
        .close(gangplank_tunnel::wire::CloseCode::Done, "");
    until("the tunnel is gone", || relay.view.tunnels().is_empty()).await;
}

#[tokio::test]
async fn caller_held_for_an_offline_tunnel_boards_the_one_that_returns() {
    let relay = Harness::start("").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    go_offline(&relay, agent).await;
    let mut caller = relay.call(NAME).await;
    until("the caller is held", || relay.view.waiting_callers() == 1).await;
    let agent = relay.agent("c.acme", 2, 1).await;
    let (_, mut stream) = agent.take().await;
    let hello = client_hello(NAME);
    assert_eq!(read_some(&mut stream, hello.len()).await.len(), hello.len());
    stream.write_all(b"welcome").await.unwrap();
    assert_eq!(read_some(&mut caller, 7).await, b"welcome");
}

#[tokio::test]
async fn exit_that_refuses_passes_the_caller_on_and_its_bytes_arrive_once() {
    let relay = Harness::start("").await;
    let (first, second) = (
        relay.agent("c.acme", 1, 1).await,
        relay.agent("c.acme", 2, 1).await,
    );
    let hello = client_hello(NAME);
    let mut caller = relay.connect().await;
    caller.write_all(&hello).await.unwrap();
    let (refusing, taking) = tokio::select! {
        (_, stream) = first.knock() => (stream, &second),
        (_, stream) = second.knock() => (stream, &first),
    };
    refuse(refusing, RefusalCode::Draining).await;
    let (_, stream) = taking.take().await;
    caller.shutdown().await.unwrap();
    assert_eq!(read_all(stream).await, hello);
    assert!(
        relay
            .scrape()
            .contains("relay_failed_boardings_total{outcome=\"Draining\"} 1")
    );
}

async fn refuse(mut stream: gangplank_tunnel::Stream, code: RefusalCode) {
    answer(&mut stream, &StreamStatus::refused(code, "not now"))
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn caller_whose_only_exit_refuses_is_told_so() {
    let relay = Harness::start("").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    let caller = relay.call(NAME).await;
    let (_, stream) = agent.knock().await;
    refuse(stream, RefusalCode::NotReady).await;
    assert_eq!(read_all(caller).await, alert(INTERNAL_ERROR));
}

#[tokio::test]
async fn exit_that_never_answers_passes_the_caller_on_and_then_comes_last() {
    let relay = Harness::start("").await;
    let (first, second) = (
        relay.agent("c.acme", 1, 1).await,
        relay.agent("c.acme", 2, 1).await,
    );
    let _caller = relay.call(NAME).await;
    let ((_, _ignored), answering) = tokio::select! {
        knocked = first.knock() => (knocked, &second),
        knocked = second.knock() => (knocked, &first),
    };
    let _boarded = answering.take().await;
    // The silent one carries fewer, and is passed over all the same.
    for _ in 0..3 {
        let mut next = relay.call(NAME).await;
        let (_, mut stream) = answering.take().await;
        stream.write_all(b"ok").await.unwrap();
        assert_eq!(read_some(&mut next, 2).await, b"ok");
    }
    let scrape = relay.scrape();
    assert!(
        scrape.contains("relay_failed_boardings_total{outcome=\"TimedOut\"} 1"),
        "tried once and no more: {scrape}"
    );
}

#[tokio::test]
async fn no_name_of_a_caller_becomes_a_label() {
    let relay = Harness::start("").await;
    let _agent = relay.agent("c.acme", 1, 1).await;
    drop(told(&relay, "secret.other.tunnels.example.com").await);
    drop(told(&relay, "secret.example.org").await);
    let scrape = relay.scrape();
    assert!(!scrape.contains("secret"), "{scrape}");
    assert!(
        scrape.contains("relay_callers_total{outcome=\"UnknownTunnel\"} 1"),
        "{scrape}"
    );
    assert!(
        scrape.contains("relay_callers_total{outcome=\"OtherDomain\"} 1"),
        "{scrape}"
    );
    assert!(
        scrape.contains("relay_tunnels{tunnel=\"c.acme\",transport=\"quic\"} 1"),
        "{scrape}"
    );
}

#[tokio::test]
async fn alert_is_read_although_the_caller_sent_more_than_its_hello() {
    let relay = Harness::start("").await;
    let mut bytes = client_hello("nobody.example.org");
    bytes.extend(vec![0; 20_000]);
    let mut caller: TcpStream = relay.connect().await;
    soon("written", caller.write_all(&bytes)).await.unwrap();
    assert_eq!(read_all(caller).await, alert(UNRECOGNIZED_NAME));
}

use std::io::ErrorKind;
use std::net::SocketAddr;

use gangplank_relay::Mismatch;
use gangplank_tunnel::Stream;
use gangplank_tunnel::wire::StreamHeader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Agent, Harness, client_hello, read_some, soon};

const NAME: &str = "c.acme.tunnels.example.com";
pub(crate) const FROM_LOOPBACK: &str = "proxyProtocolFrom: [127.0.0.0/8]\n";
/// Forwarded for 203.0.113.7:12345, with four bytes of the balancer's own behind the addresses.
pub(crate) const FORWARDED: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xcb\0\x71\x07\xc0\0\x02\x01\x30\x39\x01\xbb\x04\0\x01\0";
/// A balancer's own connection, to see whether the relay is there.
const OF_ITS_OWN: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

async fn took(agent: &Agent) -> (StreamHeader, Stream) {
    soon("the caller arrives", agent.take()).await
}

/// Ended without a word, be it in order or by a reset: what was not read makes the kernel send one.
async fn closed_without_a_word(mut caller: TcpStream) {
    let mut said = Vec::new();
    match soon("the end", caller.read_to_end(&mut said)).await {
        Ok(_) => {}
        Err(failed) => assert_eq!(failed.kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(said, b"");
}

#[tokio::test]
async fn forwarded_caller_arrives_with_the_address_that_is_told() {
    let relay = Harness::start(FROM_LOOPBACK).await;
    let agent = relay.agent("c.acme", 1, 1).await;
    let hello = client_hello(NAME);
    let mut caller = relay.connect().await;
    caller.set_nodelay(true).unwrap();
    for byte in FORWARDED.iter().chain(&hello) {
        caller.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let (header, mut stream) = took(&agent).await;
    let told: SocketAddr = "203.0.113.7:12345".parse().unwrap();
    assert_eq!(header.caller, told);
    assert_eq!(
        read_some(&mut stream, hello.len()).await,
        hello,
        "the exit sees what the caller sent, and nothing of the balancer"
    );
}

#[tokio::test]
async fn balancer_that_speaks_for_itself_has_its_own_address() {
    let relay = Harness::start(FROM_LOOPBACK).await;
    let agent = relay.agent("c.acme", 1, 1).await;
    let mut caller = relay.connect().await;
    let own = caller.local_addr().unwrap();
    let hello = [OF_ITS_OWN, &client_hello(NAME)].concat();
    caller.write_all(&hello).await.unwrap();
    assert_eq!(took(&agent).await.0.caller, own);
}

#[tokio::test]
async fn listed_network_must_say_whom_it_forwards() {
    let relay = Harness::start(FROM_LOOPBACK).await;
    let _agent = relay.agent("c.acme", 1, 1).await;
    closed_without_a_word(relay.call(NAME).await).await;
    let mut malformed = relay.connect().await;
    let of_udp = [&FORWARDED[..13], b"\x12", &FORWARDED[14..]].concat();
    malformed.write_all(&of_udp).await.unwrap();
    closed_without_a_word(malformed).await;
    let counted = relay.scrape();
    for reason in ["ProxyHeaderMissing", "ProxyHeaderMalformed"] {
        assert!(
            counted.contains(&format!("outcome=\"{reason}\"}} 1")),
            "{counted}"
        );
    }
    let told = relay.view.mismatches();
    let [told] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(
        (told.mismatch, told.refused, told.address.to_string()),
        (Mismatch::Missing, 2, "127.0.0.1".to_owned())
    );
}

#[tokio::test]
async fn nobody_else_chooses_its_address() {
    for more in ["", "proxyProtocolFrom: [10.0.0.0/8]\n"] {
        let relay = Harness::start(more).await;
        let _agent = relay.agent("c.acme", 1, 1).await;
        let mut caller = relay.connect().await;
        let sent = [FORWARDED, &client_hello(NAME)].concat();
        caller.write_all(&sent).await.unwrap();
        closed_without_a_word(caller).await;
        let counted = relay.scrape();
        assert!(
            counted.contains("outcome=\"ProxyHeaderUnlisted\"} 1"),
            "{counted}"
        );
        let mut old = relay.connect().await;
        let version_1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 12345 443\r\n";
        old.write_all(version_1).await.unwrap();
        closed_without_a_word(old).await;
        let told = relay.view.mismatches();
        let [told] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert_eq!((told.mismatch, told.refused), (Mismatch::Unlisted, 2));
    }
}

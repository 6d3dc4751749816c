//! What is not a ClientHello of sane size is closed before it costs anything, and nobody else notices.

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::agent_by_hand::AgentByHand;
use crate::support::entrance::{self, alert};
use crate::support::{hello, wait};

const UNEXPECTED_MESSAGE: u8 = 10;
const RECORD_OVERFLOW: u8 = 22;
const DECODE_ERROR: u8 = 50;

/// Callers of the flood at the same time.
const FLOOD: u64 = 400;

/// What the relay may grow by while all of them are there, in KiB: 64 a caller, with everything. One that kept
/// what they send would grow by gigabytes.
const GROWTH: u64 = 64 * FLOOD;

/// What speaks something else than TLS.
const STRANGERS: [(&str, &[u8]); 8] = [
    ("SSLv2", &[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10]),
    ("a PROXY header", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    (
        "a PROXY header, version 2",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
    ),
    ("SSH", b"SSH-2.0-OpenSSH_9.9\r\n"),
    ("an alert", &[21, 3, 3, 0, 2, 2, 0]),
    ("application data", &[23, 3, 3, 0, 1, 0]),
    ("SSL 2 in a TLS record", &[22, 2, 0, 0, 4]),
    ("zeros", &[0; 64]),
];

/// Case E4: told in TLS where TLS is spoken.
#[tokio::test(flavor = "multi_thread")]
async fn in_tls_where_that_is_spoken() {
    let exit = AgentByHand::start("harbour.acme").await;
    let claims_much = hello::in_records(&hello::claiming(65_537, &[3, 3]), 1 << 14);
    let misfits: [(&str, &[u8], u8); 5] = [
        (
            "a hello that claims more than 64 KiB",
            &claims_much,
            DECODE_ERROR,
        ),
        (
            "a record that claims more than 2^14",
            &[22, 3, 1, 0x40, 1],
            RECORD_OVERFLOW,
        ),
        ("an empty record", &[22, 3, 1, 0, 0], RECORD_OVERFLOW),
        (
            "a ServerHello",
            &[22, 3, 3, 0, 4, 2, 0, 0, 0],
            UNEXPECTED_MESSAGE,
        ),
        (
            "a length that does not fit",
            &[22, 3, 1, 0, 4, 1, 1, 0, 1],
            DECODE_ERROR,
        ),
    ];
    for (what, bytes, description) in misfits {
        let told = entrance::say(exit.relay.address, bytes)
            .await
            .expect("a clean end");
        assert_eq!(told, alert(description), "{what}");
    }
    assert!(exit.nobody_came().await);
}

/// Case E4: told in HTTP where that is spoken, and closed without a word otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn in_http_or_without_a_word() {
    let exit = AgentByHand::start("harbour.acme").await;
    let relay = exit.relay.address;
    for (what, bytes) in STRANGERS {
        let told = entrance::say(relay, bytes).await.expect("a clean end");
        assert_eq!(told, b"", "{what}");
    }
    for request in [
        "GET /api HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let told = entrance::say(relay, request.as_bytes())
            .await
            .expect("a clean end");
        let told = String::from_utf8(told).expect("text");
        assert!(told.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{told}");
        let warns = told.contains("Warning: 299 gangplank \"PlainHttp: ");
        assert!(warns && told.contains("https://"), "{told}");
    }
    assert!(exit.nobody_came().await);
}

/// Case E4: hundreds that never come to an end, each in its own way. All are closed, the memory stays bounded, and
/// a caller in their midst is served.
#[tokio::test(flavor = "multi_thread")]
async fn however_long_they_go_on() {
    let exit = AgentByHand::start("harbour.acme").await;
    let relay = exit.relay.address;
    let before = exit.relay.process.resident_kib();
    let tiny = hello::in_records(&hello::claiming(1 << 14, &vec![0; 1 << 14]), 1);
    let noise = vec![22; 1 << 14];
    let floods = (0..FLOOD).map(|number| {
        let bytes = if number % 2 == 0 { &tiny } else { &noise };
        async move {
            let (mut reads, mut writes) = entrance::connect(relay).await.into_split();
            let mut told = Vec::new();
            let heard_out = tokio::select! {
                heard_out = reads.read_to_end(&mut told) => heard_out.map(drop),
                refused = async { loop { writes.write_all(bytes).await?; } } => refused,
            };
            // Closed in good order after the alert, or reset because there was more to read: it is over.
            assert!(
                told.is_empty() || told == alert(DECODE_ERROR),
                "{told:?} {heard_out:?}"
            );
        }
    });
    let floods = wait::within("the end of every endless hello", join_all(floods));
    let good = async {
        let hello = hello::of_a_real_client(&exit.entrance);
        let mut caller = entrance::connect(relay).await;
        caller.write_all(&hello).await.expect("the relay reads");
        let (_, mut stream) = exit.caller().await;
        let mut arrived = vec![0; hello.len()];
        stream.read_exact(&mut arrived).await.expect("all of it");
        assert!(arrived == hello, "in the midst of a flood");
    };
    tokio::join!(floods, good);
    let grown = exit.relay.process.resident_kib().saturating_sub(before);
    assert!(grown < GROWTH, "the relay grew by {grown} KiB");
}

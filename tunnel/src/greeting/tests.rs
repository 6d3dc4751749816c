use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::control::Notice;
use crate::fixture::{Pair, deadline, over_each_transport, pair, soon};
use crate::wire::{CloseCode, EntranceDomain, SoftwareName};

fn hello() -> Hello {
    Hello {
        instance: 1,
        slot: 0,
        epoch: 9,
        software: SoftwareName::fitting("test 1"),
    }
}

fn welcome() -> Welcome {
    Welcome {
        relay_instance: 2,
        entrance_domain: EntranceDomain::fitting("t.example.com"),
    }
}

type Control = (ControlReader, ControlWriter);

async fn greeted(pair: &Pair) -> (Control, Control) {
    let at_relay = async {
        let greeting = await_hello(&*pair.relay, deadline())
            .await
            .expect("a hello");
        assert_eq!(*greeting.hello(), hello());
        greeting.welcome(welcome()).await.expect("welcomed")
    };
    let (at_relay, at_agent) =
        soon(async { tokio::join!(at_relay, greet(&*pair.agent, hello(), deadline())) }).await;
    let (answer, reader, writer) = at_agent.expect("a welcome");
    assert_eq!(answer, welcome());
    (at_relay, (reader, writer))
}

async fn hello_is_answered_with_welcome(pair: Pair) {
    let _control = greeted(&pair).await;
    assert_eq!(
        (pair.relay.open_streams(), pair.agent.open_streams()),
        (0, 0)
    );
}

async fn drain_is_heard_both_ways_and_the_end_is_clean(pair: Pair) {
    let ((mut relay_hears, mut relay_says), (mut agent_hears, mut agent_says)) =
        greeted(&pair).await;
    relay_says
        .drain(Duration::from_secs(60))
        .await
        .expect("said");
    agent_says.drain(Duration::MAX).await.expect("said");
    let heard = soon(agent_hears.next()).await.expect("heard");
    assert_eq!(
        heard,
        Some(Notice::Drain {
            limit: Duration::from_secs(60)
        })
    );
    let heard = soon(relay_hears.next()).await.expect("heard");
    assert_eq!(
        heard,
        Some(Notice::Drain {
            limit: Duration::from_millis(u32::MAX.into())
        })
    );
    relay_says.finish().await.expect("ended");
    assert_eq!(
        soon(agent_hears.next()).await.expect("an end of file"),
        None
    );
    drop(agent_says);
    if pair.agent.transport() == "tcp" {
        return; // there only the end of the session resets the control stream
    }
    assert_eq!(
        soon(relay_hears.next())
            .await
            .expect_err("a reset")
            .reason(),
        "ControlStreamBroken"
    );
}

async fn a_refused_agent_hears_why(pair: Pair) {
    let refusing = async {
        await_hello(&*pair.relay, deadline())
            .await
            .expect("a hello");
        pair.relay
            .close(CloseCode::NameRefused, "one.acme is not served here");
    };
    let ((), at_agent) =
        soon(async { tokio::join!(refusing, greet(&*pair.agent, hello(), deadline())) }).await;
    let error = at_agent.expect_err("refused");
    assert_eq!(error.reason(), "NameRefused");
    let GreetError::Closed(closed) = error else {
        panic!("{error}")
    };
    let told = closed.to_string();
    if pair.agent.transport() == "quic" {
        assert!(told.contains("one.acme is not served here"), "{told}");
    }
    assert!(told.contains("issue an agent certificate"), "{told}");
}

async fn silence_ends_at_the_deadline(pair: Pair) {
    let now = Instant::now();
    let error = await_hello(&*pair.relay, now).await.expect_err("too late");
    assert!(matches!(error, GreetError::TooLate), "{error}");
    let error = greet(&*pair.agent, hello(), now)
        .await
        .expect_err("too late");
    assert!(matches!(error, GreetError::TooLate), "{error}");
}

/// What the relay says to an agent that begins with these bytes.
async fn begun_with(bytes: &[u8]) -> GreetError {
    let pair = pair().await;
    let mut control = soon(pair.agent.open()).await.expect("the control stream");
    control.write_all(bytes).await.expect("written");
    control.shutdown().await.expect("ended");
    soon(await_hello(&*pair.relay, deadline()))
        .await
        .expect_err("refused")
}

#[tokio::test]
async fn another_beginning_is_refused() {
    let cases: [(&[u8], &str); 8] = [
        (&[2, 1, 0, 0], "UnknownVersion"),
        (&[VERSION, 0x03, 0, 4, 0, 0, 0, 1], "NoGreeting"), // a drain
        (&[VERSION, 0x80, 0, 0], "NoGreeting"),             // a frame to be skipped
        (&[VERSION], "NoGreeting"),
        (&[VERSION, 0x7f, 0, 0], "UnknownFrame"),
        (&[VERSION, 0x01, 0xff, 0xff], "TooLong"),
        (&[VERSION, 0x01, 0, 3, 1, 2, 3], "Truncated"),
        (b"GET / HTTP/1.1\r\n\r\n", "UnknownVersion"),
    ];
    for (bytes, reason) in cases {
        assert_eq!(begun_with(bytes).await.reason(), reason, "{bytes:?}");
    }
}

async fn later_frames_are_skipped_and_a_second_greeting_is_not(pair: Pair) {
    let mut control = soon(pair.agent.open()).await.expect("the control stream");
    let mut bytes = vec![VERSION];
    bytes.extend(ControlFrame::Hello(hello()).encode().expect("a hello"));
    bytes.extend([0x90, 0, 2, 7, 7]);
    bytes.extend(
        ControlFrame::Drain { limit_ms: 5 }
            .encode()
            .expect("a drain"),
    );
    bytes.extend(ControlFrame::Hello(hello()).encode().expect("a hello"));
    control.write_all(&bytes).await.expect("written");
    let greeting = soon(await_hello(&*pair.relay, deadline()))
        .await
        .expect("a hello");
    let (mut reader, _writer) = greeting.welcome(welcome()).await.expect("welcomed");
    let heard = soon(reader.next()).await.expect("heard");
    assert_eq!(
        heard,
        Some(Notice::Drain {
            limit: Duration::from_millis(5)
        })
    );
    assert_eq!(
        soon(reader.next()).await.expect_err("refused").reason(),
        "GreetedTwice"
    );
    // What the relay answered is there for the agent, version first.
    assert_eq!(soon(control.read_u8()).await.expect("read"), VERSION);
}

over_each_transport! {
    hello_is_answered_with_welcome
    drain_is_heard_both_ways_and_the_end_is_clean
    a_refused_agent_hears_why
    silence_ends_at_the_deadline
    later_frames_are_skipped_and_a_second_greeting_is_not
}

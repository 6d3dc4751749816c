use super::*;
use crate::fixture::{Pair, deadline, over_each_transport, pair, soon};
use crate::wire::{AbortCode, RefusalCode, ServerName, VERSION};

fn header() -> StreamHeader {
    StreamHeader {
        connection: 5,
        sni: ServerName::fitting("one.acme.example.com"),
        caller: "[2001:db8::1]:40000".parse().expect("an address"),
        traceparent: None,
    }
}

async fn a_caller_is_announced_before_its_first_bytes(pair: Pair) {
    let (mut at_relay, mut at_exit) = pair.stream().await;
    announce(&mut at_relay, &header(), b"client hello")
        .await
        .expect("announced");
    let received = soon(receive_header(&mut at_exit, deadline()))
        .await
        .expect("a header");
    assert_eq!(received, header());
    answer(&mut at_exit, &StreamStatus::Accepted)
        .await
        .expect("answered");
    let status = soon(await_status(&mut at_relay, deadline()))
        .await
        .expect("a status");
    assert_eq!(status, StreamStatus::Accepted);
    let mut first_bytes = [0; 12];
    soon(at_exit.read_exact(&mut first_bytes))
        .await
        .expect("what the caller said");
    assert_eq!(&first_bytes, b"client hello");
}

async fn a_refusal_is_heard_although_the_stream_is_aborted_behind_it(pair: Pair) {
    let (mut at_relay, mut at_exit) = pair.stream().await;
    let refusal = StreamStatus::refused(RefusalCode::Draining, "going away");
    answer(&mut at_exit, &refusal).await.expect("answered");
    // A shutdown, not an abort: a reset could overtake the answer.
    at_exit.shutdown().await.expect("ended");
    drop(at_exit);
    assert_eq!(
        soon(await_status(&mut at_relay, deadline()))
            .await
            .expect("a status"),
        refusal
    );
}

#[tokio::test]
async fn hostile_beginnings_are_refused() {
    let cases: [(&[u8], &str); 6] = [
        (&[9, 0, 1, 0], "UnknownVersion"),
        (&[VERSION, 0xff, 0xff], "TooLong"),
        (&[VERSION, 0, 0], "Truncated"),
        (&[VERSION, 0, 1, 7], "Meaningless"),
        (&[VERSION, 0], "StreamBroken"),
        (&[], "StreamBroken"),
    ];
    let pair = pair().await;
    for (bytes, reason) in cases {
        let (mut at_relay, mut at_exit) = pair.stream().await;
        at_exit.write_all(bytes).await.expect("written");
        at_exit.shutdown().await.expect("ended");
        let status = soon(await_status(&mut at_relay, deadline())).await;
        assert_eq!(status.expect_err("refused").reason(), reason, "{bytes:?}");
    }
}

async fn silence_ends_at_the_deadline_and_an_abort_before_it(pair: Pair) {
    let (mut at_relay, at_exit) = pair.stream().await;
    let status = await_status(&mut at_relay, Instant::now()).await;
    assert_eq!(status.expect_err("too late").reason(), "TimedOut");
    at_exit.abort(AbortCode::Refused);
    let status = soon(await_status(&mut at_relay, deadline())).await;
    assert_eq!(status.expect_err("aborted").reason(), "StreamBroken");
}

over_each_transport! {
    a_caller_is_announced_before_its_first_bytes
    a_refusal_is_heard_although_the_stream_is_aborted_behind_it
    silence_ends_at_the_deadline_and_an_abort_before_it
}

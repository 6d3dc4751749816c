//! What a session's streams must do, whatever carries them.

use std::future::poll_fn;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Pair, over_each_transport, pair, pair_over_tcp, soon};
use crate::stream::{StreamReader, StreamReset};
use crate::wire::{AbortCode, CloseCode};

async fn half_close_ends_one_direction_only(pair: Pair) {
    for from_relay in [true, false] {
        let (at_relay, at_agent) = pair.stream().await;
        let (mut early, mut late) = if from_relay {
            (at_relay, at_agent)
        } else {
            (at_agent, at_relay)
        };
        early.write_all(b"question").await.expect("written");
        early.shutdown().await.expect("ended");
        let mut heard = Vec::new();
        soon(late.read_to_end(&mut heard))
            .await
            .expect("an end of file");
        assert_eq!(heard, b"question");
        late.write_all(b"answer").await.expect("written");
        late.shutdown().await.expect("ended");
        heard.clear();
        soon(early.read_to_end(&mut heard))
            .await
            .expect("an end of file");
        assert_eq!(heard, b"answer");
    }
}

async fn an_abort_is_a_reset_at_the_other_end(pair: Pair) {
    for from_relay in [true, false] {
        let (at_relay, at_agent) = pair.stream().await;
        let (here, mut there) = if from_relay {
            (at_relay, at_agent)
        } else {
            (at_agent, at_relay)
        };
        here.abort(AbortCode::PeerReset);
        let error = soon(there.read_u8()).await.expect_err("a reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(StreamReset::within(&error), Some(AbortCode::PeerReset));
        // The other direction was stopped as well: writing comes to the same end.
        let error = soon(async {
            loop {
                if let Err(error) = there.write_all(&[0; 4096]).await {
                    return error;
                }
            }
        })
        .await;
        assert_eq!(StreamReset::within(&error), Some(AbortCode::PeerReset));
    }
}

async fn a_dropped_stream_never_looks_complete(pair: Pair) {
    for from_relay in [true, false] {
        let (at_relay, at_agent) = pair.stream().await;
        let (mut here, mut there) = if from_relay {
            (at_relay, at_agent)
        } else {
            (at_agent, at_relay)
        };
        here.write_all(b"half of the truth").await.expect("written");
        drop(here);
        let mut heard = Vec::new();
        let error = soon(there.read_to_end(&mut heard))
            .await
            .expect_err("a reset");
        assert_eq!(StreamReset::within(&error), Some(AbortCode::Dropped));
    }
}

async fn a_stream_that_was_shut_down_may_be_dropped(pair: Pair) {
    let (mut at_relay, at_agent) = pair.stream().await;
    let (_, mut writer) = at_agent.into_split();
    writer.write_all(b"all of it").await.expect("written");
    writer.shutdown().await.expect("ended");
    drop(writer);
    let mut heard = Vec::new();
    soon(at_relay.read_to_end(&mut heard))
        .await
        .expect("an end of file");
    assert_eq!(heard, b"all of it");
    // Its reader was dropped too: nobody reads there, and nothing is wrong.
    let (_, mut writer) = at_relay.into_split();
    let code = soon(poll_fn(|cx| writer.poll_stopped(cx))).await;
    assert_eq!(code, AbortCode::NotReading);
}

async fn vectored_writes_arrive_in_order(pair: Pair) {
    let (mut at_relay, mut at_agent) = pair.stream().await;
    assert!(tokio::io::AsyncWrite::is_write_vectored(&at_relay));
    let slices = [b"one ".as_slice(), b"", b"two ", b"three"].map(std::io::IoSlice::new);
    assert_eq!(at_relay.write_vectored(&slices).await.expect("written"), 13);
    at_relay.shutdown().await.expect("ended");
    let mut heard = String::new();
    soon(at_agent.read_to_string(&mut heard))
        .await
        .expect("an end of file");
    assert_eq!(heard, "one two three");
}

/// Reads once, without a buffer.
async fn read_chunks(reader: &mut StreamReader, most: usize) -> std::io::Result<Vec<Bytes>> {
    let mut chunks = vec![Bytes::new(); most];
    let filled = soon(poll_fn(|cx| reader.poll_read_chunks(cx, &mut chunks))).await?;
    chunks.truncate(filled);
    Ok(chunks)
}

async fn chunks_come_in_order_until_the_end_of_file(pair: Pair) {
    let (at_relay, at_agent) = pair.stream().await;
    let (mut reader, _writer) = at_relay.into_split();
    let (_, mut writer) = at_agent.into_split();
    let sent: Vec<u8> = (0..=250).cycle().take(2 << 20).collect();
    let sending = async {
        writer.write_all(&sent).await.expect("written");
        writer.shutdown().await.expect("ended");
    };
    let hearing = async {
        let mut heard = Vec::new();
        loop {
            let chunks = read_chunks(&mut reader, 3).await.expect("read");
            if chunks.is_empty() {
                return heard;
            }
            assert!(chunks.iter().all(|chunk| !chunk.is_empty()));
            heard.extend(chunks.concat());
        }
    };
    let ((), heard) = soon(async { tokio::join!(sending, hearing) }).await;
    assert!(heard == sent, "{} of {} bytes", heard.len(), sent.len());
}

async fn a_reset_is_no_end_of_chunks(pair: Pair) {
    let (at_relay, at_agent) = pair.stream().await;
    let (mut reader, _writer) = at_relay.into_split();
    at_agent.abort(AbortCode::Dropped);
    let error = read_chunks(&mut reader, 3).await.expect_err("a reset");
    assert_eq!(StreamReset::within(&error), Some(AbortCode::Dropped));
}

async fn a_lost_session_breaks_its_streams_off(pair: Pair) {
    let (_at_relay, mut at_agent) = pair.stream().await;
    pair.relay.close(CloseCode::Done, "");
    let error = soon(at_agent.read_u8()).await.expect_err("no end of file");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn a_dropped_stream_over_quic_never_looks_complete() {
    a_dropped_stream_never_looks_complete(pair().await).await;
}

#[tokio::test]
async fn a_dropped_stream_over_tcp_never_looks_complete() {
    a_dropped_stream_never_looks_complete(pair_over_tcp().await).await;
}

over_each_transport! {
    half_close_ends_one_direction_only
    an_abort_is_a_reset_at_the_other_end
    a_stream_that_was_shut_down_may_be_dropped
    vectored_writes_arrive_in_order
    chunks_come_in_order_until_the_end_of_file
    a_reset_is_no_end_of_chunks
    a_lost_session_breaks_its_streams_off
}

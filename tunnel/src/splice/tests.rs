use std::future::pending;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::*;
use crate::fixture::{Pair, over_each_transport, soon, tcp_pair};
use crate::stream::{Stream, StreamReset};

/// A caller, the splice at the relay, and the exit's end of the stream.
struct Line {
    caller: TcpStream,
    exit: Stream,
    splicing: JoinHandle<Spliced>,
}

async fn line(pair: &Pair) -> Line {
    let (at_relay, exit) = pair.stream().await;
    let (caller, accepted) = tcp_pair().await;
    Line {
        caller,
        exit,
        splicing: TaskTracker::new().spawn(async {
            let endless = || -> BoxFuture<'static, ()> { Box::pin(pending()) };
            splice(accepted, at_relay, &endless, pending()).await
        }),
    }
}

/// A byte each way, so that both directions wait for more.
async fn greet_both_ways(caller: &mut TcpStream, exit: &mut Stream) {
    soon(async {
        caller.write_all(b"?").await.expect("written");
        assert_eq!(exit.read_u8().await.expect("read"), b'?');
        exit.write_all(b"!").await.expect("written");
        assert_eq!(caller.read_u8().await.expect("read"), b'!');
    })
    .await;
}

/// Bytes that differ along the way, the same for a seed.
fn block(seed: u64, number: u64) -> Vec<u8> {
    let mut state = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    let mut bytes = Vec::with_capacity(BLOCK);
    while bytes.len() < BLOCK {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

const BLOCK: usize = 1 << 16;
/// 64 MiB.
const BLOCKS: u64 = 1024;

async fn send_blocks(mut to: impl tokio::io::AsyncWrite + Unpin, seed: u64) -> Vec<u8> {
    let mut digest = Context::new(&SHA256);
    for number in 0..BLOCKS {
        let bytes = block(seed, number);
        digest.update(&bytes);
        to.write_all(&bytes).await.expect("written");
    }
    to.shutdown().await.expect("ended");
    digest.finish().as_ref().to_vec()
}

async fn receive_all(mut from: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut digest = Context::new(&SHA256);
    let mut bytes = vec![0; BLOCK];
    loop {
        let count = from.read(&mut bytes).await.expect("read");
        if count == 0 {
            return digest.finish().as_ref().to_vec();
        }
        digest.update(&bytes[..count]);
    }
}

async fn bulk_both_ways_at_once_arrives_whole(pair: Pair) {
    let Line {
        caller,
        exit,
        splicing,
    } = line(&pair).await;
    let (from_caller, to_caller) = caller.into_split();
    let (from_tunnel, to_tunnel) = exit.into_split();
    let (sent_in, heard_in, sent_out, heard_out) = soon(async {
        tokio::join!(
            TaskTracker::new().spawn(send_blocks(to_caller, 1)),
            TaskTracker::new().spawn(receive_all(from_tunnel)),
            TaskTracker::new().spawn(send_blocks(to_tunnel, 2)),
            TaskTracker::new().spawn(receive_all(from_caller)),
        )
    })
    .await;
    assert_eq!(sent_in.expect("sent"), heard_in.expect("heard"));
    assert_eq!(sent_out.expect("sent"), heard_out.expect("heard"));
    let spliced = soon(splicing).await.expect("spliced");
    assert!(matches!(spliced.ended, Ended::Finished), "{spliced:?}");
    let all = BLOCKS * u64::try_from(BLOCK).expect("fits");
    assert_eq!(
        (spliced.to_tunnel_bytes, spliced.to_caller_bytes),
        (all, all)
    );
}

async fn half_close_passes_both_ways(pair: Pair) {
    let Line {
        mut caller,
        mut exit,
        splicing,
    } = line(&pair).await;
    caller.write_all(b"question").await.expect("written");
    caller.shutdown().await.expect("ended");
    let mut heard = Vec::new();
    soon(exit.read_to_end(&mut heard))
        .await
        .expect("an end of file");
    assert_eq!(heard, b"question");
    exit.write_all(b"answer").await.expect("written");
    exit.shutdown().await.expect("ended");
    heard.clear();
    soon(caller.read_to_end(&mut heard))
        .await
        .expect("an end of file");
    assert_eq!(heard, b"answer");
    let spliced = soon(splicing).await.expect("spliced");
    assert!(matches!(spliced.ended, Ended::Finished), "{spliced:?}");
}

async fn the_exit_may_end_first(pair: Pair) {
    let Line {
        mut caller,
        mut exit,
        splicing,
    } = line(&pair).await;
    exit.shutdown().await.expect("ended");
    let mut heard = Vec::new();
    soon(caller.read_to_end(&mut heard))
        .await
        .expect("an end of file");
    caller.write_all(b"still talking").await.expect("written");
    caller.shutdown().await.expect("ended");
    soon(exit.read_to_end(&mut heard))
        .await
        .expect("an end of file");
    assert_eq!(heard, b"still talking");
    let spliced = soon(splicing).await.expect("spliced");
    assert!(matches!(spliced.ended, Ended::Finished), "{spliced:?}");
}

async fn a_callers_reset_is_a_reset_at_the_exit(pair: Pair) {
    let Line {
        mut caller,
        mut exit,
        splicing,
    } = line(&pair).await;
    greet_both_ways(&mut caller, &mut exit).await;
    caller.set_zero_linger().expect("no lingering");
    drop(caller);
    let error = soon(exit.read_u8()).await.expect_err("a reset");
    assert_eq!(StreamReset::within(&error), Some(AbortCode::PeerReset));
    let spliced = soon(splicing).await.expect("spliced");
    assert!(matches!(spliced.ended, Ended::ByCaller(_)), "{spliced:?}");
    assert_eq!((spliced.to_tunnel_bytes, spliced.to_caller_bytes), (1, 1));
}

async fn a_callers_reset_is_seen_after_its_end_of_file(pair: Pair) {
    let Line {
        mut caller,
        mut exit,
        splicing,
    } = line(&pair).await;
    caller.shutdown().await.expect("ended");
    let mut nothing = Vec::new();
    soon(exit.read_to_end(&mut nothing))
        .await
        .expect("an end of file");
    // Nothing is read from the caller any more, and nothing is written to it.
    caller.set_zero_linger().expect("no lingering");
    drop(caller);
    let spliced = soon(splicing).await.expect("spliced");
    assert!(matches!(spliced.ended, Ended::ByCaller(_)), "{spliced:?}");
    let error = soon(async {
        loop {
            if let Err(error) = exit.write_all(&[0; 4096]).await {
                return error;
            }
        }
    })
    .await;
    assert_eq!(StreamReset::within(&error), Some(AbortCode::PeerReset));
}

async fn an_abort_at_the_exit_is_a_reset_at_the_caller(pair: Pair) {
    let Line {
        mut caller,
        mut exit,
        splicing,
    } = line(&pair).await;
    greet_both_ways(&mut caller, &mut exit).await;
    exit.abort(AbortCode::GoingAway);
    let error = soon(caller.read_u8()).await.expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let spliced = soon(splicing).await.expect("spliced");
    assert!(
        matches!(spliced.ended, Ended::ByExit(AbortCode::GoingAway)),
        "{spliced:?}"
    );
}

async fn an_abort_at_the_exit_reaches_a_caller_that_reads_nothing(pair: Pair) {
    let Line {
        mut caller,
        mut exit,
        splicing,
    } = line(&pair).await;
    greet_both_ways(&mut caller, &mut exit).await;
    // The caller's end of file: its direction has nothing to notice any more.
    caller.shutdown().await.expect("ended");
    let mut nothing = Vec::new();
    soon(exit.read_to_end(&mut nothing))
        .await
        .expect("an end of file");
    // Until sockets and window are full, and the splice waits for the caller alone.
    let full = async {
        let bytes = vec![0; 1 << 20];
        loop {
            let writing = tokio::time::timeout(std::time::Duration::from_millis(200), async {
                exit.write_all(&bytes).await.expect("written");
            });
            if writing.await.is_err() {
                return;
            }
        }
    };
    soon(full).await;
    exit.abort(AbortCode::Dropped);
    let spliced = soon(splicing).await.expect("spliced");
    assert!(
        matches!(spliced.ended, Ended::ByExit(AbortCode::Dropped)),
        "{spliced:?}"
    );
    let mut heard = Vec::new();
    soon(caller.read_to_end(&mut heard))
        .await
        .expect_err("a reset");
}

async fn a_lost_tunnel_is_a_reset_at_the_caller(pair: Pair) {
    let Line {
        mut caller,
        mut exit,
        splicing,
    } = line(&pair).await;
    greet_both_ways(&mut caller, &mut exit).await;
    pair.agent.close(crate::wire::CloseCode::Done, "");
    let error = soon(caller.read_u8()).await.expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let spliced = soon(splicing).await.expect("spliced");
    assert!(matches!(spliced.ended, Ended::TunnelLost), "{spliced:?}");
}

async fn a_cancelled_splice_breaks_both_sides_off(pair: Pair) {
    let Line {
        mut caller,
        mut exit,
        splicing,
    } = line(&pair).await;
    greet_both_ways(&mut caller, &mut exit).await;
    splicing.abort();
    let error = soon(caller.read_u8()).await.expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let error = soon(exit.read_u8()).await.expect_err("a reset");
    assert_eq!(StreamReset::within(&error), Some(AbortCode::Dropped));
}

async fn an_answer_survives_a_caller_that_still_talks(pair: Pair) {
    let Line {
        mut caller,
        mut exit,
        splicing,
    } = line(&pair).await;
    greet_both_ways(&mut caller, &mut exit).await;
    // The exit answers, ends and reads no more, in the midst of an upload.
    let (_, mut writer) = exit.into_split();
    writer.write_all(b"enough").await.expect("written");
    writer.shutdown().await.expect("ended");
    let upload = vec![0; 8 << 20];
    let mut heard = Vec::new();
    soon(async {
        caller
            .write_all(&upload)
            .await
            .expect("taken, if only to be thrown away");
        caller
            .read_to_end(&mut heard)
            .await
            .expect("an end of file, not a reset");
        caller.shutdown().await.expect("ended");
    })
    .await;
    assert_eq!(heard, b"enough");
    let spliced = soon(splicing).await.expect("spliced");
    assert!(matches!(spliced.ended, Ended::Finished), "{spliced:?}");
}

#[test]
fn what_a_caller_has_not_taken_is_all_that_is_kept() {
    let chunks = [&b"ab"[..], b"", b"cde", b"f"].map(Bytes::from_static);
    let all = b"abcdef";
    for written in 0..=all.len() {
        let rest = directions::rest_of(&chunks, written);
        assert_eq!(rest, all[written..], "behind {written} bytes");
    }
}

/// Whoever takes nothing has to make way when it is told so, and not before; whoever takes something is not told.
#[tokio::test]
async fn caller_who_takes_nothing_makes_way_when_it_is_told() {
    makes_way(crate::fixture::pair().await).await;
    makes_way(crate::fixture::pair_over_tcp().await).await;
}

async fn makes_way(pair: Pair) {
    let (at_relay, mut exit) = pair.stream().await;
    let (mut caller, accepted) = tcp_pair().await;
    let (stands_still, make_way) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let splicing = {
        let (stands_still, make_way) = (Arc::clone(&stands_still), Arc::clone(&make_way));
        TaskTracker::new().spawn(async move {
            let patience = || -> BoxFuture<'static, ()> {
                let (stands_still, make_way) = (Arc::clone(&stands_still), Arc::clone(&make_way));
                Box::pin(async move {
                    stands_still.notify_one();
                    make_way.notified().await;
                })
            };
            splice(accepted, at_relay, &patience, pending()).await
        })
    };
    greet_both_ways(&mut caller, &mut exit).await;
    let (mut sent, piece) = (0_u64, vec![7; BLOCK]);
    let flooding = async {
        loop {
            match exit.write_all(&piece).await {
                Ok(()) => sent += 1,
                Err(error) => return error,
            }
        }
    };
    let told = async {
        stands_still.notified().await;
        make_way.notify_one();
    };
    let (error, ()) = soon(async { tokio::join!(flooding, told) }).await;
    assert_eq!(StreamReset::within(&error), Some(AbortCode::TimedOut));
    let spliced = soon(splicing).await.expect("no panic");
    assert!(matches!(spliced.ended, Ended::MadeWay), "{spliced:?}");
    assert!(sent > 0, "it was given something first");
    let mut rest = Vec::new();
    let end = soon(caller.read_to_end(&mut rest)).await;
    end.expect_err("what was cut off does not look complete");
}

/// A caller of whom nothing is heard any more, though nothing says so on its connection.
#[tokio::test]
async fn caller_who_is_gone_is_a_reset_at_the_exit() {
    for pair in [
        crate::fixture::pair().await,
        crate::fixture::pair_over_tcp().await,
    ] {
        let (at_relay, mut exit) = pair.stream().await;
        let (mut caller, accepted) = tcp_pair().await;
        let noticed = Arc::new(Notify::new());
        let gone = Arc::clone(&noticed);
        let splicing = TaskTracker::new().spawn(async move {
            let endless = || -> BoxFuture<'static, ()> { Box::pin(pending()) };
            splice(accepted, at_relay, &endless, gone.notified()).await
        });
        greet_both_ways(&mut caller, &mut exit).await;
        noticed.notify_one();
        let error = soon(exit.read_u8()).await.expect_err("a reset");
        assert_eq!(StreamReset::within(&error), Some(AbortCode::PeerReset));
        let spliced = soon(splicing).await.expect("no panic");
        assert!(
            matches!(&spliced.ended, Ended::ByCaller(error) if error.kind() == io::ErrorKind::TimedOut)
        );
    }
}

over_each_transport! {
    bulk_both_ways_at_once_arrives_whole
    half_close_passes_both_ways
    the_exit_may_end_first
    a_callers_reset_is_a_reset_at_the_exit
    a_callers_reset_is_seen_after_its_end_of_file
    an_abort_at_the_exit_is_a_reset_at_the_caller
    an_abort_at_the_exit_reaches_a_caller_that_reads_nothing
    a_lost_tunnel_is_a_reset_at_the_caller
    a_cancelled_splice_breaks_both_sides_off
    an_answer_survives_a_caller_that_still_talks
}

//! What a caller and an exit say to one another arrives whole or as a prefix, and how it ended is told as it was:
//! an end as an end, a break as a break, each direction by itself.

use std::io::ErrorKind;
use std::sync::Arc;

use gangplank_tunnel::Stream;
use gangplank_tunnel::wire::{AbortCode, CloseCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::agent_by_hand::AgentByHand;
use crate::support::noise::{Heard, Noise, Random, digest_of};
use crate::support::{entrance, hello, wait};

/// In each direction.
const MUCH: usize = 100 << 20;

/// The latest point at which a connection ends or breaks: several windows of everything on the way.
const LATEST: usize = 6 << 20;

/// Connections of each kind.
const ROUNDS: u64 = 8;

const CALLERS: u64 = 1;
const EXITS: u64 = 2;

/// A caller on board, its hello read at the exit.
async fn on_board(exit: &AgentByHand) -> (TcpStream, Stream) {
    let hello = hello::asking_for(exit.entrance.as_bytes());
    let mut caller = entrance::connect(exit.relay.address).await;
    caller.write_all(&hello).await.expect("the relay reads");
    let (_, mut stream) = exit.caller().await;
    let mut arrived = vec![0; hello.len()];
    wait::within("the hello at the exit", stream.read_exact(&mut arrived))
        .await
        .expect("all of it");
    assert_eq!(arrived, hello);
    (caller, stream)
}

/// Case E16: 100 MiB each way at the same time, each to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_mebibytes_each_way() {
    let exit = AgentByHand::start("harbour.acme").await;
    let (caller, stream) = on_board(&exit).await;
    let (mut caller_reads, mut caller_writes) = caller.into_split();
    let (mut exit_reads, mut exit_writes) = stream.into_split();
    let all = async {
        tokio::join!(
            async {
                Noise::new(CALLERS)
                    .write_to(&mut caller_writes, MUCH)
                    .await
                    .expect("the relay reads");
                caller_writes.shutdown().await.expect("an end");
            },
            async {
                Noise::new(EXITS)
                    .write_to(&mut exit_writes, MUCH)
                    .await
                    .expect("the relay reads");
                exit_writes.shutdown().await.expect("an end");
            },
            Heard::from(&mut caller_reads, usize::MAX),
            Heard::from(&mut exit_reads, usize::MAX),
        )
    };
    let ((), (), at_caller, at_exit) = wait::within("100 MiB each way", all).await;
    for (whose, heard, seed) in [("caller", at_caller, EXITS), ("exit", at_exit, CALLERS)] {
        assert!(heard.end.is_ok(), "{whose}: {:?}", heard.end);
        assert_eq!(heard.length, MUCH, "{whose}");
        assert!(
            heard.digest == digest_of(seed, MUCH),
            "{whose}: the bytes are those that were sent"
        );
    }
}

/// Case E16: one side ends its direction at some point while the other goes on, to an end of its own.
#[tokio::test(flavor = "multi_thread")]
async fn each_direction_ends_by_itself() {
    let exit = AgentByHand::start("harbour.acme").await;
    let (seed, mut random) = Random::fresh();
    for round in 0..ROUNDS {
        let (callers, exits) = (random.below(LATEST), random.below(LATEST));
        let told = format!("seed {seed}, round {round}: {callers} and {exits} bytes");
        let (mut caller, mut stream) = on_board(&exit).await;
        // Whoever ends first has its end seen before the other has said a word.
        let (at_exit, at_caller) = if round % 2 == 0 {
            let at_exit = one_way(&mut caller, CALLERS, callers, &mut stream).await;
            (
                at_exit,
                one_way(&mut stream, EXITS, exits, &mut caller).await,
            )
        } else {
            let at_caller = one_way(&mut stream, EXITS, exits, &mut caller).await;
            (
                one_way(&mut caller, CALLERS, callers, &mut stream).await,
                at_caller,
            )
        };
        for (heard, seed, length) in [(at_exit, CALLERS, callers), (at_caller, EXITS, exits)] {
            assert!(heard.end.is_ok(), "{told}: {:?}", heard.end);
            assert!(
                heard.length == length && heard.is_prefix_of(seed),
                "{told}: {} arrived",
                heard.length
            );
        }
    }
}

async fn one_way(
    from: &mut (impl tokio::io::AsyncWrite + Unpin),
    seed: u64,
    length: usize,
    to: &mut (impl tokio::io::AsyncRead + Unpin),
) -> Heard {
    let sending = async {
        Noise::new(seed)
            .write_to(from, length)
            .await
            .expect("the other side reads");
        from.shutdown().await.expect("an end");
    };
    let both = async { tokio::join!(sending, Heard::from(to, usize::MAX)) };
    wait::within("one direction to its end", both).await.1
}

/// Case E16: the caller resets its connection at some point while both talk. The exit sees a break, never an end,
/// and what it got before is a prefix.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_breaks_off() {
    let exit = AgentByHand::start("harbour.acme").await;
    let (seed, mut random) = Random::fresh();
    for round in 0..ROUNDS {
        let point = random.below(LATEST);
        let (mut caller, stream) = on_board(&exit).await;
        let (mut exit_reads, mut exit_writes) = stream.into_split();
        let breaking = async {
            Noise::new(CALLERS)
                .write_to(&mut caller, point)
                .await
                .expect("the relay reads");
            caller.set_zero_linger().expect("our own socket");
            drop(caller);
        };
        let talking = Noise::new(EXITS).write_to(&mut exit_writes, usize::MAX);
        let all =
            async { tokio::join!(breaking, talking, Heard::from(&mut exit_reads, usize::MAX)) };
        let ((), told, heard) = wait::within("the break at the exit", all).await;
        let round = format!("seed {seed}, round {round}, broken at {point}");
        assert!(
            told.is_err(),
            "{round}: the exit's own direction is broken too"
        );
        assert_eq!(heard.end_kind(), Err(ErrorKind::ConnectionReset), "{round}");
        assert!(
            heard.length <= point && heard.is_prefix_of(CALLERS),
            "{round}: {} arrived",
            heard.length
        );
    }
}

/// Case E16: the exit aborts at some point after both have talked. The caller sees a reset, never an end, and what it
/// got before is a prefix.
#[tokio::test(flavor = "multi_thread")]
async fn an_exit_that_breaks_off() {
    let exit = AgentByHand::start("harbour.acme").await;
    let (seed, mut random) = Random::fresh();
    for round in 0..ROUNDS {
        let (callers, point) = (random.below(LATEST), random.below(LATEST));
        let (caller, mut stream) = on_board(&exit).await;
        let (mut caller_reads, mut caller_writes) = caller.into_split();
        let breaking = async {
            let (mut exit_reads, mut exit_writes) = tokio::io::split(&mut stream);
            let (written, heard) = tokio::join!(
                Noise::new(EXITS).write_to(&mut exit_writes, point),
                Heard::from(&mut exit_reads, callers)
            );
            written.expect("the relay reads");
            // Nothing of the caller is under way any more: a socket tells of a reset once, and whoever writes
            // would be told in place of who reads.
            assert_eq!(heard.length, callers, "all that the caller said");
            stream.abort(AbortCode::PeerReset);
        };
        let talking = Noise::new(CALLERS).write_to(&mut caller_writes, callers);
        let all = async {
            tokio::join!(
                breaking,
                talking,
                Heard::from(&mut caller_reads, usize::MAX)
            )
        };
        let ((), told, heard) = wait::within("the break at the caller", all).await;
        let round = format!("seed {seed}, round {round}, broken at {point}");
        told.expect("what was said before the break was taken");
        assert_eq!(heard.end_kind(), Err(ErrorKind::ConnectionReset), "{round}");
        assert!(
            heard.length <= point && heard.is_prefix_of(EXITS),
            "{round}: {} arrived",
            heard.length
        );
    }
}

/// A tunnel that is lost under running connections is a break at each of its callers, also where one direction had
/// ended before.
#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_is_lost() {
    let exit = Arc::new(AgentByHand::start("harbour.acme").await);
    let (mut talking, _its_stream) = on_board(&exit).await;
    let (mut waiting, mut half) = on_board(&exit).await;
    waiting.shutdown().await.expect("our half ends");
    let ended = wait::within("the end at the exit", half.read(&mut [0; 1])).await;
    assert_eq!(ended.expect("a clean end"), 0);
    exit.session.close(CloseCode::Done, "");
    for caller in [&mut talking, &mut waiting] {
        let error = entrance::hear_out(caller).await.expect_err("no clean end");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

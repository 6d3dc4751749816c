//! However a caller's first flight is cut into segments, the relay finds the name and the exit gets every byte.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::yield_now;

use crate::support::agent_by_hand::AgentByHand;
use crate::support::{entrance, hello, wait};

/// Callers at the same time: enough that one slow hand-over holds nobody up.
const AT_ONCE: usize = 16;

/// Gives each caller back what it sent, once it has finished.
fn echo_everybody(exit: Arc<AgentByHand>) {
    tokio::spawn(async move {
        loop {
            let (_, mut stream) = exit.caller().await;
            tokio::spawn(async move {
                let mut sent = Vec::new();
                stream
                    .read_to_end(&mut sent)
                    .await
                    .expect("the caller finishes");
                stream.write_all(&sent).await.expect("the caller reads");
                stream.shutdown().await.expect("our end");
            });
        }
    });
}

async fn sends(caller: &mut TcpStream, pieces: impl Iterator<Item = &[u8]>) {
    for piece in pieces {
        caller.write_all(piece).await.expect("the relay reads on");
        yield_now().await;
    }
    caller.shutdown().await.expect("our half ends");
}

/// Case E2: one byte a segment.
#[tokio::test(flavor = "multi_thread")]
async fn one_byte_a_segment() {
    let exit = Arc::new(AgentByHand::start("harbour.acme").await);
    echo_everybody(Arc::clone(&exit));
    let hello = hello::of_a_real_client(&exit.entrance);
    let mut caller = entrance::connect(exit.relay.address).await;
    wait::within("all of it to leave", sends(&mut caller, hello.chunks(1))).await;
    let echoed = entrance::hear_out(&mut caller).await.expect("a clean end");
    assert!(
        echoed == hello,
        "the exit got {} of {} bytes",
        echoed.len(),
        hello.len()
    );
}

/// Case E2: cut in two at every offset.
#[tokio::test(flavor = "multi_thread")]
async fn cut_in_two_at_every_offset() {
    let exit = Arc::new(AgentByHand::start("harbour.acme").await);
    echo_everybody(Arc::clone(&exit));
    let hello = hello::of_a_real_client(&exit.entrance);
    let callers = (1..hello.len()).map(|cut| {
        let (hello, relay) = (&hello, exit.relay.address);
        async move {
            let mut caller = entrance::connect(relay).await;
            sends(&mut caller, [&hello[..cut], &hello[cut..]].into_iter()).await;
            let echoed = entrance::hear_out(&mut caller).await.expect("a clean end");
            assert!(
                echoed == *hello,
                "cut at {cut}: the exit got {} bytes",
                echoed.len()
            );
        }
    });
    stream::iter(callers)
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
}

/// The same with the cuts between TLS' own records: a hello may be spread over many.
#[tokio::test(flavor = "multi_thread")]
async fn in_records_of_every_small_size() {
    let exit = Arc::new(AgentByHand::start("harbour.acme").await);
    echo_everybody(Arc::clone(&exit));
    let whole = hello::of_a_real_client(&exit.entrance);
    let message = &whole[5..];
    for size in (1..64).chain([message.len() / 2, message.len() - 1]) {
        let cut = hello::in_records(message, size);
        let mut caller = entrance::connect(exit.relay.address).await;
        sends(&mut caller, cut.chunks(1000)).await;
        let echoed = entrance::hear_out(&mut caller).await.expect("a clean end");
        assert!(
            echoed == cut,
            "records of {size}: the exit got {} bytes",
            echoed.len()
        );
    }
}

//! Floods over HTTP/2: cases G1 to G6.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::attacker::{Attacker, Pace, Running, counted, send_out};
use super::ground::{LARGE, SLOW};
use crate::support::raw_http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PING, RawHttp2,
    SETTINGS, Said, bomb, frame, get, long_field, opened, post, stream, taken_back, to_be_reset,
};
use crate::support::wait;

/// More than any connection gets through before it is ended.
const MOST: usize = 100_000;

/// How long a flood goes on that nothing ends.
const LASTS: Duration = Duration::from_secs(6);

/// Case G1: a hundred thousand requests, each taken back in the same breath, a hundred at a time. An ended
/// attacker comes again.
pub(super) fn rapid_reset(attacker: Attacker) -> Running {
    const BURST: u32 = 100;
    const MOST_BURSTS: u32 = 100;
    const ALL: usize = 100_000;
    Box::pin(async move {
        let sent = Arc::new(AtomicUsize::new(0));
        let pace = Pace {
            count: 1_000,
            a_second: 150,
        };
        let ends = send_out(pace, |number| {
            let (attacker, sent) = (attacker.clone(), Arc::clone(&sent));
            async move {
                let mut raw = attack(&attacker, number).await;
                for round in 0..MOST_BURSTS {
                    let burst = BURST * round..BURST * (round + 1);
                    let burst: Vec<u8> =
                        burst.flat_map(|number| taken_back(number, SLOW)).collect();
                    if raw.said().ended || !raw.say(&burst).await {
                        break;
                    }
                    sent.fetch_add(100, Ordering::Relaxed);
                    // Time to be ended, so that what was sent is what was read.
                    sleep(Duration::from_millis(20)).await;
                }
                ending(&raw.await_end().await)
            }
        });
        let ends = ends.await;
        let sent = sent.load(Ordering::Relaxed);
        assert!(sent >= ALL, "only {sent} were taken");
        let upstream = attacker.ground.arrived();
        // An open connection has at most its streams there, and each of these has been closed.
        assert!(
            upstream < ALL / 10,
            "{upstream} of {sent} reached the API server"
        );
        format!("{sent} sent; {}; {upstream} seen upstream", counted(ends))
    })
}

/// Case G2: attackers have the exit reset their streams.
pub(super) fn made_you_reset(attacker: Attacker) -> Running {
    Box::pin(async move {
        let pace = Pace {
            count: 120,
            a_second: 20,
        };
        let told = flood_each(
            &attacker,
            pace,
            |_| None,
            |number, _| to_be_reset(number, SLOW),
        )
        .await;
        format!("{told}; {} seen upstream", attacker.ground.arrived())
    })
}

/// Case G3: headers that never end, in frames with and without something in them.
pub(super) fn continuations(attacker: Attacker) -> Running {
    Box::pin(async move {
        let pieces =
            [long_field(), Vec::new()].map(|piece| frame(CONTINUATION, 0, stream(0), &piece));
        let pace = Pace {
            count: 300,
            a_second: 50,
        };
        let beginning = |_| Some(frame(HEADERS, END_STREAM, stream(0), &get("/flood")));
        let told = flood_each(&attacker, pace, beginning, move |_, attack| {
            pieces[attack % 2].clone()
        });
        let told = told.await;
        assert_eq!(attacker.ground.arrived(), 0, "nothing of it is a request");
        format!("{told}; 0 seen upstream")
    })
}

/// Case G4: frames without data, for a body that nobody reads and for one that is read.
pub(super) fn empty_data(attacker: Attacker) -> Running {
    Box::pin(async move {
        let pace = Pace {
            count: 300,
            a_second: 50,
        };
        let path = |attack: usize| {
            if attack.is_multiple_of(2) {
                SLOW
            } else {
                "/read"
            }
        };
        let beginning =
            move |attack| Some(frame(HEADERS, END_HEADERS, stream(0), &post(path(attack))));
        flood_each(&attacker, pace, beginning, |_, _| {
            frame(DATA, 0, stream(0), &[])
        })
        .await
    })
}

/// Case G5: what must be answered.
pub(super) fn settings(attacker: Attacker) -> Running {
    Box::pin(go_on(attacker, frame(SETTINGS, 0, 0, &[])))
}

/// See [`settings`].
pub(super) fn pings(attacker: Attacker) -> Running {
    Box::pin(go_on(attacker, frame(PING, 0, 0, &[7; 8])))
}

/// Case G5: answers that nobody lets out.
pub(super) fn zero_windows(attacker: Attacker) -> Running {
    const STREAMS: u32 = 200;
    Box::pin(async move {
        let mut raw = attack(&attacker, 0).await;
        let shut = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &[0; 4]].concat();
        assert!(raw.say(&frame(SETTINGS, 0, 0, &shut)).await);
        let asked: Vec<u8> = (0..STREAMS)
            .flat_map(|number| opened(number, &get(LARGE)))
            .collect();
        assert!(raw.say(&asked).await, "200 streams are no attack yet");
        wait::until_async("all heads", || async {
            (raw.said().heads == 200).then_some(())
        })
        .await;
        sleep(LASTS).await;
        format!(
            "200 heads answered, bodies held back; {}",
            ending(&raw.said())
        )
    })
}

/// Case G6: a few bytes that stand for many.
pub(super) fn header_bombs(attacker: Attacker) -> Running {
    const EACH: usize = 20;
    Box::pin(async move {
        let pace = Pace {
            count: 120,
            a_second: 20,
        };
        let told = send_out(pace, |number| {
            let attacker = attacker.clone();
            async move {
                let mut raw = attack(&attacker, number).await;
                raw.flood(EACH, bomb).await;
                wait::until_async("each to be refused, or the end", || async {
                    let said = raw.said();
                    (said.ended || said.resets + said.heads >= EACH).then_some(())
                })
                .await;
                let said = raw.said();
                if said.ended {
                    ending(&said)
                } else {
                    "every stream refused".to_owned()
                }
            }
        });
        let told = told.await;
        assert_eq!(
            attacker.ground.arrived(),
            0,
            "none of them reaches the API server"
        );
        format!("{}; 0 seen upstream", counted(told))
    })
}

async fn attack(attacker: &Attacker, number: usize) -> RawHttp2 {
    RawHttp2::over(attacker.http2(number).await.expect("the handshake")).await
}

/// Each attacker says piece after piece until it is ended.
async fn flood_each<B, P>(attacker: &Attacker, pace: Pace, beginning: B, piece: P) -> String
where
    B: Fn(usize) -> Option<Vec<u8>> + Clone + Send + Sync + 'static,
    P: Fn(u32, usize) -> Vec<u8> + Clone + Send + Sync + 'static,
{
    let ends = send_out(pace, |number| {
        let (attacker, beginning, piece) = (attacker.clone(), beginning.clone(), piece.clone());
        async move {
            let mut raw = attack(&attacker, number).await;
            if let Some(beginning) = beginning(number) {
                assert!(raw.say(&beginning).await, "it begins like any other");
            }
            let taken = raw.flood(MOST, |round| piece(round, number)).await;
            assert!(taken < MOST, "it was let through");
            ending(&raw.await_end().await)
        }
    });
    counted(ends.await)
}

/// Two attackers who read what they are answered, and two who do not, as fast as they are let; whose connection is
/// ended begins another.
async fn go_on(attacker: Attacker, piece: Vec<u8>) -> String {
    let begun = Instant::now();
    let said = (0..4).map(|number| {
        let (attacker, burst) = (attacker.clone(), piece.repeat(100));
        async move {
            let (mut bursts, mut ends) = (0_usize, Vec::new());
            while begun.elapsed() < LASTS {
                let stream = attacker.http2(number).await.expect("the handshake");
                let mut raw = if number.is_multiple_of(2) {
                    RawHttp2::over(stream).await
                } else {
                    RawHttp2::over_unread(stream).await
                };
                let flood = async {
                    while !raw.said().ended && raw.say(&burst).await {
                        bursts += 1;
                    }
                };
                let over = timeout(LASTS.saturating_sub(begun.elapsed()), flood).await;
                ends.push(if over.is_ok() {
                    "closed"
                } else {
                    "still taken"
                });
            }
            (bursts * 100, ends)
        }
    });
    let said = join_all(said).await;
    let frames: usize = said.iter().map(|(frames, _)| frames).sum();
    let ends = said.into_iter().flat_map(|(_, ends)| ends);
    format!(
        "{frames} frames sent; connections: {}",
        counted(ends.map(str::to_owned))
    )
}

/// What a connection's end was called.
fn ending(said: &Said) -> String {
    match (said.goaway, said.ended) {
        (Some(1), _) => "GOAWAY PROTOCOL_ERROR".to_owned(),
        (Some(11), _) => "GOAWAY ENHANCE_YOUR_CALM".to_owned(),
        (Some(reason), _) => format!("GOAWAY {reason}"),
        (None, true) => "closed".to_owned(),
        (None, false) => "left open".to_owned(),
    }
}

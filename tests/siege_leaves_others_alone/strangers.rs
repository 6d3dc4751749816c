//! Crowds that nobody knows, and callers who come and go: cases E6, G10 and G21.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, interval};

use super::attacker::{Attacker, Pace, Running, counted, send_out};
use super::ground::Ground;
use crate::support::certificates::Organisation;
use crate::support::hello::HALF_A_HELLO;
use crate::support::wait;
use crate::support::wire::{self, Wire};

/// Case E6: a third says nothing, a third half a hello, a third a byte each second.
pub(super) fn silence(attacker: Attacker) -> Running {
    Box::pin(async move {
        let pace = Pace {
            count: 3_000,
            a_second: 1_000,
        };
        let ends = send_out(pace, |number| {
            let attacker = attacker.clone();
            async move {
                let begun = Instant::now();
                say_nearly_nothing(&attacker, number).await;
                begun.elapsed().as_secs_f64()
            }
        });
        let ends = ends.await;
        let last = ends.iter().copied().fold(0.0, f64::max);
        format!("{} closed, the last after {last:.1} s", ends.len())
    })
}

async fn say_nearly_nothing(attacker: &Attacker, number: usize) {
    let mut socket = attacker.socket(number).await.expect("it listens");
    let said = match number % 3 {
        0 => &HALF_A_HELLO[..0],
        1 => HALF_A_HELLO,
        _ => &HALF_A_HELLO[..1],
    };
    // Where it is crowded it may be closed by now.
    drop(socket.write_all(said).await);
    let (mut read, mut write) = socket.split();
    let drip = async {
        let mut every = interval(Duration::from_secs(1));
        loop {
            every.tick().await;
            // Once it is closed the other branch hears it.
            drop(write.write_all(&[0]).await);
        }
    };
    let mut rest = Vec::new();
    tokio::select! {
        end = wait::within("each of them to be closed", read.read_to_end(&mut rest)) => drop(end),
        () = drip, if number % 3 == 2 => {}
    }
}

/// Case G10: handshakes with a certificate that nobody accepts, and some that are none.
pub(super) fn bad_certificates(attacker: Attacker) -> Running {
    Box::pin(async move {
        let papers = Organisation::new("stranger").caller("stranger");
        let stranger = Attacker::with(Arc::clone(&attacker.ground), &papers);
        let pace = Pace {
            count: 2_000,
            a_second: 300,
        };
        let ends = send_out(pace, |number| {
            let stranger = stranger.clone();
            async move {
                if number % 4 == 3 {
                    let mut socket = stranger.socket(number).await.expect("it listens");
                    drop(socket.write_all(b"garbage\r\n").await);
                    return "garbage".to_owned();
                }
                let mut wire = Wire::new(stranger.http1(number).await.expect("TLS itself is fine"));
                wire.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                format!("answered {}", wire::status(&wire.head().await))
            }
        });
        let ends = ends.await;
        assert_eq!(attacker.ground.arrived(), 0, "nobody is let in");
        format!("{}; 0 seen upstream", counted(ends))
    })
}

/// Case G21: callers who come, ask and go, eight at a time.
pub(super) fn comers_and_goers(attacker: Attacker) -> Running {
    const CYCLES: usize = 50_000;
    /// It ends then, however far it has come.
    const LASTS: Duration = Duration::from_secs(60);
    /// What a process may keep from the first fifth to the end: with 50,000 it would be more, were it 256 bytes each.
    const SLOPE_KIB: u64 = 8 << 10;
    Box::pin(async move {
        let ground = Arc::clone(&attacker.ground);
        let before = descriptors(&ground);
        let until = Instant::now() + LASTS;
        let early = cycles(&attacker, CYCLES / 5, until).await;
        let warm = residents(&ground);
        let late = cycles(&attacker, CYCLES - CYCLES / 5, until).await;
        let grown: Vec<_> = residents(&ground)
            .iter()
            .zip(&warm)
            .map(|(now, then)| now.saturating_sub(*then))
            .collect();
        assert!(
            grown.iter().all(|kib| *kib < SLOPE_KIB),
            "grown by {grown:?} KiB"
        );
        wait::until_async("as few descriptors as before", || async {
            let now = descriptors(&ground);
            // As many connections to the API server may be kept as there were lanes, and the victim has newcomers.
            let most = LANES + 4;
            let are_few = now
                .iter()
                .zip(&before)
                .all(|(now, then)| *now <= then + most);
            are_few.then_some(())
        })
        .await;
        let grown = grown.iter().map(|kib| format!("{kib} KiB"));
        format!(
            "{} served; relay and exit grown by {} after the first {early}; descriptors as before",
            early + late,
            grown.collect::<Vec<_>>().join(" and ")
        )
    })
}

/// Who comes and goes at the same time.
const LANES: usize = 8;

/// At most so many, and none after that moment; answers how many there were.
async fn cycles(attacker: &Attacker, most: usize, until: Instant) -> usize {
    let lanes = (0..LANES).map(|lane| {
        let attacker = attacker.clone();
        tokio::spawn(async move {
            let mut done = 0;
            while done < most / LANES && Instant::now() < until {
                come_and_go(&attacker, lane + done).await;
                done += 1;
            }
            done
        })
    });
    let lanes = join_all(lanes).await;
    let done = lanes.into_iter().map(|done| done.expect("each is served"));
    done.sum()
}

async fn come_and_go(attacker: &Attacker, number: usize) {
    let mut wire = Wire::new(attacker.http1(number).await.expect("the handshake"));
    wire.say("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(wire::status(&wire.head().await), 200);
    wire.rest().await;
}

fn descriptors(ground: &Ground) -> Vec<usize> {
    let all = ground.processes();
    all.iter().map(|process| process.descriptors()).collect()
}

fn residents(ground: &Ground) -> Vec<u64> {
    let all = ground.processes();
    all.iter().map(|process| process.resident_kib()).collect()
}

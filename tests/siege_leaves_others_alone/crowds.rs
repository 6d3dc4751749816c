//! Crowds that have a certificate and stay: cases G7, G9 and G15.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, sleep};
use tokio_rustls::client::TlsStream;

use super::attacker::{Attacker, Pace, Running, counted, send_out};
use super::ground::{ENDLESS, WATCH};
use crate::support::connection::{Connection, Protocol};
use crate::support::wait;
use crate::support::wire::{self, Wire};

/// How long a crowd stays once all of it is there.
const STAYS: Duration = Duration::from_secs(4);

/// Case G7: heads of which a byte comes each second.
pub(super) fn header_drip(attacker: Attacker) -> Running {
    Box::pin(async move {
        let pace = Pace {
            count: 500,
            a_second: 250,
        };
        let ends = send_out(pace, |number| {
            let attacker = attacker.clone();
            async move {
                let mut stream = attacker.http1(number).await.expect("the handshake");
                let begun = Instant::now();
                stream
                    .write_all(b"GET / HTTP/1.1\r\nx-drip: ")
                    .await
                    .expect("it begins like any other");
                let (mut read, mut write) = tokio::io::split(stream);
                let drip = async {
                    let mut every = interval(Duration::from_secs(1));
                    loop {
                        every.tick().await;
                        // Once it is closed the other branch hears it.
                        drop(write.write_all(b"a").await);
                        drop(write.flush().await);
                    }
                };
                let mut told = Vec::new();
                tokio::select! {
                    end = wait::within("the end of a drip", read.read_to_end(&mut told)) => drop(end),
                    () = drip => {}
                }
                (begun.elapsed(), told.starts_with(b"HTTP/1.1 408"))
            }
        });
        let ends = ends.await;
        let last = ends
            .iter()
            .map(|(after, _)| after.as_secs_f64())
            .fold(0.0, f64::max);
        let told = counted(
            ends.iter()
                .map(|(_, told)| if *told { "408 and closed" } else { "closed" }),
        );
        assert_eq!(attacker.ground.arrived(), 0, "none of it is a request");
        format!("{told}, the last after {last:.0} s")
    })
}

/// Case G9: connections on which nothing more happens after a first request. What one certificate may not have
/// comes again with another one of the organisation.
pub(super) fn idle_connections(attacker: Attacker) -> Running {
    Box::pin(async move {
        let pace = Pace {
            count: 5_000,
            a_second: 400,
        };
        let papers = attacker.ground.hostile.caller("another");
        let another = Attacker::with(Arc::clone(&attacker.ground), &papers);
        let held = send_out(pace, |number| {
            let (attacker, another) = (attacker.clone(), another.clone());
            async move {
                match ask_once(&attacker, number).await {
                    (200, wire) => ("held", wire),
                    (429, _) => match ask_once(&another, number).await {
                        (200, wire) => ("told 429, then held by another certificate", wire),
                        (status, _) => panic!("{status} with another certificate"),
                    },
                    (status, _) => panic!("{status} is no answer"),
                }
            }
        });
        let held = held.await;
        sleep(STAYS).await;
        counted(held.iter().map(|(how, _)| *how))
    })
}

async fn ask_once(attacker: &Attacker, number: usize) -> (u16, Wire<TlsStream<TcpStream>>) {
    let stream = attacker.http1(number).await.expect("the handshake");
    let mut wire = Wire::new(stream);
    wire.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    (wire::status(&wire.head().await), wire)
}

/// Case G9: watches on which nothing happens, a hundred on each HTTP/2 connection.
pub(super) fn silent_watches(attacker: Attacker) -> Running {
    const ON_EACH: usize = 100;
    Box::pin(async move {
        let pace = Pace {
            count: 100,
            a_second: 10,
        };
        let held = send_out(pace, |number| {
            let attacker = attacker.clone();
            async move {
                let stream = attacker.http2(number).await.expect("the handshake");
                let entrance = &attacker.ground.site.entrance;
                let mut connection = Connection::over(stream, Protocol::Two, entrance).await;
                let mut watches = Vec::new();
                for _ in 0..ON_EACH {
                    watches.push(connection.get(WATCH).await.expect("an answer"));
                }
                (watches, connection)
            }
        });
        let held = held.await;
        sleep(STAYS).await;
        let answers = held.iter().flat_map(|(watches, _)| watches);
        counted(answers.map(|answer| format!("answered {} and held", answer.status().as_u16())))
    })
}

/// Case G15: bodies without an end that nobody reads, each on a connection, so in a stream of the tunnel, of its own.
pub(super) fn stalled_streams(attacker: Attacker) -> Running {
    Box::pin(async move {
        let pace = Pace {
            count: 1_000,
            a_second: 200,
        };
        let held = send_out(pace, |number| {
            let attacker = attacker.clone();
            async move {
                // A path that is busy may send it away: that is counted, and no fault of the path's.
                let mut stream = attacker.http1(number).await.ok()?;
                let request = format!("GET {ENDLESS} HTTP/1.1\r\nHost: a\r\n\r\n");
                stream.write_all(request.as_bytes()).await.ok()?;
                stream.flush().await.ok()?;
                Some(stream)
            }
        });
        let held = held.await;
        sleep(STAYS).await;
        // What has come lies unread before it, but the kernel knows of the reset.
        let was_reset = |stream: &TlsStream<TcpStream>| {
            let error = stream.get_ref().0.take_error();
            error.is_ok_and(|error| error.is_some())
        };
        counted(held.iter().map(|stream| match stream {
            None => "sent away",
            Some(stream) if was_reset(stream) => "reset by the relay",
            Some(_) => "kept unread",
        }))
    })
}

//! What links do to time, and what carrying costs: printed beside what was asked, since a busy machine is no
//! fault of theirs. `make soak`, on a machine that has nothing else to do.

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::Duration;

use gangplank_link::{Conditions, Direction, Protocol, Share, Tally};
use rustix::time::{ClockId, clock_gettime};

use super::ends::{Ends, HEADERS};
use crate::support::hosts;

/// What is sent to see how long it takes, and how far apart: so rarely that none waits for another.
const PROBES: usize = 100;
const PROBE_INTERVAL: Duration = Duration::from_millis(20);

/// IP packets of UDP as large as those of TCP.
const PACKET: usize = 1_500;

/// What a probe carries: its time, and as much that it is one packet of a usual size over UDP and TCP alike.
const PROBE: usize = 1_400;

/// How long bulk is sent.
const BULK: Duration = Duration::from_secs(4);

/// Bulk over UDP: a tenth more than the link carries, in bits a second.
const OFFERED: u64 = 110_000_000;

/// What came of one protocol at one loss.
struct Measured {
    /// From sending to reading, of probes, in order.
    delays: Vec<Duration>,
    /// Arrived, in IP packets, while bulk was sent.
    rate: f64,
    /// Of the bulk.
    tally: Tally,
    /// Of carrying the bulk, as a part of a core.
    cpu: f64,
    unasked: u64,
}

#[test]
#[ignore = "half a minute of sending; make soak"]
fn soak_delay_rate_and_loss() {
    if !hosts::can_be_made("links_are_as_asked::measured::soak_delay_rate_and_loss") {
        return;
    }
    // What TCP reaches where packets are lost is its congestion control's doing.
    println!(
        "TCP's congestion control: {}",
        Ends::lay(0).congestion_control()
    );
    println!(
        "{:5} {:>8} | {:>9} {:>9} {:>9} | {:>11} | {:>8} | {:>8} {:>9} {:>8}",
        "", "loss", "delay p50", "p90", "latest", "Mbit/s", "lost", "CPU", "µs/packet", "unasked"
    );
    let asked = Conditions::wide_area(Share::NONE);
    println!(
        "asked          | {:>9} {:>19} | {:>11.2}",
        format!("{:.2} ms", milliseconds(asked.delay)),
        "",
        millions(asked.rate.expect("a rate"))
    );
    let losses = [0, 1, 10].map(Share::per_mille);
    for (number, (name, loss)) in (20..).zip(["0 %", "0.1 %", "1 %"].into_iter().zip(losses)) {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let measured = measure(number, protocol, &Conditions::wide_area(loss));
            println!("{}", measured.row(protocol, name));
            assert_eq!(measured.delays.len(), PROBES, "all of the probes");
        }
    }
}

fn measure(number: u8, protocol: Protocol, conditions: &Conditions) -> Measured {
    let ends = Ends::lay(number);
    let loss = conditions.loss;
    ends.link.change(|asked| {
        *asked = Conditions {
            // A probe that is lost shows how TCP mends it, and nothing of the delay.
            loss: Share::NONE,
            ..conditions.clone()
        }
    });
    let mut delays = match protocol {
        Protocol::Tcp => tcp_probes(&ends),
        _ => udp_probes(&ends),
    };
    delays.sort_unstable();
    ends.link.change(|asked| asked.loss = loss);
    let (cpu, began) = (ends.link.cpu().expect("its times"), now());
    let before = ends.link.tally(Direction::There, protocol);
    let arrived = match protocol {
        Protocol::Tcp => tcp_bulk(&ends),
        _ => udp_bulk(&ends),
    };
    let took = now() - began;
    let mut tally = ends.link.tally(Direction::There, protocol);
    tally.offered -= before.offered;
    Measured {
        delays,
        rate: arrived,
        cpu: (ends.link.cpu().expect("its times") - cpu).as_secs_f64() / took.as_secs_f64(),
        tally,
        unasked: ends.link.unasked_losses().expect("counted"),
    }
}

impl Measured {
    fn row(&self, protocol: Protocol, loss: &str) -> String {
        let delay = |hundredth: usize| {
            format!(
                "{:.2} ms",
                milliseconds(self.delays[PROBES * hundredth / 100])
            )
        };
        let (lost, offered) = (self.tally.lost, self.tally.offered - self.tally.overflowed);
        // Acknowledgements are carried, too.
        let packets = self.tally.offered;
        format!(
            "{:5} {loss:>8} | {:>9} {:>9} {:>9} | {:>11.2} | {:>8} | {:>8} {:>9.1} {:>8}",
            format!("{protocol:?}"),
            delay(50),
            delay(90),
            format!("+{:.2} ms", milliseconds(self.tally.latest)),
            self.rate / 1e6,
            format!("{:.2} %", parts(lost, offered) * 100.0),
            format!("{:.1} %", self.cpu * 100.0),
            self.cpu * BULK.as_secs_f64() * 1e6 * parts(1, packets),
            self.unasked,
        )
    }
}

fn udp_probes(ends: &Ends) -> Vec<Duration> {
    ends.second.set_nonblocking(false).expect("our own socket");
    let to = ends.second.local_addr().expect("it is bound");
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..PROBES {
                ends.first.send_to(&probe(), to).expect("there is a route");
                thread::sleep(PROBE_INTERVAL);
            }
        });
        let mut payload = [0; PROBE];
        let probes = (0..PROBES).map(|_| {
            ends.second.recv_from(&mut payload).expect("a packet");
            age(&payload)
        });
        probes.collect()
    })
}

fn tcp_probes(ends: &Ends) -> Vec<Duration> {
    let (mut sender, mut receiver) = ends.connect();
    sender.set_nodelay(true).expect("our own socket");
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..PROBES {
                sender.write_all(&probe()).expect("it is read");
                thread::sleep(PROBE_INTERVAL);
            }
        });
        let mut payload = [0; PROBE];
        let probes = (0..PROBES).map(|_| {
            receiver.read_exact(&mut payload).expect("a packet");
            age(&payload)
        });
        probes.collect()
    })
}

/// Bits of IP packets a second that arrive while more are sent than can.
fn udp_bulk(ends: &Ends) -> f64 {
    let to = ends.second.local_addr().expect("it is bound");
    let packet = u64::try_from(PACKET).expect("small");
    ends.second.set_nonblocking(false).expect("our own socket");
    let patience = Some(Duration::from_millis(500));
    ends.second
        .set_read_timeout(patience)
        .expect("our own socket");
    thread::scope(|scope| {
        scope.spawn(|| {
            let (began, payload) = (now(), [0; PACKET - HEADERS]);
            let mut sent = 0;
            while now() - began < BULK {
                let due = OFFERED * micros(now() - began) / 8_000_000 / packet;
                while sent < due {
                    ends.first.send_to(&payload, to).expect("there is a route");
                    sent += 1;
                }
                thread::sleep(Duration::from_micros(500));
            }
        });
        let mut payload = [0; PACKET];
        let arrivals =
            std::iter::from_fn(|| Some((ends.second.recv(&mut payload).ok()? + HEADERS, now())));
        rate(arrivals)
    })
}

/// The same over TCP: without loss, what its congestion control finds.
fn tcp_bulk(ends: &Ends) -> f64 {
    let (mut sender, mut receiver) = ends.connect();
    thread::scope(|scope| {
        scope.spawn(move || {
            let began = now();
            while now() - began < BULK {
                sender.write_all(&[0; 1 << 16]).expect("it is read");
            }
        });
        let mut payload = vec![0; 1 << 16];
        let arrivals = std::iter::from_fn(|| match receiver.read(&mut payload) {
            // Of each packet 52 bytes are headers.
            Ok(read @ 1..) => Some((read * 1_500 / 1_448, now())),
            _ => None,
        });
        rate(arrivals)
    })
}

/// Bits a second of what arrives, once it flows: the first second is TCP's to find out.
fn rate(arrivals: impl Iterator<Item = (usize, Duration)>) -> f64 {
    let mut arrivals = arrivals.peekable();
    let began = arrivals.peek().map_or(Duration::ZERO, |(_, at)| *at) + Duration::from_secs(1);
    let flowing: Vec<_> = arrivals.filter(|(_, at)| *at >= began).collect();
    let (Some((_, first)), Some((_, last))) = (flowing.first(), flowing.last()) else {
        return 0.0;
    };
    // The first one came before this span, the others within it.
    let bytes: usize = flowing.iter().skip(1).map(|(bytes, _)| bytes).sum();
    let bits = u32::try_from(bytes * 8).expect("some hundred megabits");
    f64::from(bits) / (*last - *first).as_secs_f64()
}

fn probe() -> [u8; PROBE] {
    let mut probe = [0; PROBE];
    probe[..16].copy_from_slice(&now().as_nanos().to_be_bytes());
    probe
}

fn age(probe: &[u8; PROBE]) -> Duration {
    let sent = u128::from_be_bytes(probe[..16].try_into().expect("sixteen bytes"));
    let sent = Duration::from_nanos(u64::try_from(sent).expect("not that long up"));
    now() - sent
}

fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).expect("it runs forward");
    Duration::from_secs(seconds)
        + Duration::from_nanos(u64::try_from(now.tv_nsec).expect("it does"))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("seconds")
}

fn millions(rate: u64) -> f64 {
    parts(rate, 1_000_000)
}

fn parts(of: u64, all: u64) -> f64 {
    f64::from(u32::try_from(of).expect("small"))
        / f64::from(u32::try_from(all.max(1)).expect("small"))
}

//! Under attack: whoever floods, stalls or comes in crowds, a caller of another organisation is served all the while,
//! through the same relay, tunnel and exit, and memory stays bounded.
//!
//! Printed are how long the victim waited before, during and after each attack, and what the processes held
//! (docs/performance.md, "Under attack"). No time decides the outcome; who was not served, what was let through and what
//! memory exceeded its bound does.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::measured::tell;
use crate::support::path::Way;

mod attack;
mod attacker;
mod control;
mod crowds;
mod floods;
mod ground;
mod line;
mod strangers;
mod stretch;
mod victim;

use attack::Attack;
use attacker::{Attacker, Running};

/// Open files of this process at most: 5,000 connections, the API server's, the victim's.
const DESCRIPTORS: u64 = 8_000;

/// What any attack may cost: the allocator's leavings, the log's buffers and the victim's connections.
const REST_KIB: u64 = 48 << 10;

/// What a connection with a certificate may hold at the relay and at the exit: half as much again as an idle
/// watch over HTTP/1.1 has there (docs/performance.md), and what a handshake leaves behind.
const KNOWN_KIB: (u64, u64) = (12, 64);

/// What one may hold who has not shown anything: case E6.
const STRANGER_KIB: u64 = 32;

#[rustfmt::skip]
const ATTACKS: [Attack; 17] = [
    through("G1", "rapid reset", "100,000 requests, 1,000 connections, 150 a second", floods::rapid_reset, (REST_KIB, REST_KIB)),
    through("G2", "MadeYouReset", "120 connections, 20 a second, until ended", floods::made_you_reset, (REST_KIB, REST_KIB)),
    through("G3", "CONTINUATION flood", "300 connections, 50 a second, until ended", floods::continuations, (REST_KIB, REST_KIB)),
    through("G4", "empty DATA flood", "300 connections, 50 a second, until ended", floods::empty_data, (REST_KIB, REST_KIB)),
    through("G5", "SETTINGS flood", "4 at a time, 6 s without a pause", floods::settings, (REST_KIB, REST_KIB)),
    through("G5", "PING flood", "4 at a time, 6 s without a pause", floods::pings, (REST_KIB, REST_KIB)),
    // Of each body the exit holds 256 KiB towards the API server and as much towards the caller.
    through("G5", "zero windows", "200 streams of 1 MiB", floods::zero_windows, (REST_KIB, REST_KIB + 200 * 512)),
    through("G6", "HPACK bomb", "120 connections, 20 a second, 20 heads each", floods::header_bombs, (REST_KIB, REST_KIB)),
    through("G7", "header drip", "500 connections, a byte a second each", crowds::header_drip, known(500)),
    through("G9", "idle connections", "5,000, 400 a second", crowds::idle_connections, known(5_000)),
    // Over HTTP/2 a watch holds less than 10 KiB of the whole path (docs/performance.md).
    through("G9", "silent watches", "10,000 over 100 connections, 1,000 a second", crowds::silent_watches, (REST_KIB, REST_KIB + 10_000 * 15)),
    through("G10", "bad certificates", "2,000 handshakes, 300 a second", strangers::bad_certificates, (REST_KIB, REST_KIB)),
    // A session's window, in which 256 streams may stand still, at the relay. At the exit each stream that was begun has a
    // window towards the API server and one towards the tunnel, 256 KiB each, and HTTP/1.1's own buffer of 128 KiB.
    through("G15", "stalled tunnel streams", "1,000, 200 a second", crowds::stalled_streams, (REST_KIB + (256 << 10), REST_KIB + 1_000 * 640)),
    through("G21", "connect, ask, close", "50,000 or 60 s, 8 at a time", strangers::comers_and_goers, (REST_KIB, REST_KIB)),
    through("E6", "silence at the relay", "3,000 connections, 1,000 a second", strangers::silence, (3_000 * STRANGER_KIB, REST_KIB)),
    Attack { case: "E6", name: "silence at the exit", size: "3,000 connections, 1,000 a second", way: Way::Direct,
        with: strangers::silence, growth_kib: (0, 3_000 * STRANGER_KIB) },
    Attack { case: "G10", name: "bad certificates at the exit", size: "2,000 handshakes, 300 a second", way: Way::Direct,
        with: strangers::bad_certificates, growth_kib: (0, REST_KIB) },
];

const fn through(
    case: &'static str,
    name: &'static str,
    size: &'static str,
    with: fn(Attacker) -> Running,
    growth_kib: (u64, u64),
) -> Attack {
    Attack {
        case,
        name,
        size,
        way: Way::Tunnel,
        with,
        growth_kib,
    }
}

const fn known(count: u64) -> (u64, u64) {
    (
        REST_KIB + KNOWN_KIB.0 * count,
        REST_KIB + KNOWN_KIB.1 * count,
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a load of minutes: make soak"]
async fn soak_all_attacks_in_turn() {
    raise_file_limit();
    // For who looks at some of them: G5,E6.
    let chosen = std::env::var("GANGPLANK_ATTACKS").unwrap_or_default();
    let chosen: Vec<_> = chosen.split(',').filter(|case| !case.is_empty()).collect();
    let mut faults = Vec::new();
    tell(line::HEAD);
    for attack in &ATTACKS {
        if !chosen.is_empty() && !chosen.contains(&attack.case) {
            continue;
        }
        let line = attack.befall(&mut faults).await;
        tell(&line.to_string());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Thousands of connections are thousands of files, here and in all that is started from here.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    assert!(
        limit.maximum.is_none_or(|most| most >= DESCRIPTORS),
        "the hard limit of open files (ulimit -Hn) must be {DESCRIPTORS}: {limit:?}"
    );
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit everybody may go");
}

//! A network that swallows large packets and tells nobody, from the start or from one moment on, slows the tunnel down and stops
//! nothing.

use std::time::Duration;

use gangplank_link::{Direction, Protocol};

use crate::support::afar::Afar;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::{ok, whole};
use crate::support::{hosts, wait};

/// The largest packet that passes: QUIC's least datagram of 1,200 bytes does.
const PASSES: usize = 1_250;

/// An answer of some hundred packets.
const MUCH: usize = 1 << 20;

/// Case E27, on a tunnel that had already found out that the network takes more, with an answer on its way, and then on a
/// tunnel that comes up there.
#[test]
fn on_running_and_on_new_tunnels() {
    if !hosts::can_be_made("black_holes_are_survived::on_running_and_on_new_tunnels") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _within = runtime.enter();
    let mut afar = Afar::lay(|request| {
        Box::pin(async move {
            match request.uri().path() {
                "/much" => http::Response::new(whole(vec![b'm'; MUCH])),
                _ => ok("{}"),
            }
        })
    });
    // So that an answer takes a while.
    afar.inland
        .change(|conditions| conditions.delay = Duration::from_millis(20));
    let large = || {
        let tally = afar.inland.tally(Direction::There, Protocol::Udp);
        tally
            .sizes
            .range(PASSES + 1..)
            .map(|(_, count)| count)
            .sum::<u64>()
    };
    wait::until("the tunnel to use large packets", || {
        fetch(&afar);
        (large() > 100).then_some(())
    });
    let before = large();
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| fetch(&afar));
        wait::until("an answer on its way", || (large() > before).then_some(()));
        afar.inland
            .change(|conditions| conditions.largest = Some(PASSES));
        fetching.join().expect("it arrives");
    });
    let tally = afar.inland.tally(Direction::There, Protocol::Udp);
    assert!(tally.too_large > 0, "{tally:?}");
    fetch(&afar);
    // Twice, so that it ends at once and the relay hears of it.
    afar.site.exit.ask_to_end();
    afar.site.exit.ask_to_end();
    afar.await_tunnel(false);
    afar.site.exit.await_end();
    afar.site.restart_exit();
    afar.await_tunnel(true);
    fetch(&afar);
}

/// Over each version of HTTP, whole.
fn fetch(afar: &Afar) {
    afar.call(async || {
        for protocol in PROTOCOLS {
            let papers = Some(&afar.papers);
            let mut connection = Connection::open(&afar.site, papers, protocol).await;
            let (status, body) = connection.fetch("/much").await.expect("an answer");
            assert_eq!((status, body.len()), (200, MUCH), "{protocol:?}");
        }
    });
}

//! Callers, relay and cluster on hosts of their own, 40 ms apart: requests pass while packets are lost, and pass again
//! after the link was cut.

use std::time::Duration;

use gangplank_link::{Conditions, Direction, Protocol, Share};

use crate::support::afar::Afar;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::{ok, whole};
use crate::support::hosts;

/// Of each version of HTTP.
const REQUESTS: usize = 20;

/// The answer at `/much`: well over a thousand packets, of which a hundredth are lost.
const MUCH: usize = 2 << 20;

fn lay() -> Afar {
    Afar::lay(|request| {
        Box::pin(async move {
            match request.uri().path() {
                "/much" => http::Response::new(whole(vec![b'm'; MUCH])),
                _ => ok("{}"),
            }
        })
    })
}

/// A wide area without a limit of its rate, so that nothing is lost but by chance.
fn distance(loss: Share) -> Conditions {
    Conditions {
        delay: Duration::from_millis(20),
        loss,
        ..Conditions::default()
    }
}

#[test]
fn with_one_percent_lost() {
    if !hosts::can_be_made("lossy_links_carry_requests::with_one_percent_lost") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _within = runtime.enter();
    let afar = lay();
    for link in [&afar.inland, &afar.outside] {
        link.change(|conditions| *conditions = distance(Share::percent(1)));
    }
    afar.call(async || {
        for protocol in PROTOCOLS {
            let mut connection = Connection::open(&afar.site, Some(&afar.papers), protocol).await;
            for _ in 0..REQUESTS {
                let answer = connection.fetch("/small").await.expect("an answer");
                assert_eq!(answer, (200, "{}".to_owned()), "{protocol:?}");
            }
            let (status, body) = connection.fetch("/much").await.expect("an answer");
            assert_eq!((status, body.len()), (200, MUCH), "{protocol:?}");
        }
    });
    assert_eq!(
        afar.api_server.arrived_at("/small").len(),
        REQUESTS * PROTOCOLS.len(),
        "each arrived once"
    );
    let tunnel = afar.inland.tally(Direction::There, Protocol::Udp);
    assert!(tunnel.lost > 0, "{tunnel:?}");
    let caller = afar.outside.tally(Direction::Back, Protocol::Tcp);
    assert!(caller.lost > 0, "{caller:?}");
    // Segmentation offload or not: what the link saw were packets of the wire.
    for tally in [tunnel, caller] {
        assert!(tally.sizes.keys().all(|size| *size <= 1_500), "{tally:?}");
        let large: u64 = tally.sizes.range(1_400..).map(|(_, count)| count).sum();
        assert!(large >= 1_000, "{tally:?}");
    }
}

#[test]
fn a_cut_is_survived() {
    if !hosts::can_be_made("lossy_links_carry_requests::a_cut_is_survived") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _within = runtime.enter();
    let afar = lay();
    afar.inland
        .change(|conditions| *conditions = distance(Share::NONE));
    let fetch = || {
        afar.call(async || {
            let papers = Some(&afar.papers);
            let mut connection = Connection::open(&afar.site, papers, PROTOCOLS[0]).await;
            connection.fetch("/small").await.expect("an answer").0
        })
    };
    assert_eq!(fetch(), 200);
    // Until both sides have noticed.
    afar.inland.change(|conditions| conditions.cut = true);
    afar.await_tunnel(false);
    assert!(!afar.site.exit.readiness().0, "the agent knows it, too");
    afar.inland.change(|conditions| conditions.cut = false);
    afar.await_tunnel(true);
    assert_eq!(fetch(), 200, "nobody had to do anything");
}

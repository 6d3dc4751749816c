//! Callers, relay and cluster on hosts of their own, 40 ms apart: requests pass while packets are lost, doubled and
//! overtaken, and pass again after the link was cut.

use std::collections::BTreeSet;
use std::time::Duration;

use gangplank_link::{Conditions, Direction, Protocol, Reordering, Share};
use http::Request;

use crate::support::afar::Afar;
use crate::support::caller;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::{ok, whole};
use crate::support::hosts;

/// Of each version of HTTP.
const REQUESTS: usize = 10;

/// The answer at `/much`, asked for twice: some seven hundred packets, of which a hundredth are lost.
const MUCH: usize = 512 << 10;

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
        assert!(large >= 500, "{tally:?}");
    }
}

/// Case E27: and each once, also where packets come twice.
#[test]
fn with_packets_lost_doubled_and_overtaken() {
    if !hosts::can_be_made("lossy_links_carry_requests::with_packets_lost_doubled_and_overtaken") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _within = runtime.enter();
    let afar = lay();
    for link in [&afar.inland, &afar.outside] {
        link.change(|conditions| {
            *conditions = Conditions {
                duplication: Share::percent(5),
                reordering: Some(Reordering {
                    share: Share::percent(5),
                    overtaken_by: 3,
                    at_most: Duration::from_millis(10),
                }),
                ..distance(Share::percent(5))
            }
        });
    }
    let post = |number: usize| {
        let request = Request::post(format!("/post/{number}"));
        request.body(caller::body("{}")).expect("a request")
    };
    afar.call(async || {
        for (from, protocol) in (0..).step_by(REQUESTS).zip(PROTOCOLS) {
            let mut connection = Connection::open(&afar.site, Some(&afar.papers), protocol).await;
            for number in from..from + REQUESTS {
                let answer = connection.send(post(number)).await.expect("an answer");
                assert_eq!(answer.status(), 200, "{protocol:?}");
                assert_eq!(caller::read(answer).await, b"{}", "{protocol:?}");
            }
        }
    });
    let said = afar.kubectl(&["get", "--raw", "/small"]);
    assert_eq!(said.expect_success().text(), "{}");
    let mut arrived = afar.api_server.arrived();
    arrived.retain(|request| request.method == "POST");
    let targets: BTreeSet<_> = arrived.iter().map(|it| it.target.as_str()).collect();
    let all = REQUESTS * PROTOCOLS.len();
    assert_eq!((arrived.len(), targets.len()), (all, all), "each once");
    let tunnel = afar.inland.tally(Direction::Back, Protocol::Udp);
    assert!(
        tunnel.lost > 0 && tunnel.duplicated > 0 && tunnel.overtaken > 0,
        "{tunnel:?}"
    );
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

//! Case G21, in small: connections that come, ask and go leave neither descriptors nor memory behind, whoever ends them.

use crate::support::certificates::{Organisation, Papers};
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, WAYS};
use crate::support::wait;

/// So many at a time.
const LANES: usize = 8;

/// So many of each lane, before anything is measured and then.
const WARM: usize = 10;
const CYCLES: usize = 50;

/// What the allocator keeps for the next, in KiB; a leak of 16 KiB a connection would be more than that.
const REST_KIB: u64 = 6 << 10;

async fn come_and_go(site: &Site, papers: &Papers, stranger: &Papers, cycles: usize) {
    for number in 0..cycles {
        let protocol = if number % 2 == 0 {
            Protocol::One
        } else {
            Protocol::Two
        };
        let (papers, status) = if number % 5 == 4 {
            (stranger, 401)
        } else {
            (papers, 200)
        };
        let mut connection = Connection::open(site, Some(papers), protocol).await;
        assert_eq!(connection.fetch("/").await.expect("an answer").0, status);
    }
}

async fn crowd(site: &Site, papers: &Papers, stranger: &Papers, cycles: usize) {
    let lanes = (0..LANES).map(|_| come_and_go(site, papers, stranger, cycles));
    futures_util::future::join_all(lanes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_come() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let papers = organisation.caller("a");
    let stranger = Organisation::new("stranger").caller("b");
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        crowd(&site, &papers, &stranger, WARM).await;
        let none_open = || {
            wait::until("every connection to be gone", || {
                (site.exit.metric("gangplank_exit_connections ") == Some(0.0)).then_some(())
            });
        };
        none_open();
        let before = (site.exit.descriptors(), site.exit.resident_kib());
        crowd(&site, &papers, &stranger, CYCLES).await;
        none_open();
        wait::until("no more descriptors than before", || {
            // As many connections to the API server may be kept as there were lanes.
            (site.exit.descriptors() <= before.0 + LANES).then_some(())
        });
        let grown = site.exit.resident_kib().saturating_sub(before.1);
        assert!(grown < REST_KIB, "{way:?}: grown by {grown} KiB");
    }
}

//! Two agents of one cluster share its callers; when one of them ends in order, no new caller notices.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Relay, Site};
use crate::support::{caller, wait};

const NAME: &str = "harbour.acme";

/// New connections that are served before the end begins and after it is over.
const ENOUGH: usize = 10;

/// Case C33.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_failed_request() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let relay = Arc::new(Relay::start());
    let staying = Arc::new(Site::tunnel(
        &relay,
        NAME,
        &fake.kubeconfig(),
        &[&organisation],
    ));
    let leaving = Site::tunnel(&relay, NAME, &fake.kubeconfig(), &[&organisation]);
    share_the_certificate(&staying, &leaving).await;

    let (served, over) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (site, count, end) = (Arc::clone(&staying), Arc::clone(&served), Arc::clone(&over));
    let papers = organisation.caller("a");
    let load = tokio::spawn(async move {
        while !end.load(Ordering::SeqCst) {
            for protocol in PROTOCOLS {
                let mut connection = Connection::open(&site, Some(&papers), protocol).await;
                let answer = connection.fetch("/new").await.expect("an answer");
                assert_eq!(answer.0, 200, "{}", answer.1);
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    await_served(&served, ENOUGH);
    assert_eq!(leaving.exit.terminate().code(), Some(0));
    let until_then = served.load(Ordering::SeqCst);
    await_served(&served, until_then + ENOUGH);
    over.store(true, Ordering::SeqCst);
    wait::within("the load", load).await.expect("none failed");
    assert_eq!(fake.arrived_at("/new").len(), served.load(Ordering::SeqCst));
}

/// Callers trust one authority, so that both replicas have to show a certificate of it.
async fn share_the_certificate(one: &Site, other: &Site) {
    for file in ["exit.crt", "exit.key"] {
        let beside = other.folder().join("beside");
        fs::copy(one.folder().join(file), &beside).expect("copied");
        fs::rename(beside, other.folder().join(file)).expect("renamed");
    }
    // The tunnels take turns, so that this many in a row have met both.
    let met_both = async {
        let mut in_a_row = 0;
        while in_a_row < 4 {
            let met = caller::board(one, None, &["h2"]).await;
            in_a_row = if met.is_ok() { in_a_row + 1 } else { 0 };
        }
    };
    wait::within("both replicas to show it", met_both).await;
}

fn await_served(served: &AtomicUsize, count: usize) {
    wait::until(&format!("{count} new connections"), || {
        (served.load(Ordering::SeqCst) >= count).then_some(())
    });
}

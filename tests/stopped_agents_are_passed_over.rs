//! An agent that is stopped says nothing and closes nothing. The relay notices; until then and after that new callers are
//! served by another agent of the cluster, and where there is none they are told soon instead of waiting.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::entrance::{self, INTERNAL_ERROR, alert};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank::Gangplank;
use crate::support::path::{Relay, Site};
use crate::support::{hello, wait};

const NAME: &str = "harbour.acme";

/// The promise is thirteen seconds; the rest is for a loaded machine.
const NOTICED: Duration = Duration::from_secs(20);

/// What Go's clients wait for a handshake. The relay needs two seconds once it has noticed.
const TOLD: Duration = Duration::from_secs(10);

async fn path() -> (FakeApiServer, Organisation, Arc<Relay>, Site) {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let relay = Arc::new(Relay::start());
    let site = Site::tunnel(&relay, NAME, &fake.kubeconfig(), &[&organisation]);
    (fake, organisation, relay, site)
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_another() {
    let (_fake, organisation, relay, site) = path().await;
    let file = site.folder().join("another.yaml");
    fs::copy(site.folder().join("agent.yaml"), &file).expect("copied");
    let _another = Gangplank::start("agent", &file);
    wait::until("both tunnels", || (relay.tunnels(NAME) == 2).then_some(()));
    let papers = organisation.caller("a");
    site.exit.signal("-STOP");
    let stopped = Instant::now();
    let mut served = 0;
    // Callers come all the time: before it is noticed, and after.
    while relay.tunnels(NAME) == 2 || served < 8 {
        for protocol in PROTOCOLS {
            let mut connection = Connection::open(&site, Some(&papers), protocol).await;
            assert_eq!(connection.fetch("/new").await.expect("an answer").0, 200);
            served += 1;
        }
        assert!(
            relay.tunnels(NAME) == 1 || stopped.elapsed() < NOTICED,
            "not noticed"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_none() {
    let (_fake, _organisation, relay, site) = path().await;
    site.exit.signal("-STOP");
    let stopped = Instant::now();
    let ask = async || {
        let hello = hello::of_a_real_client(&site.entrance);
        let asked = Instant::now();
        let told = entrance::say(relay.address, &hello).await;
        assert!(asked.elapsed() < TOLD, "told after {:?}", asked.elapsed());
        assert_eq!(told.expect("a clean end"), alert(INTERNAL_ERROR));
    };
    ask().await;
    wait::until("it to be noticed", || {
        (relay.tunnels(NAME) == 0).then_some(())
    });
    assert!(stopped.elapsed() < NOTICED, "after {:?}", stopped.elapsed());
    ask().await;
}

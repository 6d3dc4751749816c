//! A tunnel that nobody has used for a while is the same tunnel, and the first request after that is served like any other.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Course, Relay, Site};
use crate::support::{measured, wait};

const NAME: &str = "harbour.acme";

/// Longer than either side waits for a silent peer, which is thirteen seconds.
const SILENCE: Duration = Duration::from_secs(14);

/// As long as a lunch, and ten times as long as many a library keeps an idle connection.
const FIVE_MINUTES: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn after_longer_than_a_silent_peer_is_waited_for() {
    tokio::join!(
        first_request_after(SILENCE, "Quic"),
        first_request_after(SILENCE, "Tcp")
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a load of minutes: make soak"]
async fn soak_of_five_minutes() {
    let (quic, tcp) = tokio::join!(
        first_request_after(FIVE_MINUTES, "Quic"),
        first_request_after(FIVE_MINUTES, "Tcp")
    );
    measured::tell(&format!(
        "idle for {FIVE_MINUTES:?}: the first request took {quic:?} over QUIC, {tcp:?} over TCP"
    ));
}

/// How long a new caller's first request takes after so long without any.
async fn first_request_after(silence: Duration, transport: &str) -> Duration {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let relay = Arc::new(Relay::start());
    let course = Course::by(relay.address).with(&format!("transport: {transport}"));
    let exit = (&*fake.kubeconfig(), &[&organisation][..]);
    let site = Site::tunnel_on(&relay, NAME, exit, &course);
    let papers = organisation.caller("a");
    let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
    assert_eq!(connection.fetch("/before").await.expect("an answer").0, 200);
    drop(connection);
    // Over TCP an agent holds four, which come one after the other.
    let dials = if transport == "Tcp" { 4 } else { 1 };
    wait::until_async("the tunnels", || async {
        (accepted_dials(&site) == dials).then_some(())
    })
    .await;
    // This test is about silence, and there is no predicate for it.
    sleep(silence).await;
    let asked = Instant::now();
    let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
    assert_eq!(connection.fetch("/after").await.expect("an answer").0, 200);
    let took = asked.elapsed();
    assert_eq!(accepted_dials(&site), dials, "it is the same tunnel");
    let tunnels = relay.process.tunnels();
    let ages = tunnels.iter().map(|tunnel| tunnel["ageSeconds"].as_u64());
    let oldest = ages.max().flatten();
    assert!(oldest >= Some(silence.as_secs()), "{tunnels:?}");
    took
}

/// Dials of the agent until now that led to a tunnel.
fn accepted_dials(site: &Site) -> usize {
    let accepted = |line: &&str| {
        line.starts_with("gangplank_agent_dials_total{") && line.contains("outcome=\"Accepted\"")
    };
    let metrics = site.exit.metrics();
    let counted = metrics.lines().filter(accepted);
    let numbers = counted.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok());
    numbers.sum()
}

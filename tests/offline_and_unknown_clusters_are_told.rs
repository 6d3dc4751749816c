//! A cluster that nobody has heard of and one whose agent is away are told apart, unless names are to be hidden;
//! either way the caller does not hang.

use std::sync::Arc;
use std::time::Duration;

use gangplank_tunnel::wire::CloseCode;
use tokio::time::Instant;

use crate::support::agent_by_hand::AgentByHand;
use crate::support::entrance::{self, INTERNAL_ERROR, UNRECOGNIZED_NAME, alert};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{DOMAIN, Relay};
use crate::support::{hello, wait};

/// What Go's clients, kubectl among them, wait for a handshake. The relay holds a caller for less than two
/// seconds; the rest is for a loaded machine.
const BOUND: Duration = Duration::from_secs(10);

/// A relay that knows `harbour.acme`, whose agent has left.
async fn relay_without_its_agent(further: &str) -> Arc<Relay> {
    let relay = Arc::new(Relay::start_with(further));
    let agent = AgentByHand::at(&relay, "harbour.acme").await;
    agent.session.close(CloseCode::Done, "");
    wait::until("the tunnel to be gone", || {
        (!relay.has_tunnel("harbour.acme")).then_some(())
    });
    relay
}

async fn told(relay: &Relay, cluster: &str) -> Vec<u8> {
    let asked = Instant::now();
    let hello = hello::of_a_real_client(&format!("{cluster}.{DOMAIN}"));
    let told = entrance::say(relay.address, &hello)
        .await
        .expect("a clean end");
    assert!(
        asked.elapsed() < BOUND,
        "{cluster}: told after {:?}",
        asked.elapsed()
    );
    told
}

/// Case E10.
#[tokio::test(flavor = "multi_thread")]
async fn apart() {
    let relay = relay_without_its_agent("").await;
    assert_eq!(
        told(&relay, "harbour.acme").await,
        alert(INTERNAL_ERROR),
        "known, but away"
    );
    assert_eq!(
        told(&relay, "nobody.acme").await,
        alert(UNRECOGNIZED_NAME),
        "never heard of"
    );
}

/// A relay that has just started has had nobody's tunnel yet; who has joined is known all the same.
#[tokio::test(flavor = "multi_thread")]
async fn apart_after_a_start() {
    let mut relay = Relay::start_enrolling(3600);
    let fake = FakeApiServer::echo().await;
    drop(relay.enrol("harbour.acme", &fake.kubeconfig()));
    relay.process.kill();
    relay.restart();
    assert_eq!(told(&relay, "harbour.acme").await, alert(INTERNAL_ERROR));
    let unknown = alert(UNRECOGNIZED_NAME);
    assert_eq!(told(&relay, "nobody.acme").await, unknown);
    relay.revoke("harbour.acme");
    wait::until_async("the revoked name to be unknown", || async {
        (told(&relay, "harbour.acme").await == unknown).then_some(())
    })
    .await;
}

/// Case E10 with `hideNames`.
#[tokio::test(flavor = "multi_thread")]
async fn alike_where_names_are_hidden() {
    let relay = relay_without_its_agent("hideNames: true\n").await;
    assert_eq!(
        told(&relay, "harbour.acme").await,
        alert(UNRECOGNIZED_NAME),
        "known, but away"
    );
    assert_eq!(
        told(&relay, "nobody.acme").await,
        alert(UNRECOGNIZED_NAME),
        "never heard of"
    );
}

//! `kill -9` of the relay, the agent and the API server in turn: once the part runs again the path is back by
//! itself, for new callers and for one that never closed its connection.

use std::sync::Arc;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::kubectl::Kubectl;
use crate::support::path::{Site, Way};
use crate::support::{cluster, signal, wait};

fn await_whoami(kubectl: &Kubectl, after: &str) {
    wait::until(&format!("the path after {after}"), || {
        kubectl
            .run(&["auth", "whoami", "--request-timeout=5s"])
            .succeeded()
            .then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_is_back() {
    let cluster = cluster::own("killed");
    let organisation = Organisation::new("survivors");
    let mut site = Site::before(&cluster, Way::Tunnel, &[&organisation]);
    let papers = organisation.caller("a");
    let kubectl = site.kubectl(&papers);
    await_whoami(&kubectl, "the start");

    let relay = site
        .relay
        .as_mut()
        .and_then(Arc::get_mut)
        .expect("this test alone has the relay");
    relay.process.kill();
    relay.restart();
    await_whoami(&kubectl, "the relay was killed");

    site.exit.kill();
    let offline = kubectl.run(&["auth", "whoami", "--request-timeout=10s"]);
    assert!(!offline.succeeded(), "without an agent nobody gets through");
    site.restart_exit();
    await_whoami(&kubectl, "the agent was killed");

    let mut kept = Connection::open(&site, Some(&papers), Protocol::Two).await;
    kept.fetch("/version").await.expect("it works before");
    let killed = cluster.api_server_pid().expect("it runs");
    signal::send("-9", killed);
    wait::until("another API server", || {
        cluster.api_server_pid().filter(|pid| *pid != killed)
    });
    await_whoami(&kubectl, "the API server was killed");
    let (status, body) = kept
        .fetch("/version")
        .await
        .expect("the caller's connection outlives the API server");
    assert!(
        status == 200 || status == 403,
        "the exit found the new API server: {status} {body}"
    );
}

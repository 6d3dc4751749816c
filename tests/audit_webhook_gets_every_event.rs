//! A collector gets every event, also if it was away, unwilling or silent for a while, and only from an exit that has
//! proven to be allowed to speak with it.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::Value;

use crate::support::certificates::{Authority, Organisation};
use crate::support::collector::{Collector, Mood};
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::{FakeApiServer, ok};
use crate::support::gangplank::http_get;
use crate::support::path::{Prepared, Site};
use crate::support::wait;

/// More than one batch's worth of turns, few enough to be quick.
const REQUESTS: usize = 50;

fn block(url: &str, further: &str) -> String {
    format!("{{ sink: webhook, webhook: {{ url: \"{url}\"{further} }} }}")
}

/// The ids that reached the API server.
fn sent(fake: &FakeApiServer) -> BTreeSet<String> {
    let arrived = fake.arrived().into_iter();
    let ids = arrived.flat_map(|request| request.values("audit-id"));
    ids.map(|id| format!("\"{id}\"")).collect()
}

async fn ask(site: &Site, organisation: &Organisation) {
    let mut connection =
        Connection::open(site, Some(&organisation.caller("a")), Protocol::Two).await;
    for number in 0..REQUESTS {
        let answered = connection.fetch(&format!("/api/v1/pods/{number}")).await;
        assert_eq!(answered.expect("an answer").0, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_it_fares_meanwhile() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let collector = Collector::start(Mood::Silent).await;
    let address = collector.address;
    let audit = block(&format!("http://{address}/audit"), ", timeout: 200ms");
    let site = Site::direct_with_audit(&fake.kubeconfig(), &[&organisation], &audit);

    ask(&site, &organisation).await;
    wait::until("a batch that nobody answers, again", || {
        (collector.seen() >= 2).then_some(())
    });
    assert_eq!(collector.ended().len(), 0);
    collector.set(Mood::Unwilling);
    ask(&site, &organisation).await;
    let before = collector.seen();
    wait::until("a batch that nobody wants", || {
        (collector.seen() > before).then_some(())
    });
    collector.set(Mood::Willing);
    wait::until("all events so far", || {
        (collector.ended() == sent(&fake)).then_some(())
    });

    drop(collector);
    ask(&site, &organisation).await;
    wait::until("an attempt at a collector that is gone", || {
        let faults = site.exit.metric("gangplank_exit_audit_sink_faults_total ");
        let waiting = site.exit.metric("gangplank_exit_audit_events_waiting ");
        (faults > Some(2.0) && waiting > Some(0.0)).then_some(())
    });
    let again = Collector::start_at(address, Mood::Willing).await;
    wait::until("the events of the time without a collector", || {
        (again.ended().len() >= REQUESTS).then_some(())
    });
    assert!(again.ended().is_subset(&sent(&fake)));
    for event in again.taken() {
        assert_eq!(event["target"], "gangplank::audit");
    }
    let told = site.exit.log();
    assert!(told.contains("audit events cannot be written"), "{told}");
    assert!(told.contains("audit events are written again"), "{told}");
}

/// What waits when an exit ends is written first, or its loss is told.
#[tokio::test(flavor = "multi_thread")]
async fn also_at_the_end() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    for mood in [Mood::Willing, Mood::Silent] {
        let collector = Collector::start(Mood::Silent).await;
        let audit = block(&format!("http://{}/", collector.address), ", timeout: 30s");
        let site = Site::direct_with_audit(&fake.kubeconfig(), &[&organisation], &audit);
        ask(&site, &organisation).await;
        site.exit.ask_to_end();
        wait::until("everything but the trail to end", || {
            http_get(site.exit.admin, "/livez").is_none().then_some(())
        });
        assert_eq!(collector.ended().len(), 0);
        collector.set(mood);
        assert!(site.exit.await_end().success());
        let lost = site.exit.log().contains("audit events were not written");
        let expected = if mood == Mood::Willing { REQUESTS } else { 0 };
        assert_eq!((collector.ended().len(), lost), (expected, expected == 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_with_a_token_that_rotates() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let (authority, other) = (Authority::new("collector CA"), Authority::new("other CA"));
    let taken = Arc::new(Mutex::new(Vec::<Value>::new()));
    let keep = Arc::clone(&taken);
    let papers = authority.relay("127.0.0.1");
    let collector = FakeApiServer::start_as(&authority, &papers, &["http/1.1"], move |request| {
        let keep = Arc::clone(&keep);
        Box::pin(async move {
            let body = request.into_body().collect().await.expect("a batch");
            let batch: Vec<Value> = serde_json::from_slice(&body.to_bytes()).expect("an array");
            keep.lock().extend(batch);
            ok("{}")
        })
    })
    .await;

    let prepared = Prepared::proxy("127.0.0.1:0", &fake.kubeconfig(), &[&organisation]);
    let folder = prepared.folder().to_owned();
    fs::write(folder.join("collector-ca.crt"), other.pem()).expect("written");
    fs::write(folder.join("collector-token"), "one").expect("written");
    let url = format!("https://{}/in?from=here", collector.address);
    let further = ", caFile: collector-ca.crt, tokenFile: collector-token";
    let site = Site::direct_audited(prepared, &block(&url, further));
    ask(&site, &organisation).await;
    wait::until("an impostor to be told", || {
        let log = site.exit.log();
        log.contains("the audit webhook cannot be connected to")
            .then_some(())
    });
    assert_eq!(collector.arrived().len(), 0, "it gets nothing");

    fs::write(folder.join("collector-ca.crt"), authority.pem()).expect("written");
    wait::until("the events", || {
        (taken.lock().len() == REQUESTS).then_some(())
    });
    let connections = collector.connections();
    fs::write(folder.join("collector-token"), "two").expect("written");
    ask(&site, &organisation).await;
    wait::until("further events", || {
        (taken.lock().len() == 2 * REQUESTS).then_some(())
    });
    let tokens: BTreeSet<String> = collector
        .arrived_at("/in?from=here")
        .iter()
        .flat_map(|batch| batch.values("authorization"))
        .collect();
    assert_eq!(
        tokens,
        ["Bearer one", "Bearer two"].map(str::to_owned).into()
    );
    assert_eq!(collector.connections(), connections, "one for all batches");
}

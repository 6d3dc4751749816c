//! When a sink takes nothing and too many events wait, further events are dropped and counted, or further requests wait
//! and are refused unrecorded; as `whenFull` says. Once the sink works, so does everything else.

use std::collections::BTreeSet;

use crate::support::certificates::Organisation;
use crate::support::collector::{Collector, Mood};
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::Site;
use crate::support::wait;

/// At most so many events of [`long_path`] fill the queue of 8 MiB; each has 11 KB at least.
const ENOUGH: usize = 900;

/// Characters that take five bytes each in an event.
fn long_path() -> String {
    format!("/{}", "\\".repeat(2047))
}

async fn site(collector: &Collector, when_full: &str) -> (Site, FakeApiServer, Organisation) {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let audit = format!(
        "{{ sink: webhook, whenFull: {when_full}, webhook: {{ url: \"http://{}/\", timeout: 100ms }} }}",
        collector.address
    );
    let site = Site::direct_with_audit(&fake.kubeconfig(), &[&organisation], &audit);
    (site, fake, organisation)
}

/// Counts of events: those that were written, and those that were dropped.
fn counts(site: &Site) -> (usize, usize) {
    let count = |outcome: &str| {
        let line = format!("gangplank_exit_audit_events_total{{outcome=\"{outcome}\"}} ");
        let value = site.exit.metric(&line).expect("it is counted");
        format!("{value:.0}").parse().expect("a count")
    };
    (count("Written"), count("Dropped"))
}

#[tokio::test(flavor = "multi_thread")]
async fn drops_and_counts() {
    let collector = Collector::start(Mood::Unwilling).await;
    let (site, fake, organisation) = site(&collector, "Drop").await;
    let mut connection =
        Connection::open(&site, Some(&organisation.caller("a")), Protocol::Two).await;
    for _ in 0..ENOUGH {
        let answered = connection.fetch(&long_path()).await.expect("an answer");
        assert_eq!(answered.0, 200, "requests go on");
    }
    assert_eq!(fake.arrived().len(), ENOUGH);
    let (written, dropped) = counts(&site);
    assert!(written == 0 && dropped > 0, "{written} {dropped}");
    let told = site.exit.log();
    let told = told.matches("further ones are dropped").count();
    assert_eq!(told, 1, "told once, then counted");

    collector.set(Mood::Willing);
    wait::until("everything that waited", || {
        (counts(&site) == (ENOUGH - dropped, dropped)).then_some(())
    });
    assert_eq!(collector.ended().len(), ENOUGH - dropped);
    assert_eq!(connection.fetch("/after").await.expect("an answer").0, 200);
    wait::until("the next event", || {
        let taken = collector.taken();
        taken
            .iter()
            .any(|event| event["path"] == "/after")
            .then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_and_loses_nothing() {
    let collector = Collector::start(Mood::Unwilling).await;
    let (site, fake, organisation) = site(&collector, "Block").await;
    let mut connection =
        Connection::open(&site, Some(&organisation.caller("a")), Protocol::Two).await;
    let mut refused = None;
    for _ in 0..ENOUGH {
        let (status, body) = connection.fetch(&long_path()).await.expect("an answer");
        if status != 200 {
            refused = Some((status, body));
            break;
        }
    }
    let (status, body) = refused.expect("the queue is full");
    assert_eq!(status, 503);
    assert!(body.contains("AuditTrailFull"), "{body}");
    let answered = connection.get("/unrecorded").await.expect("an answer");
    assert_eq!(answered.status(), 503);
    assert_eq!(answered.headers()["retry-after"], "1");
    let warning = answered.headers()["warning"].to_str().expect("text");
    assert!(
        warning.contains("299 gangplank \"AuditTrailFull: "),
        "{warning}"
    );
    assert_eq!(fake.arrived_at("/unrecorded").len(), 0, "it is not done");
    assert_eq!(site.exit.log().matches("further requests wait").count(), 1);

    collector.set(Mood::Willing);
    wait::until("requests to be taken again", || {
        let written = counts(&site).0;
        (written == fake.arrived().len()).then_some(())
    });
    assert_eq!(connection.fetch("/after").await.expect("an answer").0, 200);
    let sent: BTreeSet<String> = fake
        .arrived()
        .iter()
        .flat_map(|request| request.values("audit-id"))
        .map(|id| format!("\"{id}\""))
        .collect();
    wait::until("the event of each request that was sent on", || {
        (collector.ended() == sent).then_some(())
    });
}

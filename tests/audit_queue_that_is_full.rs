//! When a sink takes nothing and too many events wait, further events are dropped and counted, or further requests wait
//! and are refused unrecorded; as `whenFull` says. Once the sink works, so does everything else.

use std::collections::BTreeSet;

use crate::support::caller;
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

/// Events of what was refused out of hand have half of the room: neither does a request wait because of them, nor is
/// its event dropped.
#[tokio::test(flavor = "multi_thread")]
async fn not_by_strangers() {
    for when_full in ["Drop", "Block"] {
        let collector = Collector::start(Mood::Unwilling).await;
        let (site, _fake, organisation) = site(&collector, when_full).await;
        let papers = Organisation::new("stranger").caller("a");
        let refused = || {
            let line = "gangplank_exit_requests_total{method=\"GET\",code=\"401\"} ";
            site.exit.metric(line).unwrap_or_default()
        };
        wait::within("enough of them to be refused", async {
            while refused() < f64::from(u32::try_from(ENOUGH).expect("a count")) {
                let stream = caller::board(&site, Some(&papers), &["h2"]).await;
                let sender = caller::http2_over(stream.expect("TLS itself is fine")).await;
                let asking = (0..100).map(|_| {
                    let mut sender = sender.clone();
                    let uri = format!("https://strangers.example{}", long_path());
                    let request = http::Request::get(uri).body(caller::body(""));
                    // Behind the first answers the connection ends.
                    async move { drop(sender.send_request(request.expect("a request")).await) }
                });
                futures_util::future::join_all(asking).await;
            }
        })
        .await;
        assert!(counts(&site).1 > 0, "of theirs some are dropped");
        let papers = organisation.caller("a");
        let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
        assert_eq!(connection.fetch("/done").await.expect("an answer").0, 200);
        collector.set(Mood::Willing);
        wait::until("its event", || {
            let taken = collector.taken();
            taken
                .iter()
                .any(|event| event["path"] == "/done")
                .then_some(())
        });
    }
}

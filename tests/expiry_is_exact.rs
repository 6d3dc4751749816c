//! A certificate is good from its first second to its last, with no leeway on either side, and a
//! connection lives no longer than its certificate.

use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::ExtendedKeyUsagePurpose;
use time::{Duration, OffsetDateTime};

use crate::support::certificates::{Organisation, Papers, leaf_params};
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, Way};
use crate::support::{own_answer, wait};

/// Case A20: two seconds past the end is past the end.
#[tokio::test(flavor = "multi_thread")]
async fn just_expired_is_expired() {
    let fake = FakeApiServer::echo().await;
    let organisation = Organisation::new("acme");
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);
    let now = OffsetDateTime::now_utc();
    for ended in [now - Duration::seconds(2), now - Duration::days(400)] {
        let papers = valid(&organisation, ended - Duration::days(1), ended);
        for protocol in PROTOCOLS {
            let mut connection = Connection::open(&site, Some(&papers), protocol).await;
            let answer =
                own_answer::read(connection.get("/expired").await.expect("an answer")).await;
            assert_eq!(
                (answer.code, answer.class.as_str()),
                (401, "Expired"),
                "{answer:?}"
            );
        }
    }
    assert!(fake.arrived().is_empty(), "nothing arrived");
}

/// Case A20: before its first second it is refused, after that accepted, by the same exit.
#[tokio::test(flavor = "multi_thread")]
async fn not_yet_valid_becomes_valid() {
    let fake = FakeApiServer::echo().await;
    let organisation = Organisation::new("acme");
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);
    let begins = OffsetDateTime::now_utc() + Duration::seconds(5);
    let papers = valid(&organisation, begins, begins + Duration::days(1));
    let begins = begins.replace_nanosecond(0).expect("zero");
    let refused = AtomicUsize::new(0);
    wait::until_async("the certificate's first second", || async {
        let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
        let response = connection
            .get("/early")
            .await
            .unwrap_or_else(|error| panic!("{error:?}: {}", site.exit.log()));
        if response.status() == 200 {
            assert!(OffsetDateTime::now_utc() >= begins, "accepted too early");
            return Some(());
        }
        let answer = own_answer::read(response).await;
        assert_eq!(
            (answer.code, answer.class.as_str()),
            (401, "NotYetValid"),
            "{answer:?}"
        );
        refused.fetch_add(1, Ordering::SeqCst);
        None
    })
    .await;
    assert!(
        refused.load(Ordering::SeqCst) > 0,
        "it was asked before the first second"
    );
    assert_eq!(fake.arrived().len(), 1, "only what was accepted arrived");
}

/// Case A20 and contract 4.6: what was opened with a certificate ends with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_with_its_certificate() {
    let fake = FakeApiServer::echo().await;
    let organisation = Organisation::new("acme");
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);
    let lasting = organisation.caller("lasting");
    let now = OffsetDateTime::now_utc();
    let brief = valid(
        &organisation,
        now - Duration::days(1),
        now + Duration::seconds(10),
    );
    let mut connections = Vec::new();
    for protocol in PROTOCOLS {
        let mut other = Connection::open(&site, Some(&lasting), protocol).await;
        let mut ending = Connection::open(&site, Some(&brief), protocol).await;
        assert_eq!(other.fetch("/lasting").await.expect("an answer").0, 200);
        assert_eq!(ending.fetch("/brief").await.expect("an answer").0, 200);
        connections.push((other, ending));
    }
    for (mut other, ending) in connections {
        ending.await_close("the expired certificate").await;
        assert_eq!(
            other.fetch("/lasting").await.expect("an answer").0,
            200,
            "nothing else is disturbed"
        );
    }
}

fn valid(organisation: &Organisation, from: OffsetDateTime, until: OffsetDateTime) -> Papers {
    let mut params = leaf_params("timed", ExtendedKeyUsagePurpose::ClientAuth);
    (params.not_before, params.not_after) = (from, until);
    organisation.authority.sign(&params)
}

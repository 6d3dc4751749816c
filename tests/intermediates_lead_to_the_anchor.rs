//! A chain may have intermediates; the leaf alone says who it is.

use crate::support::certificates::{Authority, Organisation, Papers};
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::own_answer;
use crate::support::path::{Site, Way};

/// Case A11: with its intermediate a leaf is accepted under its own common name.
#[tokio::test(flavor = "multi_thread")]
async fn the_leaf_says_who_it_is() {
    let fake = FakeApiServer::echo().await;
    let organisation = Organisation::new("acme");
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);
    let first = organisation.authority.intermediate("first intermediate");
    let second = first.intermediate("second intermediate");
    let leaf = second
        .caller("the-leaf")
        .with_intermediate(&second)
        .with_intermediate(&first);
    let mut connection = Connection::open(&site, Some(&leaf), Protocol::Two).await;
    assert_eq!(connection.fetch("/leaf").await.expect("an answer").0, 200);
    let arrived = fake.arrived_at("/leaf");
    assert_eq!(
        arrived[0].values("impersonate-user"),
        [organisation.username("the-leaf")]
    );
}

/// Case A11: without it nothing leads to the anchor.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_intermediate_is_an_unknown_issuer() {
    let fake = FakeApiServer::echo().await;
    let organisation = Organisation::new("acme");
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);
    let intermediate = organisation.authority.intermediate("intermediate");
    let mut connection =
        Connection::open(&site, Some(&intermediate.caller("the-leaf")), Protocol::Two).await;
    let answer = own_answer::read(connection.get("/leaf").await.expect("an answer")).await;
    assert_eq!(
        (answer.code, answer.class.as_str()),
        (401, "UnknownIssuer"),
        "{answer:?}"
    );
    assert!(fake.arrived().is_empty(), "nothing arrived");
}

/// Case A11: disorder in a chain makes it refused or accepted as the leaf, nobody else, and breaks nothing.
#[tokio::test(flavor = "multi_thread")]
async fn disorder_makes_nobody_else() {
    let fake = FakeApiServer::echo().await;
    let organisation = Organisation::new("acme");
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);
    let (first, unrelated) = (
        organisation.authority.intermediate("first"),
        Authority::new("unrelated"),
    );
    let second = first.intermediate("second");
    let leaf = second.caller("the-leaf");
    let chains: [(&str, Vec<&Authority>, u16); 6] = [
        ("shuffled", vec![&first, &second], 200),
        ("duplicates", vec![&second, &second, &first, &first], 200),
        ("an unrelated one", vec![&unrelated, &second, &first], 200),
        (
            "the anchor too",
            vec![&second, &first, &organisation.authority],
            200,
        ),
        ("many times", vec![&first; 40], 401),
        // Case A58, of which none is looked at.
        ("a hundred in all", vec![&second; 99], 401),
    ];
    for (disorder, authorities, expected) in chains {
        let papers = authorities
            .iter()
            .fold(leaf.clone(), |papers: Papers, next| {
                papers.with_intermediate(next)
            });
        let mut connection = Connection::open(&site, Some(&papers), Protocol::One).await;
        let (status, said) = connection.fetch("/disorder").await.expect("an answer");
        assert_eq!(status, expected, "{disorder}: {said}");
    }
    assert_eq!(fake.arrived().len(), 4);
    for request in fake.arrived() {
        assert_eq!(
            request.values("impersonate-user"),
            [organisation.username("the-leaf")]
        );
    }
    let mut good = Connection::open(&site, Some(&organisation.caller("good")), Protocol::Two).await;
    assert_eq!(
        good.fetch("/good").await.expect("an answer").0,
        200,
        "the exit is as before"
    );
}

//! A newly trusted organisation gets in without a restart, and nobody else notices.

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, WAYS};
use crate::support::{own_answer, wait};

/// Case F13, the adding half.
#[tokio::test(flavor = "multi_thread")]
async fn and_disturbs_nobody() {
    let fake = FakeApiServer::echo().await;
    for way in WAYS {
        let (first, second) = (Organisation::new("first"), Organisation::new("second"));
        let site = Site::start(way, &fake.kubeconfig(), &[&first]);
        let mut open = Connection::open(&site, Some(&first.caller("a")), Protocol::One).await;
        assert_eq!(open.fetch("/first").await.expect("an answer").0, 200);
        let newcomer = second.caller("b");
        let mut early = Connection::open(&site, Some(&newcomer), Protocol::Two).await;
        let answer = own_answer::read(early.get("/early").await.expect("an answer")).await;
        assert_eq!(
            (answer.code, answer.class.as_str()),
            (401, "UnknownIssuer"),
            "{answer:?}"
        );
        let generation = site.generation();
        site.trust(&second);
        wait::until_async("the newcomer to be let in", || async {
            let mut connection = Connection::open(&site, Some(&newcomer), Protocol::Two).await;
            connection
                .fetch("/second")
                .await
                .ok()
                .filter(|(status, _)| *status == 200)
        })
        .await;
        assert!(site.generation() > generation, "the bundle is another one");
        assert_eq!(
            open.fetch("/first")
                .await
                .expect("the old connection is kept")
                .0,
            200
        );
    }
    assert!(fake.arrived_at("/early").is_empty());
    for request in fake.arrived_at("/second") {
        assert_eq!(
            request.values("impersonate-user"),
            ["spiffe://second.example/b"]
        );
    }
}

//! A changed prefix takes its old usernames with it: no request is made in them any more, and what was
//! opened in them ends.

use http_body_util::BodyExt as _;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, WAYS};
use crate::support::wait;

/// Case A50: a connection opened under the old prefix never speaks for the old name after the change.
#[tokio::test(flavor = "multi_thread")]
async fn on_connections_that_were_open() {
    for way in WAYS {
        let fake = FakeApiServer::with_a_watch().await;
        let mut organisation = Organisation::new("old");
        let papers = organisation.caller("caller");
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        let mut open = Vec::new();
        for protocol in PROTOCOLS {
            let mut connection = Connection::open(&site, Some(&papers), protocol).await;
            assert_eq!(connection.fetch("/before").await.expect("an answer").0, 200);
            open.push(connection);
        }
        let mut watching = Connection::open(&site, Some(&papers), Protocol::Two).await;
        let watch = watching.get("/watch").await.expect("an answer");
        let generation = site.generation();
        organisation.prefix = "spiffe://new.example/".to_owned();
        site.trust(&organisation);
        wait::until("the changed object to be in force", || {
            (site.generation() > generation).then_some(())
        });
        for connection in &mut open {
            if let Ok((status, said)) = connection.fetch("/after").await {
                assert!(status == 401 || status == 200, "{way:?}: {status} {said}");
            }
            connection.await_close("the old name").await;
        }
        drop(
            wait::within(
                "the end of the old name's watch",
                watch.into_body().collect(),
            )
            .await,
        );
        let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
        assert_eq!(connection.fetch("/after").await.expect("an answer").0, 200);
        for request in fake.arrived_at("/after") {
            assert_eq!(
                request.values("impersonate-user"),
                ["spiffe://new.example/caller"],
                "{way:?}"
            );
        }
        for request in fake.arrived_at("/before") {
            assert_eq!(
                request.values("impersonate-user"),
                ["spiffe://old.example/caller"],
                "{way:?}"
            );
        }
    }
}

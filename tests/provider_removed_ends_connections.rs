//! When an organisation is trusted no longer, everything that its callers hold ends, and nothing else does.

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::held::{Held, Place};
use crate::support::path::{Site, WAYS};
use crate::support::{cluster, own_answer};

/// Cases A47 and F13: keep-alive connections, a watch, an exec and a port-forward, on both ways.
#[tokio::test(flavor = "multi_thread")]
async fn and_the_others_go_on() {
    let cluster = cluster::shared();
    for (number, way) in WAYS.into_iter().enumerate() {
        let (leaving, staying) = (Organisation::new("leaving"), Organisation::new("staying"));
        let place = Place::new(
            cluster,
            &format!("provider-removed-{number}"),
            &[&leaving, &staying],
        )
        .await;
        let site = Site::before(cluster, way, &[&leaving, &staying]);
        let mut lost = Held::open(&place, &site, &leaving).await;
        let mut kept = Held::open(&place, &site, &staying).await;
        site.distrust(&leaving);
        lost.await_end().await;
        kept.assert_alive().await;
        let mut again =
            Connection::open(&site, Some(&leaving.caller("holder")), Protocol::Two).await;
        let answer = own_answer::read(again.get("/api").await.expect("an answer")).await;
        assert_eq!(
            (answer.code, answer.class.as_str()),
            (401, "UnknownIssuer"),
            "{answer:?}"
        );
        site.trust(&leaving);
        let back =
            crate::support::wait::until_async("the organisation that is trusted again", || async {
                let mut again =
                    Connection::open(&site, Some(&leaving.caller("holder")), Protocol::Two).await;
                again
                    .fetch("/version")
                    .await
                    .ok()
                    .filter(|(status, _)| *status == 200)
            });
        back.await;
        kept.assert_alive().await;
    }
}

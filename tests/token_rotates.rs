//! A service account's token file is replaced while requests run: each is made with a token that is good.

use std::sync::Arc;

use http::{Response, StatusCode};
use parking_lot::Mutex;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::{FakeApiServer, ok, whole};
use crate::support::path::{Site, Way};
use crate::support::wait;

/// Case A62, shortened: three rotations; the token before the current one is still good, older ones are not.
#[tokio::test(flavor = "multi_thread")]
async fn while_requests_run() {
    let good = Arc::new(Mutex::new(vec!["Bearer token-0".to_owned()]));
    let accepted = Arc::clone(&good);
    let fake = FakeApiServer::start(&["h2"], move |request| {
        let shown = request
            .headers()
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let known = accepted.lock().iter().any(|token| token == shown);
        Box::pin(async move {
            if known {
                return ok("{}");
            }
            let mut refused = Response::new(whole("{}"));
            *refused.status_mut() = StatusCode::UNAUTHORIZED;
            refused
        })
    })
    .await;
    let token = fake.kubeconfig_with_token_file("token-0");
    let organisation = Organisation::new("acme");
    let site = Site::start(Way::Direct, &token.kubeconfig, &[&organisation]);
    let papers = organisation.caller("a");
    let connection =
        tokio::sync::Mutex::new(Connection::open(&site, Some(&papers), Protocol::Two).await);
    for rotation in 1..=3 {
        let next = format!("token-{rotation}");
        let shown = format!("Bearer {next}");
        good.lock().push(shown.clone());
        token.write(&next);
        wait::until_async("the new token to be used", || async {
            let (status, said) = connection.lock().await.fetch("/").await.expect("an answer");
            assert_eq!(status, 200, "{said}");
            let arrived = fake.arrived();
            arrived
                .last()
                .filter(|last| last.values("authorization") == [shown.clone()])
                .map(|_| ())
        })
        .await;
        good.lock().remove(0);
    }
}

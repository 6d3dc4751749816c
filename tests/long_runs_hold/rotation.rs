//! A service account's token that is replaced every ten seconds, as no kubelet does but some vaults do.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::{FakeApiServer, ok, whole};
use crate::support::measured::tell;
use crate::support::path::{Site, Way};

/// As the case says: every ten seconds, for a minute and more.
const ROTATIONS: u32 = 7;
const EVERY: Duration = Duration::from_secs(10);

/// How long the token before the current one is good: far less than the minute that the case leaves.
const OVERLAP: Duration = Duration::from_secs(5);

/// Case A62: no request is refused, though a token ends five seconds after its successor is there.
pub(super) async fn every_ten_seconds() {
    let good = Arc::new(Mutex::new(vec![shown(0)]));
    let accepted = Arc::clone(&good);
    let fake = FakeApiServer::start(&["h2", "http/1.1"], move |request| {
        let token = request.headers().get("authorization");
        let token = token
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let known = accepted.lock().iter().any(|it| it == token);
        Box::pin(async move {
            let mut answer = if known {
                ok("{}")
            } else {
                Response::new(whole("{}"))
            };
            if !known {
                *answer.status_mut() = StatusCode::UNAUTHORIZED;
            }
            answer
        })
    })
    .await;
    let token = fake.kubeconfig_with_token_file("token-0");
    let organisation = Organisation::new("rotating");
    let site = Site::start(Way::Direct, &token.kubeconfig, &[&organisation]);
    let papers = organisation.caller("a");
    let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
    let (mut requests, mut latest) = (0, Duration::ZERO);
    for rotation in 1..=ROTATIONS {
        good.lock().push(shown(rotation));
        token.write(&format!("token-{rotation}"));
        let (begun, mut used) = (Instant::now(), None);
        while begun.elapsed() < EVERY {
            if begun.elapsed() > OVERLAP {
                let mut good = good.lock();
                good.retain(|it| *it == shown(rotation));
            }
            let (status, said) = connection.fetch("/api/v1/pods").await.expect("an answer");
            assert_eq!(status, 200, "rotation {rotation}: {said}");
            requests += 1;
            let last = fake.arrived().pop().expect("it arrived");
            if used.is_none() && last.values("authorization") == [shown(rotation)] {
                used = Some(begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        latest = latest.max(used.expect("the new token came into use"));
    }
    tell(&format!(
        "rotation: {requests} requests over {ROTATIONS} tokens, none refused; a new one in use after {latest:?} at the latest"
    ));
}

fn shown(rotation: u32) -> String {
    format!("Bearer token-{rotation}")
}

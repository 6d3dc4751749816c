//! A fault of ours costs the request or connection that met it, and nobody else's.

use std::sync::atomic::Ordering;

use http::{Response, StatusCode};

use super::stage::{Http, Stage, get, read, text};

/// Case G19. What panics is injected where each request asks whom the exit trusts.
#[tokio::test]
async fn a_panic_is_the_end_of_what_it_happened_in_alone() {
    let stage = Stage::new(|_| async { Response::new(text("{}")) }).await;
    let (hit, beside) = (stage.partner("hit"), stage.friend("beside"));
    let others = Http::both(&stage, Some(&beside)).await;
    for (mut http, mut other) in Http::both(&stage, Some(&hit)).await.into_iter().zip(others) {
        for http in [&mut http, &mut other] {
            let answer = http.send(get("/")).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            drop(read(answer).await);
        }
        stage.panics.store(true, Ordering::SeqCst);
        let broken = http.send(get("/broken")).await;
        assert!(broken.is_err(), "{broken:?}");
        assert!(!stage.panics.load(Ordering::SeqCst), "it did panic");
        let answer = other.send(get("/")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "someone else's connection");
        for mut again in Http::both(&stage, Some(&hit)).await {
            let answer = again.send(get("/")).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "a new connection");
        }
    }
    assert!(stage.api.seen().iter().all(|it| it.target != "/broken"));
}

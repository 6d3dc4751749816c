//! Who reaches the API server, and as whom.

use std::sync::Arc;
use std::time::Duration;

use gangplank_config::role::exit::ClientAuth;
use gangplank_pki::clock::Clock;
use gangplank_pki::crypto;
use gangplank_pki::issue::CertificateAuthority;
use http::{Request, StatusCode};
use rustls::HandshakeKind;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::stage::{
    ENTRANCE, FRIENDS, Http, PARTNERS, Stage, TOKEN, caller, get, issue, issue_for, read, secure,
    text,
};

async fn stage() -> Stage {
    Stage::new(|request| async move {
        let user = request.headers()["impersonate-user"]
            .to_str()
            .unwrap()
            .to_owned();
        http::Response::new(text(user))
    })
    .await
}

fn one(headers: &http::HeaderMap, name: &str) -> String {
    let values: Vec<_> = headers.get_all(name).iter().collect();
    assert_eq!(values.len(), 1, "{name}: {values:?}");
    values[0].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_api_server_sees_prefix_and_common_name_and_our_credential_once() {
    let stage = stage().await;
    let papers = stage.partner("ns/namespace-a/id/default");
    for mut http in Http::both(&stage, Some(&papers)).await {
        let request = Request::get("/api")
            .header("host", "other.example.com:1")
            .header("authorization", "Bearer mine")
            .header("authorization", "Basic mine")
            .header("x-remote-user", "root")
            .header("x_remote_user", "root")
            .header("audit-id", "mine")
            .body(text(""))
            .unwrap();
        let response = http.send(request).await.unwrap();
        assert_eq!(
            read(response).await,
            format!("{PARTNERS}ns/namespace-a/id/default")
        );
    }
    let seen = stage.api.seen();
    assert_eq!(seen.len(), 2);
    for seen in seen {
        assert_eq!(
            one(&seen.headers, "impersonate-user"),
            "spiffe://source-cluster/ns/namespace-a/id/default"
        );
        assert_eq!(
            one(&seen.headers, "authorization"),
            format!("Bearer {TOKEN}")
        );
        assert_ne!(one(&seen.headers, "audit-id"), "mine");
        for name in ["x-remote-user", "x_remote_user"] {
            assert!(!seen.headers.contains_key(name), "{name}");
        }
    }
}

#[tokio::test]
async fn whoever_is_not_accepted_hears_the_class_and_nothing_reaches_the_api_server() {
    let stage = stage().await;
    let strangers = CertificateAuthority::create("partners", 1, stage.clock.now()).unwrap();
    let stranger = issue(&strangers, caller("x"), &*stage.clock);
    let short = issue_for(
        &stage.partners,
        caller("x"),
        &*stage.clock,
        Duration::from_secs(1),
    );
    stage.clock.advance(Duration::from_secs(5));
    for (papers, class) in [
        (None, "NoCertificate"),
        (Some(&stranger), "UnknownIssuer"),
        (Some(&short), "Expired"),
    ] {
        for mut http in Http::both(&stage, papers).await {
            let response = http.send(get("/api")).await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{class}");
            let warning = one(response.headers(), "warning");
            assert!(
                warning.starts_with(&format!("299 gangplank \"{class}: ")),
                "{warning}"
            );
            let status: serde_json::Value = serde_json::from_str(&read(response).await).unwrap();
            assert_eq!(status["kind"], "Status");
            assert_eq!(status["reason"], "Unauthorized");
            assert_eq!(status["code"], 401);
            http.closed().await;
        }
        for mut http in Http::both(&stage, papers).await {
            let request = Request::head("/api")
                .header("host", ENTRANCE)
                .body(text(""))
                .unwrap();
            let response = http.send(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(read(response).await, "");
        }
    }
    assert_eq!(stage.api.seen().len(), 0);
}

#[tokio::test]
async fn who_was_refused_is_let_in_on_a_new_connection_once_trusted() {
    let stage = stage().await;
    let papers = stage.partner("x");
    stage.trust(vec![stage.provider_friends()]);
    let mut refused = Http::Two(stage.http2(Some(&papers)).await);
    let response = refused.send(get("/api")).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    stage.trust(vec![
        stage.provider_friends(),
        stage.provider_partners(PARTNERS),
    ]);
    let mut http = Http::Two(stage.http2(Some(&papers)).await);
    assert_eq!(
        http.send(get("/api")).await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn where_a_certificate_is_required_the_handshake_fails() {
    let stage = Stage::with_client_auth(ClientAuth::Require, |_| async {
        http::Response::new(text(""))
    })
    .await;
    let good = stage.partner("x");
    let strangers = CertificateAuthority::create("partners", 1, stage.clock.now()).unwrap();
    let stranger = issue(&strangers, caller("x"), &*stage.clock);
    for papers in [None, Some(&stranger)] {
        let config = stage.client_config(papers, &[b"http/1.1"]);
        let refused = match stage.tls(config, CancellationToken::new()).await {
            // With TLS 1.3 the client is done before the server looked.
            Ok(mut tls) => tls.read(&mut [0; 1]).await.is_err(),
            Err(_) => true,
        };
        assert!(refused);
    }
    let mut http = Http::One(stage.http1(Some(&good)).await);
    assert_eq!(
        http.send(get("/api")).await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn no_session_is_resumed() {
    let stage = stage().await;
    let papers = stage.partner("x");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut config = stage.client_config(Some(&papers), &[b"http/1.1"]);
        config.resumption = rustls::client::Resumption::in_memory_sessions(8);
        // The same with one version of TLS only.
        let mut limited = rustls::ClientConfig::builder_with_provider(crypto::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(stage.exit_roots())
            .with_no_client_auth();
        limited.enable_early_data = true;
        limited.alpn_protocols = config.alpn_protocols.clone();
        limited.resumption = config.resumption.clone();
        limited.client_auth_cert_resolver = Arc::clone(&config.client_auth_cert_resolver);
        for _ in 0..3 {
            let io = stage.dial(CancellationToken::new());
            let tls = secure(limited.clone(), io).await.unwrap();
            assert_eq!(tls.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(tls.get_ref().1.protocol_version(), Some(version.version));
            // One exchange, so that tickets would have come.
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(tls))
                    .await
                    .unwrap();
            stage.tasks.spawn(connection);
            let response = sender.send_request(get("/api")).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn a_caller_cannot_act_as_someone_else() {
    let stage = stage().await;
    let papers = stage.partner("x");
    for mut http in Http::both(&stage, Some(&papers)).await {
        for name in ["Impersonate-User", "impersonate-group", "Impersonate-Uid"] {
            let request = Request::get("/api")
                .header("host", ENTRANCE)
                .header(name, "root")
                .body(text(""))
                .unwrap();
            let response = http.send(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            assert!(one(response.headers(), "warning").contains("--as"));
            drop(read(response).await);
        }
        // The connection goes on.
        assert_eq!(
            http.send(get("/api")).await.unwrap().status(),
            StatusCode::OK
        );
    }
    assert_eq!(stage.api.seen().len(), 2);
}

/// A review takes time, in which the caller's right may end before anything has ended the connection.
#[tokio::test]
async fn who_loses_their_right_during_a_review_is_nobody() {
    let (reached, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (reaching, answering) = (Arc::clone(&reached), Arc::clone(&answer));
    let stage = Stage::with_reviews(move |_| {
        let (reaching, answering) = (Arc::clone(&reaching), Arc::clone(&answering));
        async move {
            reaching.notify_one();
            answering.notified().await;
            let yes = r#"{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}"#;
            http::Response::new(text(yes))
        }
    })
    .await;
    let papers = stage.partner("x");
    // What was reviewed is remembered for a while.
    let others = ["bob", "eve"];
    for (mut http, other) in Http::both(&stage, Some(&papers))
        .await
        .into_iter()
        .zip(others)
    {
        stage.trust(vec![
            stage.provider_friends(),
            stage.provider_partners(PARTNERS),
        ]);
        let wish = Request::get("/wish")
            .header("host", ENTRANCE)
            .header("impersonate-user", other)
            .body(text(""))
            .unwrap();
        let ending = async {
            reached.notified().await;
            stage.trust_unannounced(vec![stage.provider_friends()]);
            answer.notify_one();
        };
        let (told, ()) = tokio::join!(http.send(wish), ending);
        assert_eq!(told.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    let seen = stage.api.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|it| it.target != "/wish"), "{seen:?}");
}

/// Case C35: 50 callers of two providers, each with 200 requests at a time, over the connections that all share upstream.
#[tokio::test(flavor = "multi_thread")]
async fn many_callers_at_once_are_each_themselves() {
    const CALLERS: usize = 50;
    const EACH: usize = 200;
    let stage = stage().await;
    let mut running = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let name = format!("user-{caller}");
        // Two of a name, which only their providers tell apart.
        let (papers, prefix) = match caller % 2 {
            0 => (stage.partner(&name), PARTNERS),
            _ => (stage.friend(&format!("user-{}", caller - 1)), FRIENDS),
        };
        let username = format!("{prefix}user-{}", caller - caller % 2);
        let sender = stage.http2(Some(&papers)).await;
        for _ in 0..EACH {
            let mut http = Http::Two(sender.clone());
            let username = username.clone();
            running.spawn(async move {
                let seen = read(http.send(get("/api")).await.unwrap()).await;
                assert_eq!(seen, username);
            });
        }
    }
    let mut answered = 0;
    while let Some(result) = running.join_next().await {
        result.unwrap();
        answered += 1;
    }
    assert_eq!(answered, CALLERS * EACH);
}

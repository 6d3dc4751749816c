//! Exactly one user and exactly one credential, to exactly one server; or nothing at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gangplank_config::role;
use gangplank_config::upstream::{Credential as Configured, InCluster, Upstream};
use gangplank_config::{Fault, Material, Place, Token};
use http::header::{AUTHORIZATION, HOST};
use http::{Method, StatusCode};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::fake::{self, Sight};
use super::support::{Harness, Papers, USER, get, head, identity, text, within};
use crate::body::RequestBody;
use crate::upstream::limits::Pace;
use crate::upstream::{OnBehalf, UpstreamError};
use gangplank_apiserver::{Connector, Credential, DialError, Offer, TokenFile};

async fn playing(papers: &Papers) -> (u16, Arc<Sight>) {
    let config = fake::tls(&papers.server("127.0.0.1"), &["h2", "http/1.1"]);
    fake::http2(config, 100, |exchange| Box::pin(exchange.play())).await
}

#[tokio::test]
async fn one_user_one_token_one_host() {
    let papers = Papers::new();
    let (port, sight) = playing(&papers).await;
    let harness = Harness::new(&papers.upstream(port));
    let request = head(
        Method::GET,
        "https://user@elsewhere:1/api//x/../%2F?a=%zz&b=;+",
    )
    .header(AUTHORIZATION, "Bearer callers")
    .header(AUTHORIZATION, "Basic callers")
    .header(HOST, "elsewhere")
    .header("impersonate-group", "readers")
    .body(RequestBody::empty())
    .unwrap();
    harness.send(request).await.unwrap();
    assert_eq!(sight.lines(), ["GET /api//x/../%2F?a=%zz&b=;+"]);
    let headers = sight.last_headers();
    let all = |name: &str| headers.get_all(name).iter().count();
    assert_eq!(
        (all("authorization"), all("impersonate-user"), all("host")),
        (1, 1, 0)
    );
    assert_eq!(headers["authorization"], "Bearer secret");
    assert_eq!(headers["impersonate-user"], USER);
    assert_eq!(headers["impersonate-group"], "readers");
}

#[tokio::test]
async fn with_a_client_certificate_there_is_no_authorization() {
    let papers = Papers::new();
    let config = fake::mutual_tls(&papers.server("127.0.0.1"), &papers);
    let (port, sight) = fake::http2(config, 100, |exchange| Box::pin(exchange.play())).await;
    let mut upstream = papers.upstream(port);
    upstream.credential = Configured::ClientCertificate(Material::fixed(papers.client()));
    let harness = Harness::new(&upstream);
    let request = head(Method::GET, "/get").header(AUTHORIZATION, "Bearer callers");
    harness
        .send(request.body(RequestBody::empty()).unwrap())
        .await
        .unwrap();
    assert!(!sight.last_headers().contains_key(AUTHORIZATION));
}

#[tokio::test]
async fn a_client_certificate_that_the_server_refuses_is_told_as_that() {
    let (papers, others) = (Papers::new(), Papers::new());
    let config = fake::mutual_tls(&papers.server("127.0.0.1"), &papers);
    let (port, sight) = fake::http2(config, 100, |exchange| Box::pin(exchange.play())).await;
    let mut upstream = papers.upstream(port);
    upstream.credential = Configured::ClientCertificate(Material::fixed(others.client()));
    let error = Harness::new(&upstream).get("/get").await.unwrap_err();
    assert!(
        matches!(error, UpstreamError::Dial(DialError::Tls { .. })),
        "{error:?}"
    );
    assert_eq!(sight.lines().len(), 0);
}

#[tokio::test]
async fn a_request_that_is_not_exactly_the_callers_is_not_sent() {
    let papers = Papers::new();
    let (port, sight) = playing(&papers).await;
    let harness = Harness::new(&papers.upstream(port));
    let bare = || http::Request::builder().uri("/get");
    let wrong = [
        bare(),
        bare().header("impersonate-user", "root"),
        head(Method::GET, "/get").header("impersonate-user", USER),
        head(Method::GET, "/get").header("impersonate-group", "system:masters"),
        head(Method::GET, "/get").header("impersonate-uid", "1"),
        head(Method::GET, "/get").header("impersonate-extra-scopes", "x"),
        head(Method::GET, "/get").header("x-remote-user", "root"),
    ];
    for request in wrong {
        let error = harness
            .send(request.body(RequestBody::empty()).unwrap())
            .await
            .unwrap_err();
        assert!(
            matches!(error, UpstreamError::IdentityHeaders(_)),
            "{error:?}"
        );
        assert!(error.certainly_not_sent());
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    let connect = head(Method::CONNECT, "/get")
        .body(RequestBody::empty())
        .unwrap();
    assert_eq!(
        harness.send(connect).await.unwrap_err().reason(),
        "BadTarget"
    );
    assert_eq!(sight.lines().len(), 0);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_a_new_one_is_used() {
    let papers = Papers::new();
    let (port, sight) = playing(&papers).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let read = {
        let path = path.clone();
        move || {
            let fault = || Fault::new(&path, Place::WHOLE_FILE, "BadToken", "none", "write one");
            let text = std::fs::read_to_string(&path).map_err(|_missing| fault())?;
            Token::parse(&text).ok_or_else(fault)
        }
    };
    let mut harness = Harness::new(&papers.upstream(port));
    let shared = Arc::get_mut(&mut harness.client.0).unwrap();
    shared.credential = Credential::File(TokenFile::new(read, std::time::Duration::ZERO));

    for content in [None, Some("\n"), Some("two words")] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let error = harness.get("/get").await.unwrap_err();
        assert_eq!(error.reason(), "CredentialUnusable");
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
        let upgrade = head(Method::GET, "/exec")
            .header("upgrade", "websocket")
            .body(())
            .unwrap();
        assert!(
            harness
                .client
                .upgrade(OnBehalf::caller(identity()), upgrade)
                .await
                .is_err()
        );
    }
    assert_eq!(sight.connections(), 0);
    for token in ["first", "second"] {
        std::fs::write(&path, token).unwrap();
        harness.get("/get").await.unwrap();
        assert_eq!(
            sight.last_headers()["authorization"],
            format!("Bearer {token}")
        );
    }
}

#[tokio::test]
async fn an_impostor_gets_no_byte_of_a_request() {
    let (papers, others) = (Papers::new(), Papers::new());
    for pair in [
        others.server("127.0.0.1"),
        papers.server("other.example.com"),
    ] {
        let received = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&received);
        let port = fake::listen(fake::tls(&pair, &["h2", "http/1.1"]), move |_, tls| {
            let counted = Arc::clone(&counted);
            Box::pin(async move {
                if let Ok(mut tls) = tls {
                    let mut bytes = Vec::new();
                    drop(tls.read_to_end(&mut bytes).await);
                    counted.fetch_add(bytes.len(), Ordering::SeqCst);
                }
            })
        })
        .await;
        let harness = Harness::new(&papers.upstream(port));
        let error = harness.get("/get").await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::Dial(DialError::Impostor { .. })),
            "{error:?}"
        );
        assert_eq!(error.status(), StatusCode::BAD_GATEWAY);
        let upgrade = head(Method::GET, "/exec")
            .header("upgrade", "websocket")
            .body(())
            .unwrap();
        let error = within(
            harness
                .client
                .upgrade(OnBehalf::caller(identity()), upgrade),
        )
        .await
        .unwrap_err();
        assert_eq!(error.reason(), "UpstreamImpostor");
        assert!(harness.client.reachable().await.is_err());
        assert_eq!(received.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn redirects_are_relayed_and_not_followed() {
    let papers = Papers::new();
    let config = fake::tls(&papers.server("127.0.0.1"), &["h2"]);
    let (port, sight) = fake::http2(config, 100, |mut exchange| {
        Box::pin(async move {
            let response = http::Response::builder()
                .status(StatusCode::TEMPORARY_REDIRECT)
                .header("location", "https://127.0.0.1:1/elsewhere")
                .body(())
                .unwrap();
            exchange.respond.send_response(response, true).unwrap();
        })
    })
    .await;
    let harness = Harness::new(&papers.upstream(port));
    let response = harness.send(get("/get")).await.unwrap();
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(
        response.headers()["location"],
        "https://127.0.0.1:1/elsewhere"
    );
    assert_eq!(text(response).await, "");
    assert_eq!(sight.lines(), ["GET /get"]);
}

/// The upstream of a kubeconfig whose client certificate lies in two files of `folder`.
fn upstream_of_files(papers: &Papers, folder: &std::path::Path, port: u16) -> Upstream {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let exit = papers.exit_pem();
    write("exit.crt", &exit.cert_pem);
    write("exit.key", &exit.key_pem);
    write("ca.crt", &exit.ca_pem);
    std::fs::create_dir(folder.join("trust")).unwrap();
    write(
        "kubeconfig",
        &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{port}', \
             certificate-authority: ca.crt}}}}]\n\
             users: [{{name: u, user: {{client-certificate: c.crt, client-key: c.key}}}}]\n"
        ),
    );
    write(
        "proxy.yaml",
        "listen: 127.0.0.1:0\nexit:\n  \
         servingCertificate: {certificateFile: exit.crt, keyFile: exit.key}\n  \
         trust: {directory: trust}\n  upstream: {kubeconfig: kubeconfig}\n",
    );
    let loaded = role::proxy::load(&folder.join("proxy.yaml"), &InCluster::absent());
    loaded.unwrap().exit.upstream
}

#[tokio::test]
async fn a_renewed_client_certificate_replaces_connections_that_show_the_old_one() {
    let papers = Papers::new();
    let config = fake::mutual_tls(&papers.server("127.0.0.1"), &papers);
    let (port, sight) = fake::http2(config, 100, |exchange| Box::pin(exchange.play())).await;
    let folder = tempfile::tempdir().unwrap();
    papers.write_client(folder.path());
    let upstream = upstream_of_files(&papers, folder.path(), port);
    let pace = Pace {
        idle_check: std::time::Duration::from_millis(20),
        ..Pace::default()
    };
    let harness = Harness::with_pace(&upstream, pace);
    let watch = harness.get("/watch").await.unwrap();
    // Unusable files change nothing.
    std::fs::write(folder.path().join("c.crt"), "").unwrap();
    assert_eq!(harness.text("/get").await, "/get");
    assert_eq!(sight.connections(), 1);

    papers.write_client(folder.path());
    let mut gets = 0;
    while sight.connections() == 1 {
        assert_eq!(harness.text("/get").await, "/get");
        gets += 1;
        assert!(gets < 100_000, "the old certificate is shown for ever");
    }
    sight.proceed.notify_waiters();
    assert_eq!(text(watch).await, "eventend");
}

/// Otherwise it would pass for one that shows the newer certificate, and stay.
#[tokio::test]
async fn a_connection_is_known_by_the_certificate_that_it_was_made_with() {
    let papers = Papers::new();
    let folder = tempfile::tempdir().unwrap();
    papers.write_client(folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = fake::mutual_tls(&papers.server("127.0.0.1"), &papers);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let upstream = upstream_of_files(&papers, folder.path(), port);
    let connector = Connector::new(&upstream, Pace::default().dial);
    let tcp = connector.reach().await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let renewing = async {
        // The client has said hello: it has its settings.
        assert_eq!(server.peek(&mut [0]).await.unwrap(), 1);
        papers.write_client(folder.path());
        let newest = connector.reread_certificate().await;
        (acceptor.accept(server).await.unwrap(), newest)
    };
    let both = futures_util::future::join(connector.secure(tcp, Offer::Http1), renewing);
    let (secured, (_server, newest)) = within(both).await;
    let (_io, shown) = secured.unwrap();
    assert_eq!((shown, newest), (1, 2));
}

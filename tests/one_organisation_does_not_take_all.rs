//! One organisation, or one certificate, cannot use an exit up: beyond its share it is refused with a 429 that says
//! what to do, nothing of that reaches the API server, and everybody else is served all the while.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;

use crate::support::certificates::{Organisation, Papers};
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank::events;
use crate::support::manual::Page;
use crate::support::own_answer::{self, OwnAnswer};
use crate::support::path::Site;
use crate::support::{audit, caller, cluster, wait};

/// So slow that an organisation has soon used it up.
const SLOW: &str = "limits: { provider: { requestsPerSecond: 1, burst: 4 } }";

/// What the greedy ask for.
const PATH: &str = "/refused-in-the-end";

fn limited(site: &Site, limit: &str) -> Option<f64> {
    site.exit.metric(&format!(
        "gangplank_exit_limited_total{{limit=\"{limit}\"}} "
    ))
}

/// What the manual prints of it is what callers read.
fn assert_documented(answer: &OwnAnswer) {
    assert_eq!(
        (answer.code, answer.reason.as_str()),
        (429, "TooManyRequests")
    );
    let warning = format!("Warning: {}: {}", answer.class, answer.message);
    assert!(Page::open("refusals.md").says(&warning), "{warning}");
}

/// Sends requests until one is refused; answers that.
async fn send_until_refused(connection: &mut Connection) -> OwnAnswer {
    wait::within("a refusal", async {
        loop {
            let answer = connection.get(PATH).await.expect("an answer");
            if answer.status() == 429 {
                return own_answer::read(answer).await;
            }
            drop(caller::read(answer).await);
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn by_its_requests() {
    let fake = FakeApiServer::echo().await;
    let (greedy, modest) = (Organisation::new("greedy"), Organisation::new("modest"));
    let site = Site::direct_with(&fake.kubeconfig(), &[&greedy, &modest], SLOW);
    assert_eq!(limited(&site, "Requests"), Some(0.0));
    for protocol in PROTOCOLS {
        let mut connection = Connection::open(&site, Some(&greedy.caller("a")), protocol).await;
        let answer = send_until_refused(&mut connection).await;
        assert_eq!(answer.class, "TooManyRequests");
        assert!(
            answer.retry_after,
            "nothing was sent, and soon there is room"
        );
        assert_documented(&answer);
        let mut other = Connection::open(&site, Some(&modest.caller("b")), protocol).await;
        assert_eq!(other.fetch("/modest").await.expect("an answer").0, 200);
    }
    assert!(limited(&site, "Requests").is_some_and(|count| count >= 2.0));
    let log = site.exit.log();
    let told = events(&log).into_iter().filter(|event| {
        let provider = event["provider"].as_str().unwrap_or_default();
        event["level"] == "WARN" && provider.ends_with(&greedy.name)
    });
    assert_eq!(told.count(), 1, "the operator is told once: {log}");
    let upstream = fake.arrived_at(PATH).len();
    wait::until("each of them to be recorded as what it was", || {
        let trail = audit::trail(&site.exit.log());
        let count = |status: u16, class: &str| {
            trail
                .iter()
                .filter(|event| event["path"] == PATH && event["status"] == status)
                .filter(|event| event["class"].as_str().unwrap_or_default() == class)
                .count()
        };
        (count(200, "") == upstream && count(429, "TooManyRequests") == 2).then_some(())
    });
}

/// Watches that stay open count as long as they do.
#[tokio::test(flavor = "multi_thread")]
async fn by_what_is_under_way() {
    let fake = FakeApiServer::start(&["h2", "http/1.1"], |request| {
        let is_watch = request.uri().query().is_some();
        Box::pin(async move {
            let mut answer = crate::support::fake_api_server::ok("");
            if is_watch {
                let frames = futures_util::stream::pending::<std::io::Result<Frame<Bytes>>>();
                *answer.body_mut() = StreamBody::new(frames).boxed();
            }
            answer
        })
    })
    .await;
    let (greedy, modest) = (Organisation::new("greedy"), Organisation::new("modest"));
    let line = "limits: { provider: { requestsAtOnce: 2 } }";
    let site = Site::direct_with(&fake.kubeconfig(), &[&greedy, &modest], line);
    let mut connection = Connection::open(&site, Some(&greedy.caller("a")), Protocol::Two).await;
    let mut watches = Vec::new();
    for _ in 0..2 {
        watches.push(
            connection
                .get("/api/v1/pods?watch=1")
                .await
                .expect("an answer"),
        );
    }
    for protocol in PROTOCOLS {
        let mut another = Connection::open(&site, Some(&greedy.caller("b")), protocol).await;
        let answer = own_answer::read(another.get("/surplus").await.expect("an answer")).await;
        assert_eq!(answer.class, "TooManyAtOnce");
        assert!(
            answer.retry_after,
            "nothing was sent, and soon there may be room"
        );
        assert_documented(&answer);
        let mut other = Connection::open(&site, Some(&modest.caller("c")), protocol).await;
        assert_eq!(other.fetch("/modest").await.expect("an answer").0, 200);
    }
    assert!(fake.arrived_at("/surplus").is_empty(), "nothing upstream");
    assert_eq!(limited(&site, "RequestsAtOnce"), Some(2.0));
    watches.pop();
    wait::until_async("the place to be given back", || async {
        let mut again = Connection::open(&site, Some(&greedy.caller("a")), Protocol::Two).await;
        (again.get("/").await.expect("an answer").status() == 200).then_some(())
    })
    .await;
}

/// client-go waits as long as it is told and sends the request again: kubectl is only slower.
#[test]
fn and_kubectl_waits() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("patient");
    let line = "limits: { provider: { requestsPerSecond: 1, burst: 1 } }";
    let upstream = &cluster.facts.proxy_kubeconfig;
    let site = Site::direct_with(upstream, &[&organisation], line).with_kubectl(cluster);
    // More than one request, one right behind the other.
    let said = site
        .kubectl(&organisation.caller("a"))
        .run(&["api-versions"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.text().contains("apps/v1"), "{}", said.text());
}

fn upgrade() -> Request<caller::AnyBody> {
    Request::post("/exec")
        .header("connection", "upgrade")
        .header("upgrade", "SPDY/3.1")
        .body(caller::body(""))
        .expect("a request")
}

async fn ask_for_an_upgrade(site: &Site, papers: &Papers) -> http::Response<hyper::body::Incoming> {
    let mut connection = Connection::open(site, Some(papers), Protocol::One).await;
    connection.send(upgrade()).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn by_its_upgraded_connections() {
    let fake = FakeApiServer::start(&["h2", "http/1.1"], |mut request| {
        let on_upgrade = hyper::upgrade::on(&mut request);
        Box::pin(async move {
            tokio::spawn(async move {
                // It is held until the caller ends it.
                if let Ok(io) = on_upgrade.await {
                    let mut io = hyper_util::rt::TokioIo::new(io);
                    drop(tokio::io::copy(&mut io, &mut tokio::io::sink()).await);
                }
            });
            let mut response = crate::support::fake_api_server::ok("");
            *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
            for (name, value) in [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")] {
                response
                    .headers_mut()
                    .insert(name, http::HeaderValue::from_static(value));
            }
            response
        })
    })
    .await;
    let (greedy, modest) = (Organisation::new("greedy"), Organisation::new("modest"));
    let line = "limits: { provider: { upgrades: 2 } }";
    let site = Site::direct_with(&fake.kubeconfig(), &[&greedy, &modest], line);
    let mut open = Vec::new();
    for name in ["a", "b"] {
        let answer = ask_for_an_upgrade(&site, &greedy.caller(name)).await;
        assert_eq!(answer.status(), 101);
        open.push(hyper::upgrade::on(answer).await.expect("upgraded"));
    }
    let answer = own_answer::read(ask_for_an_upgrade(&site, &greedy.caller("c")).await).await;
    assert_eq!(answer.class, "TooManyUpgrades");
    assert!(!answer.retry_after, "they last for hours");
    assert_documented(&answer);
    assert_eq!(fake.arrived_at("/exec").len(), 2, "nothing upstream");
    let other = ask_for_an_upgrade(&site, &modest.caller("d")).await;
    assert_eq!(other.status(), 101, "another organisation's");
    assert_eq!(limited(&site, "Upgrades"), Some(1.0));
    open.pop();
    wait::until_async("the place to be given back", || async {
        let answer = ask_for_an_upgrade(&site, &greedy.caller("e")).await;
        (answer.status() == 101).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_one_certificate_by_its_connections() {
    let fake = FakeApiServer::echo().await;
    let organisation = Organisation::new("acme");
    let line = "limits: { caller: { connections: 2 } }";
    let site = Site::direct_with(&fake.kubeconfig(), &[&organisation], line);
    let papers = organisation.caller("a");
    let mut open = Vec::new();
    for protocol in PROTOCOLS {
        let mut connection = Connection::open(&site, Some(&papers), protocol).await;
        assert_eq!(connection.fetch("/").await.expect("an answer").0, 200);
        open.push(connection);
    }
    for protocol in PROTOCOLS {
        let mut surplus = Connection::open(&site, Some(&papers), protocol).await;
        let answer = own_answer::read(surplus.get("/surplus").await.expect("an answer")).await;
        assert_eq!(answer.class, "TooManyConnections");
        assert_documented(&answer);
        surplus.await_close("someone with too many").await;
    }
    // A new certificate of the same user counts for itself, so that renewal needs no pause.
    let mut renewed = Connection::open(&site, Some(&organisation.caller("a")), Protocol::Two).await;
    assert_eq!(renewed.fetch("/").await.expect("an answer").0, 200);
    for connection in &mut open {
        assert_eq!(connection.fetch("/").await.expect("an answer").0, 200);
    }
    assert!(fake.arrived_at("/surplus").is_empty(), "nothing upstream");
    assert_eq!(limited(&site, "Connections"), Some(2.0));
    open.clear();
    wait::until_async("the place to be given back", || async {
        let mut again = Connection::open(&site, Some(&papers), Protocol::Two).await;
        (again.get("/").await.expect("an answer").status() == 200).then_some(())
    })
    .await;
}

/// Nor by as many certificates as it likes.
#[tokio::test(flavor = "multi_thread")]
async fn nor_by_the_connections_of_many_certificates() {
    let fake = FakeApiServer::echo().await;
    let (greedy, modest) = (Organisation::new("greedy"), Organisation::new("modest"));
    let line = "limits: { provider: { connections: 2 } }";
    let site = Site::direct_with(&fake.kubeconfig(), &[&greedy, &modest], line);
    let mut open = Vec::new();
    for (name, protocol) in ["a", "b"].into_iter().zip(PROTOCOLS) {
        let mut connection = Connection::open(&site, Some(&greedy.caller(name)), protocol).await;
        assert_eq!(connection.fetch("/").await.expect("an answer").0, 200);
        open.push(connection);
    }
    for protocol in PROTOCOLS {
        let mut surplus = Connection::open(&site, Some(&greedy.caller("c")), protocol).await;
        let answer = own_answer::read(surplus.get("/surplus").await.expect("an answer")).await;
        assert_eq!(answer.class, "TooManyProviderConnections");
        assert_documented(&answer);
        surplus.await_close("someone of too many").await;
        let mut other = Connection::open(&site, Some(&modest.caller("d")), protocol).await;
        assert_eq!(other.fetch("/").await.expect("an answer").0, 200);
    }
    assert!(fake.arrived_at("/surplus").is_empty(), "nothing upstream");
    assert_eq!(limited(&site, "ProviderConnections"), Some(2.0));
    open.clear();
    wait::until_async("the places to be given back", || async {
        let mut again = Connection::open(&site, Some(&greedy.caller("e")), Protocol::Two).await;
        (again.get("/").await.expect("an answer").status() == 200).then_some(())
    })
    .await;
}

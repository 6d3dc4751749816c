//! An API server whose machine goes on while it does not: its kernel acknowledges whatever comes, and nothing is answered.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use http::Request;
use http_body_util::BodyExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::support::caller;
use crate::support::certificates::{Organisation, Papers};
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::{FakeApiServer, ok, silent};
use crate::support::measured::tell;
use crate::support::path::{Site, Way};
use crate::support::wait;

/// As the case says.
const NOTICED: Duration = Duration::from_secs(45);

/// A watch that tells nothing.
const WATCHED: &str = "/api/v1/events?watch=1";

/// Case C31: what waits for it ends in time, and what comes later takes a new connection.
pub(super) async fn api_server() {
    let fake = FakeApiServer::start(&["h2", "http/1.1"], |request| {
        let watched = WATCHED.starts_with(request.uri().path());
        Box::pin(async move {
            let mut answer = ok("{}");
            if watched {
                *answer.body_mut() = silent();
            }
            answer
        })
    })
    .await;
    let (stop, stopped) = watch::channel(0);
    let before = Passage::to(fake.address, stopped).await;
    let organisation = Organisation::new("waiting");
    let kubeconfig = fake.kubeconfig();
    let text = std::fs::read_to_string(&kubeconfig).expect("readable");
    let text = text.replace(&fake.address.to_string(), &before.address.to_string());
    std::fs::write(&kubeconfig, text).expect("written");
    let site = Site::start(Way::Direct, &kubeconfig, &[&organisation]);
    let papers = organisation.caller("a");
    await_both_kinds(&site, &papers).await;
    let mut other = Connection::open(&site, Some(&papers), Protocol::One).await;
    let watching = other.get(WATCHED).await.expect("an answer");

    stop.send_replace(1);
    let begun = Instant::now();
    let asking = PROTOCOLS.into_iter().flat_map(|protocol| {
        [Request::get("/api/v1/pods"), Request::post("/api/v1/pods")]
            .map(|request| ask(&site, &papers, protocol, request))
    });
    let ended = watching.into_body().collect();
    let all = Box::pin(async { tokio::join!(join_all(asking), ended) });
    let all = tokio::time::timeout(NOTICED, all).await;
    let (answers, watched) = all.expect("all of it is over in time");
    assert!(watched.is_err(), "what was cut does not look whole");
    for (method, status) in &answers {
        // A read may have been asked again where it was answered; the rest may have been executed.
        let read_again = method == "GET" && *status == 200;
        assert!(*status >= 500 || read_again, "{answers:?}");
    }
    tell(&format!(
        "stopped API server: what waited was over after {:?}: {answers:?}",
        begun.elapsed()
    ));
    for protocol in PROTOCOLS {
        let after = ask(&site, &papers, protocol, Request::get("/api/v1/pods"));
        assert_eq!(after.await.1, 200, "over a new connection");
    }
}

/// Waits until plain reads have a connection of their own beside those that everything else shares.
async fn await_both_kinds(site: &Site, papers: &Papers) {
    wait::until_async("connections of both kinds", || async {
        let read = ask(site, papers, Protocol::One, Request::get("/api/v1/pods"));
        assert_eq!(read.await.1, 200);
        let page = site.exit.metrics();
        let mut kinds = page
            .lines()
            .filter(|line| line.starts_with("gangplank_upstream_connections{"));
        let open = kinds.clone().count() > 1 && kinds.all(|line| !line.ends_with(" 0"));
        open.then_some(())
    })
    .await;
}

async fn ask(
    site: &Site,
    papers: &Papers,
    protocol: Protocol,
    request: http::request::Builder,
) -> (String, u16) {
    let mut connection = Connection::open(site, Some(papers), protocol).await;
    let request = request.body(caller::body("")).expect("a request");
    let method = request.method().to_string();
    let answer = connection.send(request).await.expect("an answer");
    (method, answer.status().as_u16())
}

/// A way to the server on which whatever was connected before a stop stands still from then on.
struct Passage {
    address: SocketAddr,
}

impl Passage {
    async fn to(server: SocketAddr, stopped: watch::Receiver<u32>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut stopped = stopped.clone();
                stopped.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(server).await.expect("it listens");
                    tokio::select! {
                        // How it ends is the two sides' affair.
                        _ended = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _stopped = stopped.changed() => {
                            // Both stay open, and nothing passes any more.
                            std::future::pending::<()>().await;
                        }
                    }
                });
            }
        });
        Self { address }
    }
}

//! An API server that does not answer, in whichever way, is told to callers as that, before they give up themselves.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use http::Request;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::caller;
use crate::support::certificates::{Authority, Organisation, Papers};
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::{TOKEN, write_kubeconfig};
use crate::support::own_answer::{self, OwnAnswer};
use crate::support::path::{Site, WAYS};

/// Case C21: it takes the connection and says nothing, or the connection is never made; plain requests and an upgrade,
/// each told within the 10 s after which a person believes that it hangs.
#[tokio::test(flavor = "multi_thread")]
async fn wherever_it_falls_silent() {
    let organisation = Organisation::new("acme");
    let papers = organisation.caller("a");
    let mute = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mute_address = mute.local_addr().expect("an address");
    let hole = BlackHole::dig().await;
    let upstreams = [upstream_at(mute_address), upstream_at(hole.address)];
    let sites: Vec<Site> = upstreams
        .iter()
        .zip(WAYS)
        .map(|(folder, way)| Site::start(way, &folder.path().join("kubeconfig"), &[&organisation]))
        .collect();
    let upgrade = Request::post("/api/v1/namespaces/a/pods/b/exec")
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1");
    let mut asking = Vec::new();
    for site in &sites {
        for protocol in PROTOCOLS {
            asking.push(ask(site, &papers, protocol, Request::get("/api")));
        }
    }
    asking.push(ask(&sites[0], &papers, Protocol::One, upgrade));
    for told in join_all(asking).await {
        assert_eq!(told.code, 503, "{told:?}");
        assert!(told.class.starts_with("Upstream"), "{told:?}");
    }
}

async fn ask(
    site: &Site,
    papers: &Papers,
    protocol: Protocol,
    request: http::request::Builder,
) -> OwnAnswer {
    let mut connection = Connection::open(site, Some(papers), protocol).await;
    let request = request.body(caller::body("")).expect("a request");
    own_answer::read(connection.send(request).await.expect("an answer")).await
}

/// A folder with a kubeconfig for whatever is at that address.
fn upstream_at(address: SocketAddr) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("nobody's CA");
    write_kubeconfig(
        folder.path(),
        address,
        &authority,
        &format!("token: {TOKEN}"),
    );
    folder
}

/// An address from which no SYN is answered: its queue is full, and nobody takes anything out of it.
struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    async fn dig() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind("127.0.0.1:0".parse().expect("an address"))
            .expect("a port");
        let listener = socket.listen(1).expect("it listens");
        let address = listener.local_addr().expect("an address");
        let mut queue = Vec::new();
        // A connection over loopback is there at once, or not at all.
        let moment = Duration::from_millis(500);
        while let Ok(connected) = tokio::time::timeout(moment, TcpStream::connect(address)).await {
            queue.push(connected.expect("a place in the queue"));
            assert!(queue.len() < 64, "its queue has an end");
        }
        Self {
            address,
            _listener: listener,
            _queue: queue,
        }
    }
}

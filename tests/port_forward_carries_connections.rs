//! `kubectl port-forward` over WebSocket and over SPDY carries TCP connections, fifty at a time.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::certificates::Organisation;
use crate::support::path::{Site, WAYS};
use crate::support::{cluster, held, pod, wait};

/// A quarter of a megabyte, there and back.
const LENGTH: usize = 256 << 10;

/// Case D1, port-forward: `SPDY/3.1` and `SPDY/3.1+portforward.k8s.io` in WebSocket.
#[tokio::test(flavor = "multi_thread")]
async fn over_both_protocols() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("forwarders");
    cluster.namespace("port-forward");
    cluster.make_namespace_admin(&organisation.username("a"), "port-forward");
    pod::run(cluster, "port-forward", "box");
    let port = held::echo_server().await.port();
    for way in WAYS {
        let site = Site::before(cluster, way, &[&organisation]);
        let kubectl = site.kubectl(&organisation.caller("a"));
        for kubectl in [kubectl.clone(), kubectl.over_spdy()] {
            let forward = held::forward(&kubectl, "port-forward", port);
            let exchanges = (1..=50).map(|number| exchange(forward.local, number));
            futures_util::future::join_all(exchanges).await;
        }
    }
}

async fn exchange(local: SocketAddr, number: u8) {
    let sent: Vec<u8> = (0..LENGTH)
        .map(|at| u8::try_from(at % 251).expect("below 251") ^ number)
        .collect();
    let socket = TcpStream::connect(local).await.expect("kubectl listens");
    let (mut read, mut write) = socket.into_split();
    let mut back = vec![0; LENGTH];
    let both = async { tokio::join!(write.write_all(&sent), read.read_exact(&mut back)) };
    let (written, read) = wait::within("the echo through the port-forward", both).await;
    written.expect("the port-forward takes it all");
    read.expect("the port-forward gives it all back");
    assert!(back == sent, "it came back as it was");
}

//! Bodies of gigabytes, with one side that is slow, in bounded memory.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::caller::{self, AnyBody};
use crate::support::certificates::Organisation;
use crate::support::fake_api_server::{FakeApiServer, ok, whole};
use crate::support::held;
use crate::support::measured::tell;
use crate::support::noise::{BLOCK, Heard, Noise, digest_of};
use crate::support::path::{Site, Way};
use crate::support::{cluster, pod};

const GIB: usize = 1 << 30;

/// What a process may grow by while that passes, as the cases say.
const GROWTH_KIB: u64 = 64 << 10;

/// A reader that is slow pauses after so much, for so long: 16 MiB in a second at most.
const GULP: usize = 4 << 20;
const PAUSE: Duration = Duration::from_millis(250);

/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(200);

/// One block, made once.
static BLOCKS: LazyLock<Vec<u8>> = LazyLock::new(|| Noise::new(1).next_block().to_vec());

/// The block with its number in front, so that no two are alike.
fn block(number: usize) -> Bytes {
    let mut block = BLOCKS.clone();
    block[..8].copy_from_slice(&number.to_le_bytes());
    block.into()
}

fn digest_of_blocks(length: usize) -> Vec<u8> {
    let mut digest = Context::new(&SHA256);
    (0..length / BLOCK).for_each(|number| digest.update(&block(number)));
    digest.finish().as_ref().to_vec()
}

/// Reads slowly to the end.
async fn digest_of_slow(mut body: Incoming) -> Vec<u8> {
    let (mut digest, mut gulp) = (Context::new(&SHA256), 0);
    while let Some(frame) = body.frame().await {
        let data = frame.expect("a whole body").into_data().expect("data");
        digest.update(&data);
        gulp += data.len();
        if gulp >= GULP {
            gulp = 0;
            tokio::time::sleep(PAUSE).await;
        }
    }
    digest.finish().as_ref().to_vec()
}

/// Case C8: 1 GiB up, to an API server that reads slowly.
pub(super) async fn up_slowly() {
    let uploaded = Arc::new(Mutex::new(Vec::new()));
    let at_server = Arc::clone(&uploaded);
    let fake = FakeApiServer::start(&["h2", "http/1.1"], move |request| {
        let uploaded = Arc::clone(&at_server);
        Box::pin(async move {
            if request.method() != "POST" {
                return ok("{}");
            }
            let digest = digest_of_slow(request.into_body()).await;
            *uploaded.lock() = digest;
            Response::new(whole("taken"))
        })
    })
    .await;
    let (site, mut sender) = way_to(&fake).await;
    let blocks = stream::iter(0..GIB / BLOCK);
    let blocks = blocks.map(|number| Ok::<_, Infallible>(Frame::data(block(number))));
    let request = Request::post(format!("https://{}/upload", site.entrance))
        .body(BodyExt::boxed(StreamBody::new(blocks)))
        .expect("a request");
    let (answer, most) = watched(&site, sender.send_request(request)).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert!(*uploaded.lock() == digest_of_blocks(GIB));
    tell_growth("1 GiB up to a slow API server", &most);
}

/// Case C8: 2 GiB of a log, to a caller that reads slowly.
pub(super) async fn down_slowly() {
    let fake = FakeApiServer::start(&["h2", "http/1.1"], |request| {
        let log = request.uri().path().ends_with("/log");
        Box::pin(async move {
            if !log {
                return ok("{}");
            }
            let blocks = stream::iter(0..2 * GIB / BLOCK);
            let blocks = blocks.map(|number| Ok(Frame::data(block(number))));
            Response::new(BodyExt::boxed(StreamBody::new(blocks)))
        })
    })
    .await;
    let (site, mut sender) = way_to(&fake).await;
    let request = Request::get(format!(
        "https://{}/api/v1/namespaces/a/pods/b/log?follow=true",
        site.entrance
    ));
    let request = request.body(caller::body("")).expect("a request");
    let reading = async {
        let answer = sender.send_request(request).await.expect("an answer");
        digest_of_slow(answer.into_body()).await
    };
    let (digest, most) = watched(&site, reading).await;
    assert!(digest == digest_of_blocks(2 * GIB));
    tell_growth("2 GiB of a log to a slow caller", &most);
}

/// Case D15: 1 GiB there and back through one port-forward of kubectl's.
pub(super) async fn through_one_forward() {
    const NAMESPACE: &str = "one-forward";
    let cluster = cluster::shared();
    let organisation = Organisation::new("movers");
    cluster.namespace(NAMESPACE);
    cluster.make_namespace_admin(&organisation.username("a"), NAMESPACE);
    pod::run(cluster, NAMESPACE, "box");
    let site = Site::before(cluster, Way::Tunnel, &[&organisation]);
    let port = held::echo_server().await.port();
    let kubectl = site.kubectl(&organisation.caller("a"));
    let forward = held::forward(&kubectl, NAMESPACE, port);
    let socket = TcpStream::connect(forward.local).await;
    let (mut read, mut write) = socket.expect("kubectl listens").into_split();
    let both = async {
        let writing = async {
            Noise::new(3)
                .write_to(&mut write, GIB)
                .await
                .expect("it takes all");
            write.flush().await.expect("it takes all");
        };
        tokio::join!(writing, Heard::from(&mut read, GIB)).1
    };
    let (heard, most) = watched(&site, both).await;
    assert_eq!(heard.length, GIB, "{:?}", heard.end_kind());
    assert!(heard.digest == digest_of(3, GIB));
    tell_growth("1 GiB there and back through one port-forward", &most);
}

/// A tunnel before that server, and a caller's connection through it.
async fn way_to(fake: &FakeApiServer) -> (Site, SendRequest<AnyBody>) {
    let organisation = Organisation::new("movers");
    let site = Site::start(Way::Tunnel, &fake.kubeconfig(), &[&organisation]);
    let stream = caller::board(&site, Some(&organisation.caller("a")), &["h2"]).await;
    let sender = caller::http2_over(stream.expect("the handshake")).await;
    (site, sender)
}

/// What relay and exit have grown by at most, in KiB, while that ran.
async fn watched<T>(site: &Site, running: impl Future<Output = T>) -> (T, [u64; 2]) {
    let relay = site.relay.as_ref().expect("a tunnel has a relay");
    let resident = || [relay.process.resident_kib(), site.exit.resident_kib()];
    let before = resident();
    let mut most = [0; 2];
    let mut running = pin!(running);
    loop {
        let ended = tokio::time::timeout(SAMPLE, &mut running).await;
        for ((most, now), before) in most.iter_mut().zip(resident()).zip(before) {
            *most = now.saturating_sub(before).max(*most);
        }
        if let Ok(ended) = ended {
            return (ended, most);
        }
    }
}

fn tell_growth(what: &str, [relay, exit]: &[u64; 2]) {
    tell(&format!(
        "{what}: the relay has grown by {relay} KiB at most, the exit by {exit} KiB"
    ));
    assert!(*relay < GROWTH_KIB && *exit < GROWTH_KIB, "{what}");
}

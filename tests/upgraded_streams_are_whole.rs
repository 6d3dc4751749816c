//! What goes through an upgraded connection arrives whole, in both directions at once, over SPDY and WebSocket.

use aws_lc_rs::digest::{Context, SHA256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::support::certificates::Organisation;
use crate::support::path::{Site, WAYS, Way};
use crate::support::raw_api_server::RawApiServer;
use crate::support::wire::{self, Wire};
use crate::support::{cluster, pod, wait};

/// In each direction, on each way.
const MUCH: usize = 50 << 20;

/// Through kubectl and a process in a pod.
const SOME: usize = 4 << 20;

/// Case D1: 50 MiB each way at the same time; the hashes are equal.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_mebibytes_each_way() {
    let (organisation, raw) = (Organisation::new("acme"), RawApiServer::start().await);
    for (way, protocol) in WAYS.into_iter().zip(["SPDY/3.1", "websocket"]) {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        let mut wire = Wire::open(&site, &organisation.caller("a")).await;
        wire.say(format!(
            "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        ))
        .await;
        let mut asked = raw.asked().await;
        let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade";
        asked
            .wire
            .say(format!("{switch}\r\nUpgrade: {protocol}\r\n\r\n"))
            .await;
        assert_eq!(wire::status(&wire.head().await), 101, "{way:?}");
        let (at_caller, at_server) = (wire.into_stream(), asked.wire.into_stream());
        let both = async { tokio::join!(exchange(at_caller, 1), exchange(at_server, 2)) };
        let (caller_got, server_got) = wait::within("50 MiB each way", both).await;
        assert!(
            caller_got == digest_of(2),
            "{way:?}: the caller got what the server sent"
        );
        assert!(
            server_got == digest_of(1),
            "{way:?}: the server got what the caller sent"
        );
    }
}

/// Case D1 with a person's tools: exec into a pod over WebSocket and SPDY, standard input and output whole.
#[test]
fn kubectl_exec() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("executors");
    cluster.namespace("exec-whole");
    cluster.make_namespace_admin(&organisation.username("a"), "exec-whole");
    pod::run(cluster, "exec-whole", "box");
    let sent: Vec<u8> = Noise::new(3).take(SOME).collect();
    for way in WAYS {
        let site = Site::before(cluster, way, &[&organisation]);
        let kubectl = site.kubectl(&organisation.caller("a"));
        for (name, kubectl) in [
            ("WebSocket", kubectl.clone()),
            ("SPDY", kubectl.over_spdy()),
        ] {
            let said = kubectl.with_input(
                &["-n", "exec-whole", "exec", "-i", "box", "--", "cat"],
                &sent,
            );
            let said = said.expect_success();
            assert!(
                said.out == sent,
                "{way:?} {name}: {} of {} bytes came back",
                said.out.len(),
                sent.len()
            );
            let failed = kubectl.run(&[
                "-n",
                "exec-whole",
                "exec",
                "box",
                "--",
                "sh",
                "-c",
                "echo out; exit 7",
            ]);
            assert_eq!(
                (failed.code, failed.text().as_str()),
                (7, "out\n"),
                "{way:?} {name}: {}",
                failed.err
            );
        }
    }
}

/// Case D1: exec over WebSocket in each of the protocols that clients of the last years offer, answered with exactly it.
#[tokio::test(flavor = "multi_thread")]
async fn exec_in_each_protocol_over_websocket() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("typists");
    cluster.namespace("websocket-exec");
    cluster.make_namespace_admin(&organisation.username("a"), "websocket-exec");
    pod::run(cluster, "websocket-exec", "box");
    for way in WAYS {
        let site = Site::before(cluster, way, &[&organisation]);
        for protocol in ["v5.channel.k8s.io", "v4.channel.k8s.io"] {
            let mut wire = Wire::open(&site, &organisation.caller("a")).await;
            wire.say(format!(
                "GET /api/v1/namespaces/websocket-exec/pods/box/exec?command=echo&command=typed&stdout=true HTTP/1.1\r\n\
                 Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
            ))
            .await;
            let head = wire.head().await;
            assert_eq!(wire::status(&head), 101, "{way:?} {protocol}: {head}");
            assert_eq!(wire::values(&head, "sec-websocket-protocol"), [protocol]);
            let said = String::from_utf8_lossy(&wire.rest().await).into_owned();
            assert!(said.contains("typed\n"), "{way:?} {protocol}: {said:?}");
            assert!(said.contains("\"status\":\"Success\""), "{said:?}");
        }
    }
}

/// Case D1: a watch over WebSocket with an `Origin`, as a browser makes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_over_websocket() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("browsers");
    cluster.namespace("websocket-watch");
    cluster.make_namespace_admin(&organisation.username("a"), "websocket-watch");
    let site = Site::before(cluster, Way::Tunnel, &[&organisation]);
    let mut wire = Wire::open(&site, &organisation.caller("a")).await;
    wire.say(
        "GET /api/v1/namespaces/websocket-watch/serviceaccounts?watch=1 HTTP/1.1\r\nHost: a\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://a\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await;
    let head = wire.head().await;
    assert_eq!(wire::status(&head), 101, "{head}");
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\"ADDED\"") {
        seen.extend(wire.take(1).await);
    }
}

/// Sends [`MUCH`] bytes of one noise while it reads to the end; answers the digest of what it read.
async fn exchange(stream: impl AsyncRead + AsyncWrite, seed: u64) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let sending = async {
        let mut noise = Noise::new(seed);
        for _ in 0..MUCH / CHUNK {
            write
                .write_all(&noise.chunk())
                .await
                .expect("the stream is there");
        }
        write.shutdown().await.expect("our half ends");
    };
    let reading = async {
        let (mut hash, mut chunk) = (Context::new(&SHA256), vec![0; CHUNK]);
        loop {
            match read.read(&mut chunk).await.expect("the stream is there") {
                0 => return hash.finish().as_ref().to_vec(),
                length => hash.update(&chunk[..length]),
            }
        }
    };
    tokio::join!(sending, reading).1
}

fn digest_of(seed: u64) -> Vec<u8> {
    let (mut hash, mut noise) = (Context::new(&SHA256), Noise::new(seed));
    for _ in 0..MUCH / CHUNK {
        hash.update(&noise.chunk());
    }
    hash.finish().as_ref().to_vec()
}

const CHUNK: usize = 64 << 10;

/// Bytes that do not compress and do not repeat (xorshift64), eight at a time.
struct Noise(u64);

impl Noise {
    const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn step(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn chunk(&mut self) -> Vec<u8> {
        (0..CHUNK / 8)
            .flat_map(|_| self.step().to_le_bytes())
            .collect()
    }
}

impl Iterator for Noise {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        Some(self.step().to_le_bytes()[3])
    }
}

//! The relay reads the name that is asked for and nothing else: it changes no byte, it cannot pass for a cluster,
//! it holds no key or authority of an exit, and it writes down no path and no user.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{fs, io};

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::support::agent_by_hand::AgentByHand;
use crate::support::certificates::{Authority, Organisation, Papers};
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::{self, FakeApiServer};
use crate::support::kubectl::Kubectl;
use crate::support::path::{DOMAIN, Site, Way};
use crate::support::{caller, cluster, wait};

/// What passed a tap, each way.
#[derive(Debug, Clone, Default)]
struct Tap {
    out: Arc<Mutex<Vec<u8>>>,
    back: Arc<Mutex<Vec<u8>>>,
}

/// A TCP hop before the relay that keeps every byte it passes on.
async fn tapped(relay: SocketAddr, tap: Tap) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("the caller");
        let onward = TcpStream::connect(relay).await.expect("the relay");
        let (caller_read, caller_write) = socket.into_split();
        let (relay_read, relay_write) = onward.into_split();
        tokio::join!(
            pass(caller_read, relay_write, tap.out),
            pass(relay_read, caller_write, tap.back)
        );
    });
    address
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    kept: Arc<Mutex<Vec<u8>>>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length) = from.read(&mut buffer).await {
        if length == 0 || to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
        kept.lock().extend_from_slice(&buffer[..length]);
    }
    drop(to.shutdown().await);
}

fn hash(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

/// A stream that keeps what is read from it and written to it.
struct Kept<S> {
    stream: S,
    tap: Tap,
}

impl<S: AsyncRead + Unpin> AsyncRead for Kept<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.tap
            .out
            .lock()
            .extend_from_slice(&buffer.filled()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Kept<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(length)) = polled {
            self.tap.back.lock().extend_from_slice(&bytes[..length]);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Ends one caller's TLS at the exit's hand-over and sends back what comes, until the caller has finished.
async fn echo(exit: &AgentByHand, papers: &Papers, tap: Tap) {
    let (_, stream) = exit.caller().await;
    let stream = Kept { stream, tap };
    let tls = fake_api_server::acceptor(papers, &[])
        .accept(stream)
        .await
        .expect("the handshake is with the caller");
    let (mut read, mut write) = tokio::io::split(tls);
    tokio::io::copy(&mut read, &mut write)
        .await
        .expect("the caller's bytes");
    write.shutdown().await.expect("our end");
}

/// Case E1: the bytes at the caller's socket and at the exit's hand-over are the same, both ways.
#[tokio::test(flavor = "multi_thread")]
async fn no_byte_is_changed() {
    let authority = Authority::new("exit CA");
    let exit = AgentByHand::start("harbour.acme").await;
    let (at_caller, at_exit) = (Tap::default(), Tap::default());
    let before = tapped(exit.relay.address, at_caller.clone()).await;
    let papers = authority.exit("harbour.acme", DOMAIN);
    let sent: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let calling = async {
        let config = caller::config(&authority, None, &[]);
        let stream = caller::connect(before, &exit.entrance, config)
            .await
            .expect("the handshake is with the exit");
        let (mut read, mut write) = tokio::io::split(stream);
        let mut echoed = vec![0; sent.len()];
        let (written, read) = tokio::join!(write.write_all(&sent), read.read_exact(&mut echoed));
        written.expect("sent");
        read.expect("echoed");
        write.shutdown().await.expect("finished");
        assert!(echoed == sent, "the exit's TLS works end to end");
    };
    let all = async { tokio::join!(calling, echo(&exit, &papers, at_exit.clone())) };
    wait::within("a mebibyte there and back", Box::pin(all)).await;
    let bytes = |tap: &Arc<Mutex<Vec<u8>>>| tap.lock().clone();
    wait::until("the last byte at the caller", || {
        (bytes(&at_caller.back).len() >= bytes(&at_exit.back).len()).then_some(())
    });
    for (way, caller, exit) in [
        ("caller to exit", bytes(&at_caller.out), bytes(&at_exit.out)),
        (
            "exit to caller",
            bytes(&at_caller.back),
            bytes(&at_exit.back),
        ),
    ] {
        assert!(caller.len() > sent.len(), "{way}: the tap saw it all");
        assert!(
            hash(&caller) == hash(&exit),
            "{way}: {} and {} bytes",
            caller.len(),
            exit.len()
        );
    }
}

/// A relay that answers with a certificate of its own is refused by kubectl before any request.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_in_the_clusters_place_is_refused() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("careful");
    let site = Site::before(cluster, Way::Tunnel, &[&organisation]);
    let impostor = FakeApiServer::echo().await;
    let kubeconfig = site.kubeconfig(&organisation.caller("a"));
    let honest = fs::read_to_string(&kubeconfig).expect("a kubeconfig");
    let lying = honest.replace(&site.address.to_string(), &impostor.address.to_string());
    assert_ne!(honest, lying, "the address was exchanged");
    fs::write(&kubeconfig, lying).expect("written");
    let kubectl = Kubectl::new(&cluster.facts.kubectl, &kubeconfig);
    let said = tokio::task::spawn_blocking(move || kubectl.run(&["get", "pods"]))
        .await
        .expect("no panic");
    assert_ne!(said.code, 0);
    assert!(
        said.err.contains("certificate"),
        "kubectl says why: {}",
        said.err
    );
    assert!(impostor.arrived().is_empty(), "and sent nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_nothing_of_the_exit_and_writes_down_nothing_of_the_content() {
    let organisation = Organisation::new("discreet");
    let server = FakeApiServer::echo().await;
    let site = Site::start(Way::Tunnel, &server.kubeconfig(), &[&organisation]);
    let papers = organisation.caller("ns/secret/id/name");
    let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
    connection
        .fetch("/api/v1/namespaces/hush/secrets/quiet?watch=0")
        .await
        .expect("an answer");
    let relay = site.relay.as_ref().expect("a relay");
    for file in fs::read_dir(relay.folder()).expect("its folder") {
        let file = file.expect("a file").path();
        let content = fs::read_to_string(&file).unwrap_or_default();
        for (what, secret) in [
            ("the exit's authority", site.authority().pem()),
            ("an organisation's", organisation.authority.pem()),
        ] {
            assert!(
                !content.contains(secret.trim()),
                "{} has {what}",
                file.display()
            );
        }
    }
    let written = format!(
        "{}{}{}",
        relay.process.log(),
        relay.process.metrics(),
        relay.process.status()
    );
    for word in ["hush", "quiet", "secrets", "discreet", "ns/secret", "/api"] {
        assert!(!written.contains(word), "the relay wrote down `{word}`");
    }
    assert!(written.contains("harbour.acme"), "but it knows its tunnel");
}

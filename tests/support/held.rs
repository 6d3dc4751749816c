//! Everything that a caller can keep open, each proven to be alive or seen to end: a kept-alive HTTP/1.1
//! connection, an HTTP/2 connection, a watch, an exec, a port-forward with a connection through it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::certificates::Organisation;
use super::cluster::Cluster;
use super::connection::{Connection, Protocol};
use super::kubectl::Kubectl;
use super::path::Site;
use super::running::Running;
use super::{pod, wait};

/// What one caller holds.
#[derive(Debug)]
pub(crate) struct Held {
    whose: String,
    place: Place,
    one: Connection,
    two: Connection,
    watch: Running,
    exec: Running,
    forward: Forward,
    forwarded: TcpStream,
}

/// Where the callers' things are: a namespace with a pod, and a server that echoes.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    cluster: &'static Cluster,
    namespace: String,
    echo: SocketAddr,
}

static MARKS: AtomicUsize = AtomicUsize::new(0);

impl Place {
    /// A namespace of that name with one pod; the organisations' caller `holder` may do everything in it.
    pub(crate) async fn new(
        cluster: &'static Cluster,
        namespace: &str,
        organisations: &[&Organisation],
    ) -> Self {
        cluster.namespace(namespace);
        for organisation in organisations {
            cluster.make_namespace_admin(&organisation.username("holder"), namespace);
        }
        pod::run(cluster, namespace, "box");
        Self {
            cluster,
            namespace: namespace.to_owned(),
            echo: echo_server().await,
        }
    }

    fn path(&self, further: &str) -> String {
        format!("/api/v1/namespaces/{}/configmaps{further}", self.namespace)
    }
}

impl Held {
    /// Opens all of it for the organisation's caller `holder`.
    pub(crate) async fn open(place: &Place, site: &Site, organisation: &Organisation) -> Self {
        let papers = organisation.caller("holder");
        let kubectl = site.kubectl(&papers);
        let namespace = place.namespace.as_str();
        let forward = forward(&kubectl, namespace, place.echo.port());
        let mut held = Self {
            whose: organisation.name.clone(),
            place: place.clone(),
            one: Connection::open(site, Some(&papers), Protocol::One).await,
            two: Connection::open(site, Some(&papers), Protocol::Two).await,
            watch: kubectl.start(&["get", "--raw", &place.path("?watch=1")]),
            exec: kubectl.start(&["-n", namespace, "exec", "-i", "box", "--", "cat"]),
            forwarded: TcpStream::connect(forward.local)
                .await
                .expect("kubectl listens"),
            forward,
        };
        held.assert_alive().await;
        held
    }

    /// Proves that each of them still works, on the same connections.
    pub(crate) async fn assert_alive(&mut self) {
        let mark = format!("mark-{}", MARKS.fetch_add(1, Ordering::SeqCst));
        let path = self.place.path("");
        let kept = self
            .one
            .fetch(&path)
            .await
            .expect("the HTTP/1.1 connection is kept");
        assert_eq!(kept.0, 200, "{}: {}", self.whose, kept.1);
        let kept = self
            .two
            .fetch(&path)
            .await
            .expect("the HTTP/2 connection is kept");
        assert_eq!(kept.0, 200, "{}: {}", self.whose, kept.1);
        self.place
            .cluster
            .admin(&["-n", &self.place.namespace, "create", "configmap", &mark]);
        self.watch.await_out(&mark);
        self.exec.say(&mark);
        self.exec.await_out(&mark);
        self.forwarded
            .write_all(mark.as_bytes())
            .await
            .expect("the port-forward is there");
        let mut back = vec![0; mark.len()];
        wait::within(
            "the echo through the port-forward",
            self.forwarded.read_exact(&mut back),
        )
        .await
        .expect("the port-forward is there");
        assert_eq!(back, mark.as_bytes());
    }

    /// Waits until each of them has ended.
    pub(crate) async fn await_end(&mut self) {
        self.one
            .await_close(&format!("{}, HTTP/1.1", self.whose))
            .await;
        self.two
            .await_close(&format!("{}, HTTP/2", self.whose))
            .await;
        self.watch.await_end();
        assert_ne!(
            self.exec.await_end(),
            0,
            "an exec that was cut has not succeeded"
        );
        let mut rest = Vec::new();
        // With an end or with an error, as kubectl likes.
        drop(
            wait::within(
                "the end of the forwarded connection",
                self.forwarded.read_to_end(&mut rest),
            )
            .await,
        );
        self.forward.kubectl.await_end();
    }
}

/// A running `kubectl port-forward`.
#[derive(Debug)]
pub(crate) struct Forward {
    /// kubectl.
    pub(crate) kubectl: Running,
    /// Where it listens.
    pub(crate) local: SocketAddr,
}

/// Forwards a port of the pod `box`, and waits until kubectl listens.
pub(crate) fn forward(kubectl: &Kubectl, namespace: &str, port: u16) -> Forward {
    let mut running = kubectl.start(&[
        "-n",
        namespace,
        "port-forward",
        "pod/box",
        &format!(":{port}"),
    ]);
    running.await_out(&format!(" -> {port}\n"));
    let said = running.out();
    let local = said
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .expect("it says where it listens");
    Forward {
        kubectl: running,
        local,
    }
}

/// A TCP server that sends back what it gets.
pub(crate) async fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = socket.split();
                // How it ends is the test's affair.
                drop(tokio::io::copy(&mut read, &mut write).await);
            });
        }
    });
    address
}

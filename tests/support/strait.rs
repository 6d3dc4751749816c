//! A way to a relay on which UDP is open or shut: what is sent while it is shut vanishes without a sign, as at
//! a firewall that drops.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::{Builder, Runtime};

/// A strait; closed when dropped.
#[derive(Debug)]
pub(crate) struct Strait {
    /// Where agents dial instead of the relay.
    pub(crate) address: SocketAddr,
    open: Arc<AtomicBool>,
    runtime: Option<Runtime>,
}

/// Attempts at a port that is free for TCP and for UDP.
const PORT_ATTEMPTS: usize = 16;

impl Strait {
    /// A way to `relay`, on which UDP is open or not.
    pub(crate) fn to(relay: SocketAddr, udp_open: bool) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (tcp, udp) = (0..PORT_ATTEMPTS)
            .find_map(|_| {
                let tcp = std::net::TcpListener::bind("127.0.0.1:0").ok()?;
                let udp = StdUdpSocket::bind(tcp.local_addr().ok()?).ok()?;
                Some((tcp, udp))
            })
            .expect("a port for both");
        let address = tcp.local_addr().expect("an address");
        let open = Arc::new(AtomicBool::new(udp_open));
        tcp.set_nonblocking(true).expect("a socket");
        udp.set_nonblocking(true).expect("a socket");
        let gate = Arc::clone(&open);
        runtime.spawn(async move {
            tokio::join!(carry_streams(tcp, relay), carry_datagrams(udp, relay, gate));
        });
        Self {
            address,
            open,
            runtime: Some(runtime),
        }
    }

    /// Opens the strait for UDP, or shuts it.
    pub(crate) fn let_udp_pass(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }
}

async fn carry_streams(listener: std::net::TcpListener, relay: SocketAddr) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((mut near, _)) = listener.accept().await {
        tokio::spawn(async move {
            if let Ok(mut far) = TcpStream::connect(relay).await {
                // How it ends is the business of the two.
                drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
            }
        });
    }
}

/// One socket towards the relay an agent, as a NAT has it.
async fn carry_datagrams(near: StdUdpSocket, relay: SocketAddr, open: Arc<AtomicBool>) {
    let near = Arc::new(UdpSocket::from_std(near).expect("a socket"));
    let mut onward: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut datagram = vec![0; 64 << 10];
    loop {
        let Ok((length, agent)) = near.recv_from(&mut datagram).await else {
            continue;
        };
        if !open.load(Ordering::SeqCst) {
            continue;
        }
        let far = match onward.entry(agent) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(unknown) => {
                let far = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"));
                far.connect(relay).await.expect("a relay");
                let back = (Arc::clone(&near), agent);
                tokio::spawn(carry_back(Arc::clone(&far), back, Arc::clone(&open)));
                Arc::clone(unknown.insert(far))
            }
        };
        // What the kernel does not take is lost, as on any network.
        drop(far.send(&datagram[..length]).await);
    }
}

async fn carry_back(
    far: Arc<UdpSocket>,
    (near, agent): (Arc<UdpSocket>, SocketAddr),
    open: Arc<AtomicBool>,
) {
    let mut datagram = vec![0; 64 << 10];
    loop {
        // A refusal that the kernel reports is for one datagram: the next may pass.
        let Ok(length) = far.recv(&mut datagram).await else {
            continue;
        };
        if open.load(Ordering::SeqCst) {
            drop(near.send_to(&datagram[..length], agent).await);
        }
    }
}

impl Drop for Strait {
    fn drop(&mut self) {
        // It may be dropped inside another runtime, which must not wait for this one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

//! A port that connections come to.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::accept::{Shortage, next};
use crate::keepalive::tune;

/// Connections that may wait for `accept`. A burst of a thousand callers while accepting pauses for a tenth
/// of a second fits four times; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// A port that connections come to. Dropping it closes the port, so that a client's next attempt goes to
/// the next address.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    shortage: Shortage,
}

impl Listener {
    /// Listens on `address`; `[::]` takes IPv4 too. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the address is taken, not ours, or not permitted.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // Who restarts does not wait for the connections of the last life to be forgotten.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket: StdListener = socket.into();
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: TcpListener::from_std(socket)?,
            shortage: Shortage::default(),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// When the operating system does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection, [tuned](tune), however long that lasts. `on_pause` is told of each pause that
    /// a shortage of descriptors or memory forces.
    ///
    /// Cancel safe: a connection is either returned or still in the kernel's queue.
    pub async fn accept(&mut self, on_pause: impl FnMut()) -> (TcpStream, SocketAddr) {
        let (socket, address) = next(&mut self.socket, &mut self.shortage, on_pause).await;
        if let Err(error) = tune(&socket) {
            // Whoever reads from it will meet the reason.
            tracing::debug!(client.addr = %address, %error, "a connection could not be tuned");
        }
        (socket, address)
    }
}

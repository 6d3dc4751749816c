//! The TCP port of the callers.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that may wait for `accept`. A burst of a thousand callers while the accept loop pauses
/// for a tenth of a second fits four times; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Listens on `address`; `[::]` takes IPv4 too. Must be called within a tokio runtime.
///
/// # Errors
///
/// When the address is taken, not ours, or not permitted.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A relay that restarts does not wait for the connections of its last life to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener: StdListener = socket.into();
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

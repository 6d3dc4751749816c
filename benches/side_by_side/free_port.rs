//! Ports for programs that cannot be given port 0.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::Context as _;

/// Ports tried until one is free for TCP and for UDP.
const TRIES: usize = 100;

/// A loopback address whose port nobody has now, neither TCP nor UDP.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    free_address_of(Ipv4Addr::LOCALHOST.into())
}

/// The same of a host's address.
pub(crate) fn free_address_of(host: IpAddr) -> anyhow::Result<SocketAddr> {
    for _ in 0..TRIES {
        let listener = TcpListener::bind((host, 0)).context("no TCP port is free")?;
        let address = listener.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    anyhow::bail!("no port is free for TCP and UDP both")
}

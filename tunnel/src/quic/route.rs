//! The route to a peer, as far as this host knows it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Bytes of the largest packet that leaves this host for `peer` in one piece; `None` where the system
/// does not say. Nothing is sent. What lies behind the first hop may carry less.
pub(super) fn mtu(peer: SocketAddr) -> Option<usize> {
    let mtu = look_up(SocketAddr::new(peer.ip().to_canonical(), peer.port()));
    if let Err(error) = &mtu {
        tracing::debug!(%peer, %error, "the route's MTU is not known");
    }
    mtu.ok()
}

/// Connecting a UDP socket chooses the route, no more.
fn look_up(peer: SocketAddr) -> io::Result<usize> {
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(peer)?;
    ask(&socket, peer)
}

#[cfg(target_os = "linux")]
fn ask(socket: &UdpSocket, peer: SocketAddr) -> io::Result<usize> {
    use rustix::net::sockopt::{ip_mtu, ipv6_mtu};

    let mtu = match peer {
        SocketAddr::V4(_) => ip_mtu(socket)?,
        SocketAddr::V6(_) => ipv6_mtu(socket)?,
    };
    usize::try_from(mtu).map_err(io::Error::other)
}

#[cfg(not(target_os = "linux"))]
fn ask(_socket: &UdpSocket, _peer: SocketAddr) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_host_carries_jumbo_packets_to_itself() {
        let plain = mtu((Ipv4Addr::LOCALHOST, 9).into());
        assert!(plain.is_some_and(|mtu| mtu > 9_000), "{plain:?}");
    }
}

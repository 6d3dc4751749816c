//! Connections without timeouts, whose far end must not vanish unnoticed.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Silence after which the far end is probed, and the time between probes. Short of the five minutes
/// after which common NATs and load balancers forget a connection.
const INTERVAL: Duration = Duration::from_secs(15);

/// Unanswered probes after which the far end has vanished: 75 s of silence in all. They are for connections on which nothing is under
/// way; what is under way the kernel sends again for as long as `net.ipv4.tcp_retries2` says, and who must not be missed for so long is
/// [followed](crate::Lookout).
const PROBES: u32 = 4;

/// Bytes that the kernel takes beyond what the far end has room for: 128 KiB. A far end that reads nothing
/// would otherwise have the kernel take megabytes for it, of what a stream's window was to bound; who reads
/// is not slowed down, since what is under way does not count.
const UNSENT: u32 = 128 << 10;

/// Small writes leave at once, little waits for who does not read, and a far end that has vanished while nothing was under way is noticed in 75 s
/// although nothing on the way has a timeout.
///
/// # Errors
///
/// When the socket is already dead, mostly.
pub fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    let keepalive = TcpKeepalive::new()
        .with_time(INTERVAL)
        .with_interval(INTERVAL)
        .with_retries(PROBES);
    socket.set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Listener;

    #[tokio::test]
    async fn accepted_and_dialled_sockets_probe_and_do_not_delay() {
        let mut listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_address().unwrap();
        let (dialled, (accepted, _)) = tokio::join!(
            async { TcpStream::connect(address).await.unwrap() },
            listener.accept(|| ())
        );
        tune(&dialled).unwrap();
        for stream in [dialled, accepted] {
            assert!(stream.nodelay().unwrap());
            let socket = SockRef::from(&stream);
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), INTERVAL);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), INTERVAL);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), PROBES);
        }
    }
}

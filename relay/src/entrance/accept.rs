//! Accepting callers' connections, and living through the times when the kernel has none to give.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// How long to leave `accept` alone after it failed for want of descriptors or memory. Ten tries a
/// second cost nothing, and a freed descriptor is used within a tenth of a second.
const PAUSE: Duration = Duration::from_millis(100);

/// Silence after which a caller's socket is probed, and the time between probes. Short of the five
/// minutes after which common NATs and load balancers forget a connection.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Unanswered probes after which the caller has vanished: 75 s of silence in all.
const KEEPALIVE_PROBES: u32 = 4;

/// Where connections come from. [`TcpListener`] in earnest; the tests script one that fails.
pub(crate) trait Arrivals {
    /// What arrives.
    type Caller;

    /// The next one.
    async fn arrival(&mut self) -> io::Result<(Self::Caller, SocketAddr)>;
}

impl Arrivals for TcpListener {
    type Caller = TcpStream;

    async fn arrival(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept().await
    }
}

/// What a failed `accept` means for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// This connection died before it was taken; the next may be fine. accept(2) asks to treat the
    /// pending network errors of the new socket like this.
    OfOneConnection,
    /// No descriptors, no memory, or something unforeseen: at once again would spin.
    OfTheHost,
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
            | ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
            | ErrorKind::PermissionDenied => Self::OfOneConnection,
            _ => Self::OfTheHost,
        }
    }
}

/// Takes the next connection, however long that lasts. `on_pause` is told of each pause that a
/// shortage forces.
///
/// Cancel safe: a connection is either returned or still in the kernel's queue.
pub(crate) async fn next_caller<A: Arrivals>(
    arrivals: &mut A,
    mut on_pause: impl FnMut(&io::Error),
) -> (A::Caller, SocketAddr) {
    loop {
        match arrivals.arrival().await {
            Ok(caller) => return caller,
            Err(error) => match Failure::of(&error) {
                Failure::OfOneConnection => {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                }
                Failure::OfTheHost => {
                    on_pause(&error);
                    sleep(PAUSE).await;
                }
            },
        }
    }
}

/// Small writes leave at once, and a caller that has vanished is noticed in 75 s although the stream
/// path has no timeouts.
///
/// # Errors
///
/// When the socket is already dead, mostly.
pub(crate) fn tune(caller: &TcpStream) -> io::Result<()> {
    caller.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE)
        .with_retries(KEEPALIVE_PROBES);
    SockRef::from(caller).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::time::Instant;

    use super::*;

    struct Script(VecDeque<io::Result<&'static str>>);

    impl Arrivals for Script {
        type Caller = &'static str;

        async fn arrival(&mut self) -> io::Result<(&'static str, SocketAddr)> {
            let address = SocketAddr::from(([192, 0, 2, 1], 4711));
            self.0.pop_front().unwrap().map(|caller| (caller, address))
        }
    }

    const EMFILE: i32 = 24;
    const ENOMEM: i32 = 12;
    const ECONNABORTED: i32 = 103;

    fn failed(code: i32) -> io::Result<&'static str> {
        Err(io::Error::from_raw_os_error(code))
    }

    #[tokio::test(start_paused = true)]
    async fn without_descriptors_accept_pauses_and_goes_on() {
        let mut script = Script(
            [failed(EMFILE), failed(ENOMEM), failed(EMFILE), Ok("a")]
                .into_iter()
                .collect(),
        );
        let started = Instant::now();
        let mut pauses = 0;
        let (caller, _) = next_caller(&mut script, |_| pauses += 1).await;
        assert_eq!((caller, pauses), ("a", 3));
        assert_eq!(started.elapsed(), PAUSE * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn connection_that_died_in_the_queue_delays_nobody() {
        let mut script = Script([failed(ECONNABORTED), Ok("a")].into_iter().collect());
        let started = Instant::now();
        let (caller, _) = next_caller(&mut script, |_| panic!("no pause")).await;
        assert_eq!(caller, "a");
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn caller_sockets_probe_and_do_not_delay() {
        let mut listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_client, (caller, _)) = tokio::join!(
            async { TcpStream::connect(address).await.unwrap() },
            next_caller(&mut listener, |_| ())
        );
        tune(&caller).unwrap();
        assert!(caller.nodelay().unwrap());
        let socket = SockRef::from(&caller);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
    }
}

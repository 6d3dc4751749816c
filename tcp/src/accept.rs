//! Accepting connections, and living through the times when the kernel has none to give.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// How long to leave `accept` alone after it failed for want of descriptors or memory. Ten tries a
/// second cost nothing, and a freed descriptor is used within a tenth of a second.
const PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from. [`TcpListener`] in earnest; the tests script one that fails.
pub(crate) trait Arrivals {
    /// What arrives.
    type Connection;

    /// The next one.
    async fn arrival(&mut self) -> io::Result<(Self::Connection, SocketAddr)>;
}

impl Arrivals for TcpListener {
    type Connection = TcpStream;

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

/// Says once that descriptors or memory ran out, and once that it is over.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    pauses: u64,
}

impl Shortage {
    fn noticed(&mut self, error: &io::Error) {
        if self.pauses == 0 {
            tracing::warn!(
                %error,
                "cannot accept connections for now; raise the limit of open files or add memory"
            );
        }
        self.pauses = self.pauses.saturating_add(1);
    }

    fn over(&mut self) {
        if self.pauses > 0 {
            tracing::info!(pauses = self.pauses, "accepting connections again");
            self.pauses = 0;
        }
    }
}

/// Takes the next connection, however long that lasts.
pub(crate) async fn next<A: Arrivals>(
    arrivals: &mut A,
    shortage: &mut Shortage,
    mut on_pause: impl FnMut(),
) -> (A::Connection, SocketAddr) {
    loop {
        match arrivals.arrival().await {
            Ok(connection) => {
                shortage.over();
                return connection;
            }
            Err(error) => match Failure::of(&error) {
                Failure::OfOneConnection => {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                }
                Failure::OfTheHost => {
                    shortage.noticed(&error);
                    on_pause();
                    sleep(PAUSE).await;
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::time::Instant;

    use super::*;

    struct Script(VecDeque<io::Result<&'static str>>);

    impl Arrivals for Script {
        type Connection = &'static str;

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
        let (mut shortage, mut pauses) = (Shortage::default(), 0);
        let (caller, _) = next(&mut script, &mut shortage, || pauses += 1).await;
        assert_eq!((caller, pauses), ("a", 3));
        assert_eq!(started.elapsed(), PAUSE * 3);
        assert_eq!(shortage.pauses, 0, "the next shortage is told of again");
    }

    #[tokio::test(start_paused = true)]
    async fn connection_that_died_in_the_queue_delays_nobody() {
        let mut script = Script([failed(ECONNABORTED), Ok("a")].into_iter().collect());
        let started = Instant::now();
        let mut shortage = Shortage::default();
        let (caller, _) = next(&mut script, &mut shortage, || panic!("no pause")).await;
        assert_eq!(caller, "a");
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}

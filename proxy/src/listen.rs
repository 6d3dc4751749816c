//! The exit without a tunnel: callers come over TCP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::exit::{Caller, Exit, Witness};

/// Idle time before a caller's host is asked whether it is there, and between the questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Unanswered questions before the connection is given up: one minute with the interval.
const KEEPALIVE_RETRIES: u32 = 4;

/// The first pause after a failure to accept: descriptors come free by the dozen a second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause: a listener that is out of descriptors still looks once a second.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// An exit on a TCP listener.
#[derive(Debug)]
pub struct TcpProxy {
    listener: TcpListener,
    exit: Exit,
    limit: Duration,
}

impl TcpProxy {
    /// Serves `exit` on `listener`; what still runs `limit` after a shutdown began is aborted.
    pub const fn new(listener: TcpListener, exit: Exit, limit: Duration) -> Self {
        Self {
            listener,
            exit,
            limit,
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts callers until `shutdown` is cancelled, then closes the listener, lets what runs
    /// finish, and aborts the rest at the limit, or as soon as `aborted` resolves.
    pub async fn run(self, shutdown: CancellationToken, aborted: impl Future<Output = ()>) {
        let Self {
            listener,
            exit,
            limit,
        } = self;
        let connections = TaskTracker::new();
        let abort = CancellationToken::new();
        accept_until(
            &listener,
            &shutdown,
            |stream, address| {
                let (exit, drain, abort) = (exit.clone(), shutdown.clone(), abort.clone());
                connections.spawn(async move {
                    let caller = Caller {
                        address,
                        said_by: Witness::Socket,
                        connection: Uuid::new_v4().as_u128(),
                        tunnel: None,
                    };
                    tokio::select! {
                        () = exit.serve(stream, caller, drain) => {}
                        () = abort.cancelled() => {}
                    }
                });
            },
            || exit.metrics().accept_faults.inc(),
        )
        .await;
        drop(listener);
        connections.close();
        tokio::select! {
            drained = timeout(limit, connections.wait()) => if drained.is_err() {
                tracing::warn!(
                    connections = connections.len(),
                    "drain limit reached: aborting"
                );
            },
            () = aborted => {}
        }
        abort.cancel();
        connections.wait().await;
    }
}

/// The accept loop. It outlives every failure to accept: a caller who left is nothing, and for want
/// of descriptors or memory it waits instead of spinning.
async fn accept_until(
    listener: &TcpListener,
    shutdown: &CancellationToken,
    mut begin: impl FnMut(TcpStream, SocketAddr),
    failed: impl Fn() -> u64,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                if pause > FIRST_PAUSE {
                    tracing::info!("accepting connections again");
                    pause = FIRST_PAUSE;
                }
                if let Err(error) = prepare(&stream) {
                    tracing::debug!(client.addr = %address, %error, "caller left at once");
                    continue;
                }
                begin(stream, address);
            }
            Err(error) if concerns_one_caller(&error) => {}
            Err(error) => {
                failed();
                if pause == FIRST_PAUSE {
                    tracing::warn!(%error, "cannot accept connections; waiting");
                }
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
            }
        }
    }
}

fn concerns_one_caller(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_INTERVAL)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn callers_are_accepted_with_nodelay_and_keepalive_until_the_shutdown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let begun = AtomicUsize::new(0);
        let accepting = accept_until(
            &listener,
            &shutdown,
            |stream, _| {
                assert!(stream.nodelay().unwrap());
                let socket = SockRef::from(&stream);
                assert!(socket.keepalive().unwrap());
                assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_INTERVAL);
                assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_RETRIES);
                if begun.fetch_add(1, Ordering::SeqCst) == 1 {
                    shutdown.cancel();
                }
            },
            || 0,
        );
        let callers = async {
            let first = TcpStream::connect(address).await.unwrap();
            let second = TcpStream::connect(address).await.unwrap();
            (first, second)
        };
        let (_callers, ()) = tokio::join!(callers, accepting);
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn only_a_callers_own_failure_is_passed_over() {
        assert!(concerns_one_caller(
            &io::ErrorKind::ConnectionAborted.into()
        ));
        // EMFILE and ENFILE, on every Unix.
        for code in [24, 23] {
            assert!(!concerns_one_caller(&io::Error::from_raw_os_error(code)));
        }
    }
}

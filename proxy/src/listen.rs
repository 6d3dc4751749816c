//! The exit without a tunnel: callers come over TCP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use gangplank_tcp::{Listener, Lookout};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::exit::{Caller, Exit, Witness};

/// An exit on a TCP listener.
#[derive(Debug)]
pub struct TcpProxy {
    listener: Listener,
    exit: Exit,
    limit: Duration,
}

impl TcpProxy {
    /// Serves `exit` on `listener`; what still runs `limit` after a shutdown began is aborted.
    pub const fn new(listener: Listener, exit: Exit, limit: Duration) -> Self {
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
        self.listener.local_address()
    }

    /// Accepts callers until `shutdown` is cancelled, then closes the listener, lets what runs
    /// finish, and aborts the rest at the limit, or as soon as `aborted` resolves.
    pub async fn run(self, shutdown: CancellationToken, aborted: impl Future<Output = ()>) {
        let Self {
            mut listener,
            exit,
            limit,
        } = self;
        let (connections, tasks) = (TaskTracker::new(), TaskTracker::new());
        let abort = CancellationToken::new();
        let lookout = Lookout::default();
        if let Ok(port) = listener.local_address() {
            let looking_out = lookout.clone().keep(port);
            tasks.spawn(abort.clone().run_until_cancelled_owned(looking_out));
        }
        loop {
            let next = listener.accept(|| {
                exit.metrics().accept_faults.inc();
            });
            let Some((stream, address)) = shutdown.run_until_cancelled(next).await else {
                break;
            };
            let (exit, drain, abort) = (exit.clone(), shutdown.clone(), abort.clone());
            let gone = lookout.follow(&stream);
            connections.spawn(async move {
                let caller = Caller {
                    address,
                    said_by: Witness::Socket,
                    connection: Uuid::new_v4().as_u128(),
                    tunnel: None,
                    relay: None,
                };
                tokio::select! {
                    () = exit.serve(stream, caller, drain) => {}
                    () = abort.cancelled() => {}
                    () = gone => tracing::debug!(client.addr = %address, "a caller is gone"),
                }
            });
        }
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
        tasks.close();
        tasks.wait().await;
    }
}

//! Where agents land that cannot use UDP: their connections come to the callers' port, at the relay's own
//! name, and ask for a tunnel.

use std::net::SocketAddr;
use std::sync::Arc;

use gangplank_pki::WithCauses;
use gangplank_tunnel::http2::RelayEndpoint;
use gangplank_tunnel::tls::{RelayTls, TlsError};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::tunnels::{HANDSHAKE_DEADLINE, Host};

/// Handshakes in flight, beyond which attempts are sent away: each costs a signature that callers wait for.
/// A thousand agents with four connections that return at once need some tens of seconds, by their back-off.
/// They are counted apart from those who come to join, so that neither keeps the other out.
const HANDSHAKES_IN_FLIGHT: usize = 256;

/// Where agents land.
#[derive(Debug)]
pub(crate) struct Landing {
    endpoint: RelayEndpoint,
    host: Host,
    handshakes: Semaphore,
    sessions: TaskTracker,
}

impl Landing {
    /// Sessions run in `sessions`.
    pub(crate) fn new(endpoint: RelayEndpoint, host: Host, sessions: TaskTracker) -> Self {
        Self {
            endpoint,
            host,
            handshakes: Semaphore::new(HANDSHAKES_IN_FLIGHT),
            sessions,
        }
    }

    /// Takes one connection whose first bytes were read already, of an agent that is at `remote`. Returns when its
    /// handshake is over; the session lives on by itself.
    pub(crate) async fn receive(
        self: &Arc<Self>,
        (socket, remote): (TcpStream, SocketAddr),
        first_bytes: Vec<u8>,
    ) {
        let counters = &self.host.counters;
        let Ok(_place) = self.handshakes.try_acquire() else {
            counters.tunnel_handshake("tcp", "Crowded");
            // If that fails the socket is dead already, and closing it does the same.
            drop(socket.set_zero_linger());
            return;
        };
        let deadline = Instant::now() + HANDSHAKE_DEADLINE;
        let completing = self
            .endpoint
            .complete((socket, remote), first_bytes, deadline);
        match completing.await {
            Ok(session) => {
                let landing = Arc::clone(self);
                drop(self.sessions.spawn(async move {
                    landing.host.take_in(Arc::new(session)).await;
                }));
            }
            Err(error) => {
                counters.tunnel_handshake("tcp", error.reason());
                tracing::debug!(
                    agent.addr = %remote,
                    reason = error.reason(),
                    error = %WithCauses(&error),
                    "an agent's handshake over TCP failed"
                );
            }
        }
    }

    /// Goes on with another identity; sessions that stand are not disturbed.
    pub(crate) fn replace_tls(&self, tls: RelayTls) -> Result<(), TlsError> {
        self.endpoint.replace_tls(tls)
    }

    /// Ends every session that is left.
    pub(crate) fn close(&self) {
        self.endpoint.close();
    }

    /// Waits until every agent was told.
    pub(crate) async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }
}

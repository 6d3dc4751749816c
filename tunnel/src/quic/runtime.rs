//! tokio below quinn, with two differences: what quinn drives waits its turn, and datagrams come one by one
//! ([`Apart`]).
//!
//! A connection has one task that makes datagrams of what its streams have written. What they wrote
//! together shall leave together, so that task stands behind all of them ([`LastInLine`]).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use gangplank_tcp::LastInLine;
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime};

use super::apart::Apart;

#[expect(
    clippy::disallowed_types,
    reason = "quinn's trait asks for it; tokio's clock is behind it, so a test can still pause it"
)]
type Moment = std::time::Instant;

/// tokio, whose tasks for quinn let others go first.
#[derive(Debug)]
pub(super) struct Considerate;

impl Runtime for Considerate {
    fn new_timer(&self, end: Moment) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(end)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        TokioRuntime.spawn(Box::pin(LastInLine::new(future)));
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(Apart::new(socket)))
    }

    fn now(&self) -> Moment {
        TokioRuntime.now()
    }
}

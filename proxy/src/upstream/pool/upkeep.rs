//! Looking after the pool's connections from when they are open until they end.

use std::sync::{Arc, Weak};

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{Duration, Instant, interval};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::roster::MemberId;
use crate::upstream::h1_connection::Http1Running;
use crate::upstream::h2_connection::Running;
use crate::upstream::metrics::ProtocolLabels;

/// One HTTP/2 connection as the pool knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Membership {
    pub(super) member: MemberId,
    /// The number of the client certificate that it was made with.
    pub(super) certificate: u64,
}

impl Shared {
    /// Retires a connection when another client certificate is to be shown: kube-apiserver looks at the
    /// certificate with every request, and a connection that is never idle would outlive it.
    async fn retire_if_outdated(self: Arc<Self>, connection: Membership) {
        if self.connector.reread_certificate().await != connection.certificate {
            self.lock().http2.retire(connection.member);
        }
    }
}

/// Runs a connection, closes it when it has been idle for long enough, and crosses it off at its end.
///
/// It holds the pool weakly: a pool that nobody uses any more takes its connections with it.
pub(super) async fn attend_http2(
    shared: Weak<Shared>,
    membership: Membership,
    mut running: Running,
) {
    let Some(upkeep) = Upkeep::of(&shared, ProtocolLabels::HTTP2) else {
        return;
    };
    let mut check = interval(upkeep.check);
    let mut retired = false;
    loop {
        tokio::select! {
            ended = running.until_retired() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "upstream connection ended");
                }
                break;
            }
            _ = check.tick() => {
                if let Some(shared) = shared.upgrade() {
                    shared.lock().http2.retire_if_idle(membership.member, upkeep.idle);
                    // Files may hang: the connection must not wait for them.
                    let tasks = shared.tasks.clone();
                    tasks.spawn(async move { shared.retire_if_outdated(membership).await });
                }
            }
            () = upkeep.stop.cancelled(), if !retired => {
                retired = true;
                retire(&shared, membership.member);
            }
        }
    }
    retire(&shared, membership.member);
}

/// The same for an HTTP/1.1 connection.
pub(super) async fn attend_http1(shared: Weak<Shared>, mut running: Box<Http1Running>) {
    let Some(upkeep) = Upkeep::of(&shared, ProtocolLabels::HTTP1) else {
        return;
    };
    let mut check = interval(upkeep.check);
    let mut stopped = false;
    loop {
        tokio::select! {
            ended = &mut running => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "upstream connection ended");
                }
                break;
            }
            _ = check.tick() => {}
            () = upkeep.stop.cancelled(), if !stopped => stopped = true,
        }
        if let Some(shared) = shared.upgrade() {
            let keep = |since: &Instant| !stopped && since.elapsed() < upkeep.idle;
            shared.lock().idle_http1.retain(|(_, since)| keep(since));
        }
    }
    if let Some(shared) = shared.upgrade() {
        let mut state = shared.lock();
        state.http1_open = state.http1_open.saturating_sub(1);
    }
}

/// What the task of a connection needs, and its place in the count of connections.
struct Upkeep {
    check: Duration,
    idle: Duration,
    stop: CancellationToken,
    connections: Gauge,
}

impl Upkeep {
    fn of(shared: &Weak<Shared>, protocol: ProtocolLabels) -> Option<Self> {
        let shared = shared.upgrade()?;
        let pace = shared.connector.pace();
        let connections = shared.metrics.connections.get_or_create_owned(&protocol);
        connections.inc();
        Some(Self {
            check: pace.idle_check,
            idle: pace.idle,
            stop: shared.stop.clone(),
            connections,
        })
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.connections.dec();
    }
}

fn retire(shared: &Weak<Shared>, member: MemberId) {
    if let Some(shared) = shared.upgrade() {
        shared.lock().http2.retire(member);
    }
}

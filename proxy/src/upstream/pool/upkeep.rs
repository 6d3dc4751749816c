//! Looking after the pool's connections from when they are open until they end.

use std::sync::{Arc, Weak};

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{Duration, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::roster::MemberId;
use super::{Shared, State};
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

impl Shared {
    /// Has someone look after the idle HTTP/1.1 connections for as long as there are some: they have no
    /// task that would notice their end.
    pub(super) fn sweep_idle(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.swept, true) {
            self.tasks.spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Lets go of those that were idle for long enough, are closed, or show an outdated certificate;
    /// whether any is left.
    fn sweep_once(&self, certificate: u64) -> bool {
        let (idle, stopped) = (self.pace.idle, self.stop.is_cancelled());
        let mut state = self.lock();
        state.idle_http1.retain_mut(|(connection, since)| {
            !stopped
                && since.elapsed() < idle
                && connection.certificate() == certificate
                && connection.is_vacant()
        });
        state.swept = !state.idle_http1.is_empty();
        state.swept
    }
}

async fn sweep(shared: Weak<Shared>) {
    loop {
        let Some((check, stop)) = shared
            .upgrade()
            .map(|shared| (shared.pace.idle_check, shared.stop.clone()))
        else {
            return;
        };
        let _stopped = stop.run_until_cancelled(sleep(check)).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let certificate = shared.connector.reread_certificate().await;
        if !shared.sweep_once(certificate) {
            return;
        }
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
        let pace = shared.pace;
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

//! Holds one session to one relay, and replaces it before it is gone.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use gangplank_config::reload::Report;
use gangplank_config::{Anchors, KeyPair, Reloaded};
use gangplank_pki::WithCauses;
use gangplank_pki::clock::Clock;
use gangplank_tunnel::quic::AgentEndpoint;
use gangplank_tunnel::wire::{Hello, SoftwareName};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::{self, GOOD_SESSION};
use crate::boarding::{Exit, Handoff};
use crate::dial::{DialError, Papers, Welcomed, dial};
use crate::metrics::Metrics;
use crate::settings::Relay;
use crate::tunnel::Tunnel;
use crate::view::{Berth, Standing};

/// Where random numbers come from.
pub(crate) type Random = fn() -> u64;

/// What every dialler of an agent has in common. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Crew {
    pub(crate) endpoint: AgentEndpoint,
    pub(crate) identity: Reloaded<KeyPair>,
    pub(crate) handoff: Arc<dyn Handoff>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Random,
    pub(crate) instance: u128,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
    pub(crate) drain_limit: Duration,
}

/// Holds one session to one relay.
pub(crate) struct Dialler {
    pub(crate) crew: Crew,
    pub(crate) relay: Relay,
    pub(crate) authorities: Reloaded<Anchors>,
    pub(crate) name: Arc<str>,
    pub(crate) berth: Berth,
    pub(crate) metrics: Metrics,
}

/// Why a session needs a successor.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// It has ended.
    Ended,
    /// The relay is going away. What runs there goes on until it is gone.
    RelayDrains,
    /// The agent's certificate was renewed. The old session serves until the new one stands; then
    /// the relay sends new callers to the new one and closes the old when its last caller left.
    Renewed,
}

/// The newest session, and what may call for the next.
struct Newest {
    /// Errs when the session's task is over.
    ended: oneshot::Receiver<()>,
    /// Cancelled when the relay drains.
    drain: CancellationToken,
    identity_generation: u64,
}

impl Dialler {
    /// Dials, and dials again, until the shutdown.
    pub(crate) async fn run(self) {
        let shutdown = self.crew.shutdown.clone();
        let mut attempt = 0;
        for epoch in 1.. {
            let Some(calm) = shutdown.run_until_cancelled(self.hold_session(epoch)).await else {
                return;
            };
            attempt = if calm { 0 } else { attempt };
            let delay = backoff::delay(attempt, (self.crew.random)());
            attempt = attempt.saturating_add(1);
            if shutdown.run_until_cancelled(sleep(delay)).await.is_none() {
                return;
            }
        }
    }

    /// Dials once, and returns when it is time to dial again; true when there is no hurry to be
    /// careful: the session held for long, or the cause is our own.
    async fn hold_session(&self, epoch: u64) -> bool {
        // Read before the identity: a renewal in between costs one dial too many, never one too few.
        let identity_generation = self.crew.identity.generation();
        match self.dial(epoch).await {
            Ok(welcomed) => {
                let begun = Instant::now();
                let turn = self
                    .next_turn(self.begin(welcomed, epoch, identity_generation))
                    .await;
                tracing::debug!(relay = %self.name, ?turn, epoch, "the relay is dialled again");
                turn == Turn::Renewed || begun.elapsed() >= GOOD_SESSION
            }
            Err(error) => {
                self.report(&error);
                false
            }
        }
    }

    async fn dial(&self, epoch: u64) -> Result<Welcomed, DialError> {
        let crew = &self.crew;
        let (identity, authorities) = (crew.identity.current(), self.authorities.current());
        let software = concat!("gangplank ", env!("CARGO_PKG_VERSION"));
        let hello = Hello {
            instance: crew.instance,
            slot: 0, // one connection a relay is enough until a core is full
            epoch,
            software: SoftwareName::fitting(software),
        };
        let papers = Papers {
            identity: &identity,
            authorities: &authorities,
            clock: &crew.clock,
        };
        let dialled = dial(&crew.endpoint, &self.relay, papers, hello).await;
        self.metrics
            .dial(dialled.as_ref().err().map_or("Accepted", DialError::reason));
        dialled
    }

    /// Takes a welcomed session into service, in a task of its own.
    fn begin(&self, welcomed: Welcomed, epoch: u64, identity_generation: u64) -> Newest {
        let Welcomed {
            session,
            welcome,
            reader,
            writer,
        } = welcomed;
        let entrance_domain = welcome.entrance_domain.as_str().to_owned();
        tracing::info!(
            relay = %self.name,
            relay.addr = %session.remote_address(),
            transport = session.transport(),
            epoch,
            domain = %entrance_domain,
            "tunnel up"
        );
        let (since, drain) = (Instant::now(), CancellationToken::new());
        self.metrics.tunnel_begun();
        self.berth.moor(Standing {
            session: Arc::clone(&session),
            epoch,
            entrance_domain,
            since,
        });
        let tunnel = Tunnel {
            session,
            exit: self.exit(&drain),
            tasks: self.crew.tasks.clone(),
            shutdown: self.crew.shutdown.clone(),
            limit: self.crew.drain_limit,
        };
        let (name, metrics, berth) = (
            Arc::clone(&self.name),
            self.metrics.clone(),
            self.berth.clone(),
        );
        let (ending, ended) = oneshot::channel::<()>();
        self.crew.tasks.spawn(async move {
            let closed = tunnel.serve(reader, writer).await;
            metrics.tunnel_ended(closed.reason());
            berth.cast_off(epoch, &closed);
            tracing::info!(relay = %name, epoch, reason = closed.reason(), %closed, "tunnel down");
            drop(ending);
        });
        Newest {
            ended,
            drain,
            identity_generation,
        }
    }

    fn exit(&self, drain: &CancellationToken) -> Exit {
        Exit {
            handoff: Arc::clone(&self.crew.handoff),
            relay: Arc::clone(&self.name),
            drain: drain.clone(),
            leaving: self.crew.shutdown.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// Waits until the newest session needs a successor.
    async fn next_turn(&self, newest: Newest) -> Turn {
        let Newest {
            ended,
            drain,
            identity_generation,
        } = newest;
        let mut reports = self.crew.identity.reports();
        let renewed = async {
            let newer = |report: &Report| report.generation > identity_generation;
            let unfollowed = reports.wait_for(newer).await.is_err();
            if unfollowed {
                pending::<()>().await; // nobody follows the files any more
            }
        };
        tokio::select! {
            _dropped = ended => Turn::Ended,
            () = drain.cancelled() => Turn::RelayDrains,
            () = renewed => Turn::Renewed,
        }
    }

    /// The same failure is told once and then counted.
    fn report(&self, error: &DialError) {
        let (relay, reason, told) = (&self.name, error.reason(), WithCauses(error).to_string());
        if !self.berth.note_fault(&told) {
            tracing::debug!(%relay, reason, error = %told, "still no tunnel");
        } else if error.needs_a_person() {
            tracing::error!(%relay, reason, error = %told, "no tunnel; it is tried again");
        } else {
            tracing::warn!(%relay, reason, error = %told, "no tunnel; it is tried again");
        }
    }
}

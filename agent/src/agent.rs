//! The agent: its diallers, and their common end.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use gangplank_config::{Anchors, Fault, KeyPair, Reloaded, Reloader};
use gangplank_pki::clock::Clock;
use gangplank_pki::crypto;
use gangplank_tunnel::quic::BindError;
use gangplank_tunnel::{Ledger, http2, quic};
use prometheus_client::registry::Registry;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::boarding::Handoff;
use crate::crew::Crew;
use crate::dial::Endpoints;
use crate::dialler::Dialler;
use crate::metrics::{Families, Renewals};
use crate::moorings::Moorings;
use crate::random::{Random, draw};
use crate::renewal::{Renewal, RenewalNote};
use crate::settings::{Relay, Settings};
use crate::view::{AgentView, TunnelNote};

/// After the drain's limit, the time for aborted streams to come to their end: no I/O is left in it.
const AFTERMATH: Duration = Duration::from_secs(5);

/// The time for the relays to hear that the sessions are over: a round trip and a retransmission.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why an agent cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// No UDP socket.
    #[error("the agent cannot open a UDP socket")]
    Bind(#[from] BindError),
    /// The agent's certificate or key, or a relay's authorities, cannot be read.
    #[error("a file of the agent cannot be used")]
    File(#[from] Fault),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

impl AgentError {
    /// The error as one word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Bind(error) => error.reason(),
            Self::File(fault) => fault.reason(),
            Self::NoRandomness => "NoRandomness",
        }
    }
}

/// The tunnel exit's near half: sessions to relays, and callers handed on.
pub struct Agent {
    endpoints: Endpoints,
    identity: (Reloaded<KeyPair>, Reloader<KeyPair>),
    /// The file in which the certificate is renewed, and the counter of it.
    renewal: Option<(PathBuf, Renewals, RenewalNote)>,
    relays: Vec<Destination>,
    ledger: Ledger<Arc<str>>,
    view: AgentView,
    instance: u128,
    drain_limit: Duration,
    handoff: Arc<dyn Handoff>,
    clock: Arc<dyn Clock>,
    random: Random,
}

/// A relay, and what goes with it.
struct Destination {
    relay: Relay,
    authorities: (Reloaded<Anchors>, Reloader<Anchors>),
    name: Arc<str>,
    note: TunnelNote,
    metrics: crate::metrics::Metrics,
}

impl Destination {
    /// What is seen of it from outside.
    fn seen(&self) -> (TunnelNote, Reloaded<Anchors>) {
        (self.note.clone(), self.authorities.0.clone())
    }
}

impl Agent {
    /// Reads the files and opens the socket; dials nobody yet. Must be called within a tokio
    /// runtime. Metrics go under `agent_`.
    ///
    /// # Errors
    ///
    /// When a file cannot be used or there is no socket.
    pub fn new(
        settings: &Settings,
        handoff: Arc<dyn Handoff>,
        clock: Arc<dyn Clock>,
        metrics: &mut Registry,
    ) -> Result<Self, AgentError> {
        let ledger = Ledger::new(settings.relays.len());
        let families = Families::register(metrics, &ledger);
        let destination = |relay: &Relay| -> Result<Destination, Fault> {
            let name: Arc<str> = relay.to_string().into();
            Ok(Destination {
                relay: relay.clone(),
                authorities: relay.authorities.watch()?,
                note: TunnelNote::of(Arc::clone(&name)),
                metrics: families.of(&name),
                name,
            })
        };
        let relays = settings
            .relays
            .iter()
            .map(destination)
            .collect::<Result<Vec<_>, _>>()?;
        let identity = settings.identity.watch()?;
        let note = settings.renewal.as_ref();
        let note = note.map(|_file| RenewalNote::of(identity.0.clone()));
        let mut instance = [0; 16];
        let random = crypto::provider().secure_random;
        random
            .fill(&mut instance)
            .map_err(|_failed| AgentError::NoRandomness)?;
        Ok(Self {
            endpoints: Endpoints {
                quic: quic::AgentEndpoint::bind()?
                    .with_congestion_control(settings.congestion_control),
                tcp: http2::AgentEndpoint::default(),
            },
            view: AgentView::new(
                relays.iter().map(Destination::seen),
                identity.0.clone(),
                note.clone(),
            ),
            identity,
            renewal: settings
                .renewal
                .clone()
                .zip(note)
                .map(|(file, note)| (file, families.renewals(), note)),
            relays,
            ledger,
            instance: u128::from_be_bytes(instance),
            drain_limit: settings.drain.limit,
            handoff,
            clock,
            random: draw,
        })
    }

    /// A look at the agent, for as long as anyone likes.
    pub fn view(&self) -> AgentView {
        self.view.clone()
    }

    /// Holds a session to every relay until `shutdown`, then takes no new callers, lets the running
    /// ones finish within the drain's limit, and returns when every session is closed. `abort` cuts
    /// that short: the end comes at once, and relays are still told of it.
    pub async fn run(self, shutdown: CancellationToken, abort: impl Future<Output = ()>) {
        let tasks = TaskTracker::new();
        let (identity, reloader) = self.identity;
        tasks.spawn(reloader.run(shutdown.clone()));
        let renewal = self.renewal.map(|(file, metrics, note)| Renewal {
            file,
            identity: identity.clone(),
            relays: in_turn(&self.relays),
            clock: Arc::clone(&self.clock),
            random: self.random,
            metrics,
            note,
        });
        if let Some(renewal) = renewal {
            tasks.spawn(renewal.run(shutdown.clone()));
        }
        let crew = Crew {
            endpoints: self.endpoints.clone(),
            identity,
            handoff: self.handoff,
            clock: self.clock,
            random: self.random,
            instance: self.instance,
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            drain_limit: self.drain_limit,
        };
        for destination in self.relays {
            let (authorities, reloader) = destination.authorities;
            tasks.spawn(reloader.run(shutdown.clone()));
            let dialler = Dialler {
                crew: crew.clone(),
                relay: destination.relay,
                authorities,
                name: destination.name,
                note: destination.note,
                metrics: destination.metrics,
                ledger: self.ledger.clone(),
                dials: AtomicU64::new(0),
                moorings: Moorings::default(),
            };
            tasks.spawn(Arc::new(dialler).run());
        }
        drop(crew);
        shutdown.cancelled().await;
        tasks.close();
        let limit = self.drain_limit.saturating_add(AFTERMATH);
        tokio::select! {
            drained = timeout(limit, tasks.wait()) => if drained.is_err() {
                tracing::warn!(
                    left = tasks.len(),
                    "callers are left behind after the drain's limit"
                );
            },
            () = abort => {}
        }
        say_farewell(&self.endpoints).await;
    }
}

/// Ends every session; the relays have a moment to hear of it.
async fn say_farewell(endpoints: &Endpoints) {
    endpoints.close();
    if timeout(FAREWELL, endpoints.wait_idle()).await.is_err() {
        tracing::debug!("a relay did not hear of the end in time");
    }
}

/// The relays as who renews needs them.
fn in_turn(relays: &[Destination]) -> Vec<(Relay, Reloaded<Anchors>)> {
    let asked =
        |destination: &Destination| (destination.relay.clone(), destination.authorities.0.clone());
    relays.iter().map(asked).collect()
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

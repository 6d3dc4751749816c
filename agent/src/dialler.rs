//! Holds one session to one relay, and replaces it before it is gone. While that goes over TCP, others stand
//! beside it ([`Company`]), and QUIC is tried again now and then.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gangplank_config::reload::Report;
use gangplank_config::role::agent::Transport;
use gangplank_config::{Anchors, Reloaded};
use gangplank_pki::WithCauses;
use gangplank_tunnel::wire::{CloseCode, Hello, SoftwareName};
use gangplank_tunnel::{Closed, Entry, Ledger, Session};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::aboard::{Aboard, FIRST_SLOT, Reached, Turn};
use crate::backoff;
use crate::boarding::Exit;
use crate::company::Company;
use crate::course::Course;
use crate::crew::Crew;
use crate::dial::{DialError, HEAD_START, Papers, Welcomed, introduce};
use crate::metrics::Metrics;
use crate::moorings::Moorings;
use crate::probe;
use crate::settings::Relay;
use crate::silence::{self, Beside};
use crate::tunnel::Tunnel;
use crate::view::{Standing, TunnelNote};

/// Holds one session to one relay.
pub(crate) struct Dialler {
    pub(crate) crew: Crew,
    pub(crate) relay: Relay,
    pub(crate) authorities: Reloaded<Anchors>,
    pub(crate) name: Arc<str>,
    pub(crate) note: TunnelNote,
    pub(crate) metrics: Metrics,
    pub(crate) ledger: Ledger<Arc<str>>,
    /// Dials until now, over all slots: each is an epoch.
    pub(crate) dials: AtomicU64,
    /// Its sessions that have not ended.
    pub(crate) moorings: Moorings<dyn Session>,
}

/// The newest session, and what may call for the next.
pub(crate) struct Newest {
    /// The word of its end.
    ended: oneshot::Receiver<&'static str>,
    /// Cancelled when the relay drains.
    drain: CancellationToken,
    identity_generation: u64,
}

impl Dialler {
    /// Dials, and dials again, until the shutdown.
    pub(crate) async fn run(self: Arc<Self>) {
        let shutdown = self.crew.shutdown.clone();
        let mut course = Course::begin();
        let mut attempt = 0;
        loop {
            let holding = self.hold_session(&mut course);
            let Some(calm) = shutdown.run_until_cancelled(holding).await else {
                return;
            };
            attempt = if calm { 0 } else { attempt };
            let delay = backoff::delay(attempt, (self.crew.random)());
            attempt = attempt.saturating_add(1);
            match shutdown.run_until_cancelled(course.pause(delay)).await {
                Some(true) => {
                    // All agents hear of it at once, and return one by one.
                    attempt = 0;
                    let delay = backoff::delay(attempt, (self.crew.random)());
                    if shutdown.run_until_cancelled(sleep(delay)).await.is_none() {
                        return;
                    }
                }
                Some(false) => {}
                None => return,
            }
        }
    }

    /// Dials once, and returns when it is time to dial again; true when there is no hurry to be
    /// careful: the session held for long, or the cause is our own.
    async fn hold_session(self: &Arc<Self>, course: &mut Course) -> bool {
        let mut aboard = match self
            .dial(FIRST_SLOT, self.relay.transport, course.head_start)
            .await
        {
            Ok(aboard) => aboard,
            Err(error) => {
                self.report(&error);
                return false;
            }
        };
        loop {
            let (begun, epoch) = (Instant::now(), aboard.epoch);
            let session = Arc::clone(&aboard.welcomed.session);
            let over_tcp = is_over_tcp(&*session);
            let newest = self.begin(aboard, &CancellationToken::new());
            // Where QUIC did not get through the last time it is not waited for the next time.
            course.head_start = if over_tcp { Duration::ZERO } else { HEAD_START };
            if !over_tcp {
                course.company = None;
            } else if course.company.is_none() {
                course.company = Some(Company::gather(self));
            }
            let turn = tokio::select! {
                turn = self.next_turn(newest) => turn,
                turn = self.probe(&mut course.probes), if over_tcp && self.relay.transport == Transport::Auto => turn,
                turn = self.dial_beside(&*session, &mut course.silences), if !over_tcp => turn,
            };
            course.note_held(begun.elapsed(), over_tcp);
            tracing::debug!(relay = %self.name, ?turn, epoch, "the relay is dialled again");
            match turn {
                Turn::QuicIsBack(successor)
                | Turn::Silent(successor)
                | Turn::Unanswered(successor) => aboard = *successor,
                Turn::Renewed => {
                    course.end();
                    return true;
                }
                Turn::Ended(reason) => {
                    if reason == Closed::Silent.reason() {
                        course.head_start = Duration::ZERO;
                    }
                    return course.end();
                }
                Turn::RelayDrains(ended) => return course.end_by_drain(ended),
            }
        }
    }

    /// Dials once, and greets.
    pub(crate) async fn dial(
        &self,
        slot: u16,
        transport: Transport,
        head_start: Duration,
    ) -> Result<Aboard, DialError> {
        let reached = self.reach(transport, head_start).await?;
        self.greet(reached, slot).await
    }

    /// The first half of a dial. Who forgets it here has changed nothing at the relay.
    pub(crate) async fn reach(
        &self,
        transport: Transport,
        head_start: Duration,
    ) -> Result<Reached, DialError> {
        let crew = &self.crew;
        // Read before the identity: a renewal in between costs one dial too many, never one too few.
        let identity_generation = crew.identity.generation();
        let (identity, authorities) = (crew.identity.current(), self.authorities.current());
        let papers = Papers {
            identity: &identity,
            authorities: &authorities,
            clock: &crew.clock,
        };
        let reaching = crew
            .endpoints
            .reach(&self.relay, transport, papers, head_start);
        let session = reaching
            .await
            .inspect_err(|error| self.count_failure(transport, error))?;
        Ok(Reached {
            session,
            identity_generation,
        })
    }

    /// The second half. The relay withdraws the slot's older session on the hello, before it answers: whoever forgets this half, or
    /// sees it fail, has to dial until a session is welcomed.
    pub(crate) async fn greet(&self, reached: Reached, slot: u16) -> Result<Aboard, DialError> {
        let Reached {
            session,
            identity_generation,
        } = reached;
        let carrier = session.transport();
        let epoch = self.dials.fetch_add(1, Ordering::Relaxed) + 1;
        let software = concat!("gangplank ", env!("CARGO_PKG_VERSION"));
        let hello = Hello {
            instance: self.crew.instance,
            slot,
            epoch,
            software: SoftwareName::fitting(software),
        };
        let welcomed = introduce(session, hello).await;
        let outcome = welcomed
            .as_ref()
            .err()
            .map_or("Accepted", DialError::reason);
        self.metrics.dial(carrier, outcome);
        let welcomed = welcomed?;
        self.moor(&welcomed.session);
        Ok(Aboard {
            welcomed,
            slot,
            epoch,
            identity_generation,
        })
    }

    fn count_failure(&self, transport: Transport, error: &DialError) {
        match (error, transport) {
            (DialError::Neither { quic, tcp }, _) => {
                self.metrics.dial("quic", quic.reason());
                self.metrics.dial("tcp", tcp.reason());
            }
            (error, Transport::Tcp) => self.metrics.dial("tcp", error.reason()),
            (error, Transport::Quic | Transport::Auto) => {
                self.metrics.dial("quic", error.reason());
            }
        }
    }

    /// Tries QUIC until there is a successor; `probes` says how often it was tried since it last held.
    async fn probe(&self, probes: &mut u32) -> Turn {
        let over = |transport| Beside::new(self, transport);
        let (quic, tcp) = (over(Transport::Quic), over(Transport::Tcp));
        let aboard = Box::new(probe::successor(&quic, &tcp, probes).await);
        if is_over_tcp(&*aboard.welcomed.session) {
            Turn::Unanswered(aboard)
        } else {
            Turn::QuicIsBack(aboard)
        }
    }

    /// Waits until nothing is heard on a session, and returns with one that stands beside it.
    async fn dial_beside(&self, session: &dyn Session, silences: &mut u32) -> Turn {
        let beside = Beside::new(self, self.relay.transport);
        let aboard = silence::dial_beside(session, &beside, silences).await;
        Turn::Silent(Box::new(aboard))
    }

    /// Takes a welcomed session into service, in a task of its own, until it ends; after `let_go` it gets
    /// no new callers.
    pub(crate) fn begin(&self, aboard: Aboard, let_go: &CancellationToken) -> Newest {
        let (slot, epoch) = (aboard.slot, aboard.epoch);
        let Welcomed {
            session,
            welcome,
            reader,
            writer,
        } = aboard.welcomed;
        let entrance_domain = welcome.entrance_domain.as_str().to_owned();
        tracing::info!(
            relay = %self.name,
            relay.addr = %session.remote_address(),
            transport = session.transport(),
            slot,
            epoch,
            domain = %entrance_domain,
            "tunnel up"
        );
        let (since, drain) = (Instant::now(), CancellationToken::new());
        let (transport, entry) = (session.transport(), self.enter(&session));
        if slot == FIRST_SLOT {
            self.note.stands(Standing {
                session: Arc::clone(&session),
                epoch,
                entrance_domain,
                since,
            });
        }
        let tunnel = Tunnel {
            session,
            exit: self.exit(&drain),
            tasks: self.crew.tasks.clone(),
            shutdown: self.crew.shutdown.clone(),
            limit: self.crew.drain_limit,
            let_go: let_go.clone(),
        };
        let (name, metrics, note) = (
            Arc::clone(&self.name),
            self.metrics.clone(),
            self.note.clone(),
        );
        let (ending, ended) = oneshot::channel();
        self.crew.tasks.spawn(async move {
            let closed = tunnel.serve(reader, writer).await;
            metrics.tunnel_ended(transport, closed.reason());
            entry.close(closed.reason());
            note.ended(epoch, &closed);
            tracing::info!(relay = %name, slot, epoch, reason = closed.reason(), %closed, "tunnel down");
            if ending.send(closed.reason()).is_err() {
                tracing::trace!("nobody waits for a session that has a successor");
            }
        });
        Newest {
            ended,
            drain,
            identity_generation: aboard.identity_generation,
        }
    }

    /// Counts a session among those that stand; the oldest ends when there are too many.
    fn moor(&self, session: &Arc<dyn Session>) {
        let Some(oldest) = self.moorings.add(session) else {
            return;
        };
        let (relay, streams) = (&self.name, oldest.open_streams());
        tracing::warn!(%relay, streams, "the relay ends none of its sessions; the oldest is ended here");
        oldest.close(CloseCode::GoingAway, "too many sessions stand");
    }

    /// Counts a session from here on.
    fn enter(&self, session: &Arc<dyn Session>) -> Entry {
        self.metrics.tunnel_begun(session.transport());
        self.ledger
            .enter(Arc::clone(&self.name), Arc::clone(session))
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
    pub(crate) async fn next_turn(&self, newest: Newest) -> Turn {
        let Newest {
            mut ended,
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
            ended = &mut ended => Turn::Ended(ended.unwrap_or("Panicked")),
            () = drain.cancelled() => Turn::RelayDrains(ended),
            () = renewed => Turn::Renewed,
        }
    }

    /// The same failure is told once and then counted.
    fn report(&self, error: &DialError) {
        let (relay, reason, told) = (&self.name, error.reason(), WithCauses(error).to_string());
        if !self.note.note_fault(&told) {
            tracing::debug!(%relay, reason, error = %told, "still no tunnel");
        } else if error.needs_a_person() {
            tracing::error!(%relay, reason, error = %told, "no tunnel; it is tried again");
        } else {
            tracing::warn!(%relay, reason, error = %told, "no tunnel; it is tried again");
        }
    }
}

fn is_over_tcp(session: &dyn Session) -> bool {
    session.transport() == "tcp"
}

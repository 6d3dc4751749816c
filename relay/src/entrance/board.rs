//! Boarding: finding a tunnel that takes the caller, before one byte of the caller was carried.
//!
//! The exit answers every stream with one status. Until it has accepted, nothing was executed
//! anywhere, the relay still holds all that the caller said, and may say it again on another tunnel.

use std::sync::Arc;
use std::time::Duration;

use gangplank_enrolment::Names;
use gangplank_pki::{TunnelName, WithCauses};
use gangplank_tunnel::wire::{AbortCode, RefusalCode, StreamHeader, StreamStatus};
use gangplank_tunnel::{BoardingError, Session, SessionError, Stream, announce, await_status};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::entrance::refusal::Refusal;
use crate::metrics::Counters;
use crate::registry::{Berth, Choice, Registry, Standing};

/// How long a caller is held when its tunnel is known but not there: an agent that lost its session
/// dials again at once. The promise to callers is two seconds; this leaves the rest to the network.
const HOLD: Duration = Duration::from_millis(1500);

/// After a start nobody has had the time to dial, so every name is held. Agents notice a relay that
/// was killed at their next keepalive (3 s) or by silence (13 s), and dial again within seconds.
const FRESHLY_STARTED: Duration = Duration::from_secs(30);

/// How long one tunnel may take from opening a stream to its status: eight round trips around the
/// world, or one and a retransmission.
const ATTEMPT: Duration = Duration::from_millis(2500);

/// Tunnels that are tried for one caller. With [`ATTEMPT`] this stays below the 10 s that Go's HTTP
/// clients, kubectl among them, wait for a TLS handshake.
const MOST_ATTEMPTS: usize = 3;

/// A caller ready to board: who it is, and what it has said so far.
#[derive(Debug)]
pub(crate) struct Passenger {
    pub(crate) tunnel: TunnelName,
    pub(crate) header: StreamHeader,
    pub(crate) first_bytes: Vec<u8>,
}

/// A caller's place, and the stream that the exit has accepted.
#[derive(Debug)]
pub(crate) struct OnBoard {
    pub(crate) berth: Berth<Arc<dyn Session>>,
    pub(crate) stream: Stream,
    /// Bytes of the caller that went with the header.
    pub(crate) announced: u64,
}

/// Why one tunnel did not take the caller.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    /// The session was over.
    #[error("the tunnel could not open a stream")]
    NoStream(#[source] SessionError),
    /// The stream broke, or the exit did not answer.
    #[error("the exit did not answer the stream")]
    NoAnswer(#[source] BoardingError),
    /// The exit said no.
    #[error("the exit refused the stream: {code}")]
    Refused {
        /// Why.
        code: RefusalCode,
    },
    /// No stream or no status in time.
    #[error("the tunnel did not take the stream within {} ms", ATTEMPT.as_millis())]
    TooSlow,
}

impl AttemptError {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoStream(error) => error.reason(),
            Self::NoAnswer(error) => error.reason(),
            Self::Refused { code } => code.reason(),
            Self::TooSlow => "TimedOut",
        }
    }
}

/// Where callers board.
#[derive(Debug, Clone)]
pub(crate) struct Boarding {
    registry: Registry<Arc<dyn Session>>,
    counters: Counters,
    started: Instant,
    names: KnownNames,
}

/// Which names are known that have no tunnel, and never had one here.
#[derive(Debug, Clone)]
pub(crate) struct KnownNames {
    /// The clusters that have joined by enrolment.
    pub(crate) joined: watch::Receiver<Arc<Names>>,
    /// Whether callers must not learn which they are.
    pub(crate) hidden: bool,
}

impl Boarding {
    pub(crate) fn new(
        registry: Registry<Arc<dyn Session>>,
        counters: Counters,
        names: KnownNames,
    ) -> Self {
        Self {
            registry,
            counters,
            started: Instant::now(),
            names,
        }
    }

    /// Boards the caller on the tunnel of its name that carries least, or the next that takes it;
    /// waits a moment for one where none is there.
    ///
    /// # Errors
    ///
    /// When no tunnel takes the caller. Nothing of it has been carried then.
    pub(crate) async fn board(&self, passenger: &Passenger) -> Result<OnBoard, Refusal> {
        // Subscribed before the first look, so that no registration falls between look and wait.
        let mut arrivals = self.registry.arrivals();
        let hold_until = Instant::now() + self.hold(&passenger.tunnel);
        let mut tried = Vec::new();
        loop {
            match self
                .registry
                .choose(&passenger.tunnel, &tried, Instant::now())
            {
                Choice::Berth(berth) => {
                    tried.push(berth.tunnel().id());
                    if let Some(stream) = self.attempt(&berth, passenger).await {
                        let announced = u64::try_from(passenger.first_bytes.len()).unwrap_or(0);
                        return Ok(OnBoard {
                            berth,
                            stream,
                            announced,
                        });
                    }
                }
                Choice::Full => return Err(Refusal::Overloaded),
                Choice::None => {
                    if timeout_at(hold_until, arrivals.changed()).await.is_err() {
                        return Err(self.nobody_there(passenger, &tried));
                    }
                }
            }
            if tried.len() >= MOST_ATTEMPTS {
                return Err(Refusal::NotAnswering);
            }
        }
    }

    /// How long to wait for a tunnel that is not there. With hidden names as long for a name that was
    /// never heard of as for one that is offline, or the time would tell them apart.
    fn hold(&self, tunnel: &TunnelName) -> Duration {
        let fresh = self.started.elapsed() < FRESHLY_STARTED;
        match self.standing(tunnel) {
            Standing::Unknown if !fresh && !self.names.hidden => Duration::ZERO,
            Standing::Unknown | Standing::Offline | Standing::Online => HOLD,
        }
    }

    /// What is known about the name: by its tunnels, or because it has joined.
    fn standing(&self, tunnel: &TunnelName) -> Standing {
        match self.registry.standing(tunnel) {
            Standing::Unknown if self.names.joined.borrow().contains(tunnel) => Standing::Offline,
            standing => standing,
        }
    }

    fn nobody_there(&self, passenger: &Passenger, tried: &[u64]) -> Refusal {
        match self.standing(&passenger.tunnel) {
            Standing::Unknown => Refusal::UnknownTunnel,
            Standing::Offline | Standing::Online if tried.is_empty() => Refusal::Offline,
            Standing::Offline | Standing::Online => Refusal::NotAnswering,
        }
    }

    async fn attempt(
        &self,
        berth: &Berth<Arc<dyn Session>>,
        passenger: &Passenger,
    ) -> Option<Stream> {
        let deadline = Instant::now() + ATTEMPT;
        let boarded = timeout_at(deadline, board_tunnel(berth, passenger, deadline)).await;
        match boarded.unwrap_or(Err(AttemptError::TooSlow)) {
            Ok(stream) => {
                berth.accepted();
                Some(stream)
            }
            Err(error) => {
                berth.doubt(Instant::now());
                self.counters.boarding_failed(error.reason());
                tracing::debug!(
                    cluster = %passenger.tunnel,
                    session = berth.tunnel().id(),
                    reason = error.reason(),
                    error = %WithCauses(&error),
                    "a tunnel did not take the caller"
                );
                None
            }
        }
    }
}

/// One attempt: open, announce, wait for the status. A stream that is dropped on the way is reset, so
/// an exit that answers too late talks to nobody.
async fn board_tunnel(
    berth: &Berth<Arc<dyn Session>>,
    passenger: &Passenger,
    deadline: Instant,
) -> Result<Stream, AttemptError> {
    let mut stream = berth
        .tunnel()
        .session()
        .open()
        .await
        .map_err(AttemptError::NoStream)?;
    announce(&mut stream, &passenger.header, &passenger.first_bytes)
        .await
        .map_err(AttemptError::NoAnswer)?;
    match await_status(&mut stream, deadline)
        .await
        .map_err(AttemptError::NoAnswer)?
    {
        StreamStatus::Accepted => Ok(stream),
        StreamStatus::Refused { code, .. } => {
            stream.abort(AbortCode::Refused);
            Err(AttemptError::Refused { code })
        }
    }
}

#[cfg(test)]
mod tests;

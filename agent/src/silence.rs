//! Whether a relay is still heard. An agent asks for a sign of life every [`KEEPALIVE_INTERVAL`]; when the answer is overdue, the relay is
//! dialled beside the session long before that is given up.

use std::future::Future;
use std::time::Duration;

use gangplank_config::role::agent::Transport;
use gangplank_pki::WithCauses;
use gangplank_tunnel::Session;
use gangplank_tunnel::quic::limits::KEEPALIVE_INTERVAL;
use tokio::time::{Instant, sleep, timeout};

use crate::aboard::{Aboard, FIRST_SLOT, Reached};
use crate::backoff::{self, GOOD_SESSION};
use crate::dial::{DialError, HEAD_START};
use crate::dialler::Dialler;

/// How much later than asked for a sign of life may come, beside two round trips: a packet that was lost has been sent
/// again several times by then.
const OVERDUE: Duration = Duration::from_secs(1);

/// How often it is looked: a session has at most this much more of patience.
const LOOK: Duration = Duration::from_millis(500);

/// How long one attempt to reach the relay takes at most, since a handshake waits longer and longer for an answer, too: QUIC's first
/// packet leaves twice in it, and TCP has the time of some round trips.
const SHORT_ATTEMPT: Duration = Duration::from_secs(3);

/// How long QUIC is alone in it: until its first packet has been sent again.
const SHORT_HEAD_START: Duration = Duration::from_millis(1200);

/// Where the waits between the attempts begin: at any moment within two seconds. A relay that stalled is silent to all its agents
/// at once, and is not to get all their handshakes when it wakes up.
const FIRST_WAIT: u32 = 2;

/// A dial in its two halves. Who is reached and then forgotten has changed nothing; a hello that went out may have taken the older
/// session out of service.
pub(crate) trait Dial: Sync {
    /// A session that has not been greeted.
    type Reached: Send;
    /// A welcomed one.
    type Aboard: Send;

    /// The first half.
    fn reach(
        &self,
        head_start: Duration,
    ) -> impl Future<Output = Result<Self::Reached, DialError>> + Send;

    /// The second half, which has a limit of its own.
    fn greet(
        &self,
        reached: Self::Reached,
    ) -> impl Future<Output = Result<Self::Aboard, DialError>> + Send;

    /// Uniform over all its values.
    fn random(&self) -> u64;
}

/// Dials for the slot of the first session, beside the one that has it.
pub(crate) struct Beside<'a> {
    dialler: &'a Dialler,
    transport: Transport,
}

impl<'a> Beside<'a> {
    pub(crate) fn new(dialler: &'a Dialler, transport: Transport) -> Self {
        Self { dialler, transport }
    }

    fn note(&self, error: &DialError) {
        let (relay, reason, error) = (&self.dialler.name, error.reason(), WithCauses(error));
        let transport = self.transport;
        tracing::debug!(%relay, reason, %error, ?transport, "no session beside the other yet");
    }
}

impl Dial for Beside<'_> {
    type Reached = Reached;
    type Aboard = Aboard;

    async fn reach(&self, head_start: Duration) -> Result<Reached, DialError> {
        // Seldom needed, and large: it is not to lie in each dialler.
        let reaching = Box::pin(self.dialler.reach(self.transport, head_start));
        reaching.await.inspect_err(|error| self.note(error))
    }

    async fn greet(&self, reached: Reached) -> Result<Aboard, DialError> {
        let greeting = Box::pin(self.dialler.greet(reached, FIRST_SLOT));
        greeting.await.inspect_err(|error| self.note(error))
    }

    fn random(&self) -> u64 {
        (self.dialler.crew.random)()
    }
}

/// Waits until nothing is heard on a session, and dials beside it until something is. When the network was gone for a moment, or lets
/// no UDP pass any more, new callers come on board while the old session still waits: it sends what was lost after pauses that
/// double, and is given up late. `silences` counts the successors until one was heard for as long as a good session: a relay that
/// welcomes and then says nothing is dialled ever more seldom. A session that is heard again has no successor, and counts for nothing
/// however often its path is interrupted.
pub(crate) async fn dial_beside<D: Dial>(
    session: &dyn Session,
    dial: &D,
    silences: &mut u32,
) -> D::Aboard {
    let since = Instant::now();
    loop {
        begins(session).await;
        if since.elapsed() >= GOOD_SESSION {
            *silences = 0;
        }
        tracing::debug!(relay.addr = %session.remote_address(), "nothing is heard: the relay is dialled beside the session");
        let reached = tokio::select! {
            biased;
            reached = reach(dial, FIRST_WAIT.saturating_add(*silences)) => reached,
            () = ends(session) => continue,
        };
        *silences = silences.saturating_add(1);
        if let Ok(aboard) = dial.greet(reached).await {
            return aboard;
        }
        return replace(dial, FIRST_WAIT).await;
    }
}

/// Dials until it is welcomed, whatever is heard of the older session: a hello went out, so that may get no new callers any more.
pub(crate) async fn replace<D: Dial>(dial: &D, mut waits: u32) -> D::Aboard {
    loop {
        sleep(backoff::delay(waits, dial.random())).await;
        waits = waits.saturating_add(1);
        if let Ok(reached) = dial.reach(HEAD_START).await
            && let Ok(aboard) = dial.greet(reached).await
        {
            return aboard;
        }
    }
}

/// Dials in short attempts until the relay is reached.
async fn reach<D: Dial>(dial: &D, mut waits: u32) -> D::Reached {
    loop {
        sleep(backoff::delay(waits, dial.random())).await;
        waits = waits.saturating_add(1);
        if let Ok(Ok(reached)) = timeout(SHORT_ATTEMPT, dial.reach(SHORT_HEAD_START)).await {
            return reached;
        }
    }
}

/// What was heard, and when for the last time.
#[derive(Debug)]
struct Ear {
    received: u64,
    heard: Instant,
}

impl Ear {
    /// Notes how much has come until now; answers for how long nothing came.
    fn listen(&mut self, received: u64, now: Instant) -> Duration {
        if received != self.received {
            (self.received, self.heard) = (received, now);
        }
        now - self.heard
    }
}

/// Waits until a sign of life is overdue.
async fn begins(session: &dyn Session) {
    let mut ear = Ear {
        received: session.traffic().received,
        heard: Instant::now(),
    };
    loop {
        sleep(LOOK).await;
        let patience = KEEPALIVE_INTERVAL + OVERDUE + 2 * session.round_trip_time();
        if ear.listen(session.traffic().received, Instant::now()) >= patience {
            return;
        }
    }
}

/// Waits until something is heard.
async fn ends(session: &dyn Session) {
    let received = session.traffic().received;
    while session.traffic().received == received {
        sleep(LOOK).await;
    }
}

#[cfg(test)]
pub(crate) mod tests;

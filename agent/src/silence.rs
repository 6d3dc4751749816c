//! Whether a relay is still heard. An agent asks for a sign of life every [`KEEPALIVE_INTERVAL`]; when the answer is overdue, the relay is
//! dialled beside the session long before that is given up.

use std::time::Duration;

use gangplank_tunnel::Session;
use gangplank_tunnel::quic::limits::KEEPALIVE_INTERVAL;
use tokio::time::{Instant, sleep};

/// How much later than asked for a sign of life may come, beside two round trips: a packet that was lost has been sent
/// again several times by then.
const OVERDUE: Duration = Duration::from_secs(1);

/// How often it is looked: a session has at most this much more of patience.
const LOOK: Duration = Duration::from_millis(500);

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
pub(crate) async fn begins(session: &dyn Session) {
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
pub(crate) async fn ends(session: &dyn Session) {
    let received = session.traffic().received;
    while session.traffic().received == received {
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_the_last_byte() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut ear = Ear {
            received: 7,
            heard: begun,
        };
        assert_eq!(ear.listen(7, at(3)).as_secs(), 3);
        assert_eq!(ear.listen(9, at(4)).as_secs(), 0);
        assert_eq!(ear.listen(9, at(9)).as_secs(), 5);
    }
}

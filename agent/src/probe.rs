//! Tries QUIC now and then, while a session over TCP serves.

use tokio::time::sleep;

use crate::backoff;
use crate::dial::HEAD_START;
use crate::silence::{Dial, replace};

/// Tries QUIC until it gets through. When a hello over QUIC is not welcomed the session over TCP may get no new callers any more:
/// then the successor goes over TCP, as that did. `probes` counts the attempts.
pub(crate) async fn successor<D: Dial>(quic: &D, tcp: &D, probes: &mut u32) -> D::Aboard {
    loop {
        sleep(backoff::probe_delay(*probes, quic.random())).await;
        *probes = probes.saturating_add(1);
        let Ok(reached) = quic.reach(HEAD_START).await else {
            continue;
        };
        match quic.greet(reached).await {
            Ok(aboard) => return aboard,
            Err(_unwelcome) => return replace(tcp, 0).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::silence::tests::Sluggish;

    /// One attempt is enough to be withdrawn at the relay; the next probe may be five minutes away.
    #[tokio::test(start_paused = true)]
    async fn a_hello_over_quic_that_was_not_welcomed_is_made_good_over_tcp() {
        let over = |welcomed| Sluggish::new(Duration::from_millis(50), welcomed);
        let (quic, tcp) = (over(2), over(3));
        let (mut probes, begun) = (6, Instant::now());
        let dialling = successor(&quic, &tcp, &mut probes);
        let aboard = timeout(Duration::from_secs(3600), dialling).await;
        assert_eq!(aboard, Ok(3), "the third hello over TCP");
        assert_eq!((quic.hellos(), tcp.hellos(), probes), (1, 3, 7));
        assert!(begun.elapsed() < Duration::from_secs(345));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hello_over_quic_that_is_welcomed_leads_there() {
        let over = |welcomed| Sluggish::new(Duration::from_millis(50), welcomed);
        let (quic, tcp) = (over(1), over(1));
        let mut probes = 0;
        let aboard = successor(&quic, &tcp, &mut probes).await;
        assert_eq!((aboard, tcp.hellos(), probes), (1, 0, 1));
    }
}

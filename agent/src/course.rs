//! What a dialler remembers from one session to the next, and how long it waits in between.

use std::future::pending;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use crate::backoff::GOOD_SESSION;
use crate::company::Company;
use crate::dial::HEAD_START;

/// What is remembered from one session to the next.
pub(crate) struct Course {
    pub(crate) company: Option<Company>,
    /// How long QUIC is tried alone.
    pub(crate) head_start: Duration,
    /// Resolves when the session ends by which the relay said that it is going away.
    relay_leaves: Option<oneshot::Receiver<&'static str>>,
    /// When the waits were last short: at the beginning, and when a relay that was going away was gone. `None` when a session has
    /// held for long since then.
    shortened: Option<Instant>,
    /// Whether a session held for long since it was last dialled after a pause; its successors may be young.
    was_good: bool,
    /// How often UDP was probed since QUIC last held.
    pub(crate) probes: u32,
    /// How many sessions in a row took the place of a silent one and were not heard for long.
    pub(crate) silences: u32,
}

impl Course {
    pub(crate) fn begin() -> Self {
        Self {
            company: None,
            head_start: HEAD_START,
            relay_leaves: None,
            shortened: Some(Instant::now()),
            was_good: false,
            probes: 0,
            silences: 0,
        }
    }

    /// A session was the newest one for so long.
    pub(crate) fn note_held(&mut self, held: Duration, over_tcp: bool) {
        if held >= GOOD_SESSION {
            self.was_good = true;
            self.probes = if over_tcp { self.probes } else { 0 };
        }
    }

    /// The newest session has no successor: answers whether it, or one before it, held for long.
    pub(crate) fn end(&mut self) -> bool {
        std::mem::take(&mut self.was_good)
    }

    /// As [`end`](Self::end), of a session whose relay goes away.
    pub(crate) fn end_by_drain(&mut self, ended: oneshot::Receiver<&'static str>) -> bool {
        self.relay_leaves = Some(ended);
        let was_good = self.end();
        if was_good {
            self.shortened = None;
        }
        was_good
    }

    /// Waits for so long before the relay is dialled again; true when a relay that was going away is gone before
    /// that. As long as it went nobody could know when it is back, and the waits became long; from now on it may be
    /// back any moment. One that always goes away at once gains nothing by it: unless a session held for long it is
    /// true once in that time.
    pub(crate) async fn pause(&mut self, delay: Duration) -> bool {
        let soonest = self.shortened.map(|at| at + GOOD_SESSION);
        let gone = async {
            if let Some(soonest) = soonest {
                sleep_until(soonest).await;
            }
            match &mut self.relay_leaves {
                // Ended or forgotten: it is over.
                Some(leaves) => drop(leaves.await),
                None => pending().await,
            }
        };
        let gone = timeout(delay, gone).await.is_ok();
        if gone {
            self.relay_leaves = None;
            self.shortened = Some(Instant::now());
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// After a drain of a minute the waits are half a minute long.
    #[tokio::test(start_paused = true)]
    async fn a_relay_that_drained_is_dialled_soon_after_it_is_gone() {
        let (ending, relay_leaves) = oneshot::channel();
        let mut course = Course {
            relay_leaves: Some(relay_leaves),
            ..Course::begin()
        };
        let (wait, begun) = (Duration::from_secs(30), Instant::now());
        assert!(!course.pause(wait).await, "it is still there");
        assert_eq!(begun.elapsed(), wait);
        let (gone, ()) = tokio::join!(course.pause(wait), async {
            sleep(Duration::from_secs(7)).await;
            ending.send("GoingAway").unwrap();
        });
        assert!(gone);
        assert_eq!(begun.elapsed().as_secs(), 37);
        assert!(!course.pause(wait).await, "it is gone once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_held_long_counts_also_when_its_successor_is_young() {
        let (long, young) = (GOOD_SESSION, Duration::from_secs(1));
        for (held, was_good) in [
            (&[long][..], true),
            (&[young], false),
            (&[long, young, young], true),
            (&[young, young], false),
        ] {
            let mut course = Course::begin();
            for held in held {
                course.note_held(*held, false);
            }
            assert_eq!(course.end(), was_good, "{held:?}");
            assert!(!course.end(), "it counts once");
        }
    }

    /// Goes away as soon as it has welcomed, and is gone 100 ms later.
    async fn drains_at_once(course: &mut Course, held: Duration) -> bool {
        let (ending, ended) = oneshot::channel();
        course.note_held(held, false);
        assert_eq!(course.end_by_drain(ended), held >= GOOD_SESSION);
        let gone = async {
            sleep(Duration::from_millis(100)).await;
            ending.send("GoingAway").unwrap();
        };
        tokio::join!(course.pause(Duration::from_secs(8)), gone).0
    }

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_restarts_twice_is_dialled_soon_and_one_that_only_restarts_is_not() {
        let (mut course, young) = (Course::begin(), Duration::from_secs(1));
        assert!(!drains_at_once(&mut course, young).await);
        assert!(drains_at_once(&mut course, GOOD_SESSION).await);
        let begun = Instant::now();
        let mut soon = Vec::new();
        for _ in 0..12 {
            if drains_at_once(&mut course, young).await {
                soon.push(begun.elapsed().as_secs());
            }
        }
        assert_eq!(soon, [30, 60, 90], "within {:?}", begun.elapsed());
        assert!(drains_at_once(&mut course, GOOD_SESSION).await);
    }
}

//! What the kernel says about connections, and what follows from having heard it several times.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Cookie;

/// What the kernel says about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sounding {
    pub(super) cookie: Cookie,
    /// Segments that were sent and not acknowledged.
    pub(super) unacknowledged: u32,
    /// Probes since something was heard: keepalive's, or of a window without room.
    pub(super) probes: u8,
    /// Milliseconds since something was sent, for the first time or again.
    pub(super) sent_ago: u32,
    /// Milliseconds since an acknowledgement.
    pub(super) heard_ago: u32,
    /// Segments that came.
    pub(super) arrivals: u32,
}

impl Sounding {
    /// Whether something was sent since the far end was last heard. Who has no room answers each probe, and so does who threw away what they
    /// were sent: of them something may be unacknowledged for as long as they like.
    pub(super) const fn is_unanswered(&self) -> bool {
        self.probes > 0 || (self.unacknowledged > 0 && self.sent_ago < self.heard_ago)
    }
}

/// Whose answer was still owed when the kernel was last asked.
#[derive(Debug, Default)]
pub(super) struct Suspects(HashMap<Cookie, Suspect>);

#[derive(Debug, Clone, Copy)]
struct Suspect {
    /// Whatever comes, also late, is a sign of life.
    arrivals: u32,
    since: Instant,
}

impl Suspects {
    /// Takes in all the unanswered of this moment; answers those for whom it was so each time, and nothing came from them, for as long
    /// as the patience lasts. The kernel's own clock has to say the same.
    pub(super) fn weigh(
        &mut self,
        unanswered: &[Sounding],
        now: Instant,
        patience: Duration,
    ) -> Vec<Cookie> {
        let before = std::mem::take(&mut self.0);
        let mut gone = Vec::new();
        for sounding in unanswered {
            let new = Suspect {
                arrivals: sounding.arrivals,
                since: now,
            };
            let suspect = before.get(&sounding.cookie).copied();
            let suspect = suspect.filter(|known| known.arrivals == new.arrivals);
            let suspect = suspect.unwrap_or(new);
            let unheard = Duration::from_millis(sounding.heard_ago.into());
            if now.saturating_duration_since(suspect.since) >= patience && unheard >= patience {
                gone.push(sounding.cookie);
            } else {
                self.0.insert(sounding.cookie, suspect);
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// The far end has answered all that was sent.
    const ANSWERED: Sounding = Sounding {
        cookie: 1,
        unacknowledged: 0,
        probes: 0,
        sent_ago: 3_000,
        heard_ago: 2_900,
        arrivals: 7,
    };

    /// It has not.
    const OWED: Sounding = Sounding {
        unacknowledged: 1,
        sent_ago: 400,
        heard_ago: 61_000,
        ..ANSWERED
    };

    #[test]
    fn unanswered_is_what_was_sent_since_something_was_heard() {
        let cases = [
            (ANSWERED, false, "all is acknowledged"),
            (OWED, true, "sent, and nothing heard since"),
            (
                Sounding {
                    sent_ago: 90_000,
                    heard_ago: 89_900,
                    ..OWED
                },
                false,
                "not taken, and that was said",
            ),
            (
                Sounding {
                    sent_ago: 90_000,
                    heard_ago: 90_000,
                    ..OWED
                },
                false,
                "answered within the clock's tick",
            ),
            (
                Sounding {
                    sent_ago: 90_000,
                    heard_ago: 120_000,
                    probes: 0,
                    ..ANSWERED
                },
                false,
                "no room, and the last probe was answered",
            ),
            (
                Sounding {
                    probes: 1,
                    ..ANSWERED
                },
                true,
                "a probe is not answered",
            ),
        ];
        for (sounding, expected, why) in cases {
            assert_eq!(sounding.is_unanswered(), expected, "{why}");
        }
    }

    /// Looks ten seconds apart, each with what it finds; answers at which look somebody was gone.
    fn gone_at(looks: &[Option<Sounding>]) -> Vec<usize> {
        let (mut suspects, mut now) = (Suspects::default(), Instant::now());
        let mut gone = Vec::new();
        for (number, look) in looks.iter().enumerate() {
            let unanswered: Vec<_> = look.iter().copied().collect();
            for cookie in suspects.weigh(&unanswered, now, PATIENCE) {
                assert_eq!(cookie, 1);
                gone.push(number);
            }
            now += Duration::from_secs(10);
        }
        gone
    }

    #[test]
    fn gone_is_who_owes_an_answer_each_time_and_sends_nothing() {
        let owed = Some(OWED);
        assert_eq!(gone_at(&[owed; 6]), []);
        assert_eq!(gone_at(&[owed; 7]), [6]);
        let mut looks = [owed; 9];
        looks[2] = None;
        assert_eq!(gone_at(&looks), [], "one answer in between counts");
        assert_eq!(gone_at(&[&looks[..], &[owed]].concat()), [9]);
    }

    #[test]
    fn whatever_comes_is_a_sign_of_life() {
        let coming = (0..60).map(|look| {
            Some(Sounding {
                arrivals: look / 3,
                ..OWED
            })
        });
        let coming: Vec<_> = coming.collect();
        assert_eq!(gone_at(&coming), []);
    }

    #[test]
    fn who_was_heard_lately_is_there_whatever_was_counted() {
        let heard = |heard_ago| Some(Sounding { heard_ago, ..OWED });
        assert_eq!(gone_at(&[heard(9_000); 30]), []);
        assert_eq!(gone_at(&[heard(59_999); 30]), []);
        assert_eq!(gone_at(&[heard(60_000); 7]), [6]);
    }

    #[test]
    fn a_look_that_comes_late_finds_nobody_whom_it_did_not_suspect() {
        let (mut suspects, now) = (Suspects::default(), Instant::now());
        let later = now + 10 * PATIENCE;
        assert_eq!(suspects.weigh(&[], now, PATIENCE), []);
        assert_eq!(suspects.weigh(&[OWED], later, PATIENCE), []);
    }
}

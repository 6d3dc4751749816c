//! Who may hold the lease, decided without input or output.
//!
//! Clocks of different machines are never compared: a candidate counts, on its own monotonic clock, how long a record
//! has stayed as it is, and takes the lease over when that is longer than the record says. The holder counts from
//! before it sent its last renewal, and only two thirds of the same time. Both may differ in how fast their clocks
//! run by half, and in what they show by any amount.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// The longest lease of somebody else's that is waited for: a record that was written by hand, or by a fault, does not
/// stop everybody for a year.
const LONGEST: Duration = Duration::from_secs(3600);

/// One replica, and what it has seen of the lease.
#[derive(Debug)]
pub(super) struct Candidate {
    identity: String,
    lease: Duration,
    seen: Option<Seen>,
}

/// A record, and since when it has stayed as it is.
#[derive(Debug)]
struct Seen {
    record: LeaseSpec,
    since: Instant,
}

/// What a candidate may do now.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Write this record, provided that nobody else writes meanwhile.
    Take(Box<LeaseSpec>),
    /// Nothing: somebody else leads.
    Follow {
        /// Who.
        holder: String,
    },
}

impl Candidate {
    pub(super) const fn new(identity: String, lease: Duration) -> Self {
        Self {
            identity,
            lease,
            seen: None,
        }
    }

    /// For how long a record that was sent just now allows to act.
    pub(super) fn validity(&self) -> Duration {
        self.lease / 3 * 2
    }

    /// How long to wait between two looks: five tries fit into the time that a record allows to act.
    pub(super) fn pause(&self) -> Duration {
        self.lease * 2 / 15
    }

    /// What may be done with `record` as it was read just now. `told` is what the wall clock shows, for people.
    pub(super) fn step(
        &mut self,
        record: Option<&LeaseSpec>,
        now: Instant,
        told: Timestamp,
    ) -> Step {
        let Some(record) = record else {
            return Step::Take(Box::new(self.record(told, None)));
        };
        let holder = record.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == self.identity {
            return Step::Take(Box::new(self.record(told, Some(record))));
        }
        let since = match &self.seen {
            Some(seen) if seen.record == *record => seen.since,
            _ => {
                let record = record.clone();
                self.seen = Some(Seen { record, since: now });
                now
            }
        };
        let seconds = record.lease_duration_seconds.unwrap_or_default();
        let term = Duration::from_secs(u64::try_from(seconds).unwrap_or_default()).min(LONGEST);
        if now.saturating_duration_since(since) > term {
            return Step::Take(Box::new(self.record(told, Some(record))));
        }
        Step::Follow {
            holder: holder.to_owned(),
        }
    }

    /// The record by which the lease is given back, if it is still this replica's.
    pub(super) fn released(&self, record: &LeaseSpec, told: Timestamp) -> Option<LeaseSpec> {
        let ours = record.holder_identity.as_deref() == Some(&self.identity);
        ours.then(|| LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            renew_time: Some(MicroTime(told)),
            ..record.clone()
        })
    }

    fn record(&self, told: Timestamp, before: Option<&LeaseSpec>) -> LeaseSpec {
        let ours = before
            .filter(|before| before.holder_identity.as_deref() == Some(self.identity.as_str()));
        let acquired = ours.and_then(|ours| ours.acquire_time.clone());
        let transitions = before
            .and_then(|before| before.lease_transitions)
            .unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.lease.as_secs()).ok(),
            acquire_time: acquired.or(Some(MicroTime(told))),
            renew_time: Some(MicroTime(told)),
            lease_transitions: Some(
                transitions.saturating_add(i32::from(before.is_some() && ours.is_none())),
            ),
            ..LeaseSpec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn replica(name: &str) -> Candidate {
        Candidate::new(name.to_owned(), LEASE)
    }

    fn taken(step: Step) -> LeaseSpec {
        match step {
            Step::Take(record) => *record,
            Step::Follow { holder } => panic!("{holder} leads"),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a moment")
    }

    #[test]
    fn the_first_takes_it_and_the_second_waits() {
        let now = Instant::now();
        let first = taken(replica("a").step(None, now, at(0)));
        assert_eq!(first.lease_transitions, Some(0));
        let mut second = replica("b");
        let follows = Step::Follow {
            holder: "a".to_owned(),
        };
        assert_eq!(second.step(Some(&first), now, at(0)), follows);
        assert_eq!(second.step(Some(&first), now + LEASE, at(0)), follows);
        let after = now + LEASE + Duration::from_millis(1);
        let record = taken(second.step(Some(&first), after, at(0)));
        assert_eq!(record.lease_transitions, Some(1));
        assert_eq!(record.holder_identity.as_deref(), Some("b"));
    }

    /// What the clock on the wall of the holder shows is never asked.
    #[test]
    fn a_record_counts_from_when_it_was_seen_whatever_it_says() {
        let now = Instant::now();
        for second in [0, 4_000_000_000] {
            let record = taken(replica("a").step(None, now, at(second)));
            let mut other = replica("b");
            let step = other.step(Some(&record), now, at(2_000_000_000));
            assert!(matches!(step, Step::Follow { .. }), "{step:?}");
            taken(other.step(Some(&record), now + LEASE * 2, at(2_000_000_000)));
        }
    }

    #[test]
    fn a_renewal_starts_the_count_anew() {
        let now = Instant::now();
        let mut holder = replica("a");
        let first = taken(holder.step(None, now, at(0)));
        let mut other = replica("b");
        other.step(Some(&first), now, at(0));
        let renewed = taken(holder.step(Some(&first), now + LEASE / 2, at(7)));
        assert_eq!(renewed.acquire_time, first.acquire_time);
        let later = now + LEASE + Duration::from_secs(1);
        let step = other.step(Some(&renewed), later, at(0));
        assert!(matches!(step, Step::Follow { .. }), "{step:?}");
    }

    #[test]
    fn what_was_given_back_is_taken_at_once() {
        let now = Instant::now();
        let mut holder = replica("a");
        let first = taken(holder.step(None, now, at(0)));
        let given_back = holder.released(&first, at(1)).expect("it is ours");
        taken(replica("b").step(Some(&given_back), now, at(1)));
        assert_eq!(replica("b").released(&first, at(1)), None);
    }

    #[test]
    fn a_record_for_a_year_is_waited_for_an_hour() {
        let now = Instant::now();
        let mut record = taken(replica("a").step(None, now, at(0)));
        record.lease_duration_seconds = Some(i32::MAX);
        let mut other = replica("b");
        other.step(Some(&record), now, at(0));
        taken(other.step(Some(&record), now + LONGEST + LEASE, at(0)));
    }

    proptest! {
        /// Two replicas with clocks that run differently fast, up to half, look and write at any moments, and answers
        /// take any time: never do both hold that they may act.
        #[test]
        fn never_do_two_act(steps in prop::collection::vec((any::<bool>(), 0_u64..8_000, 0_u64..3_000), 1..200),
                            faster in 1_000_u64..1_490) {
            let origin = Instant::now();
            // The second one's clock is as many thousandths as fast.
            let clock = |which: bool, moment: u64| {
                let shown = if which { moment * faster / 1_000 } else { moment };
                origin + Duration::from_millis(shown)
            };
            let mut replicas = [replica("a"), replica("b")];
            let mut until = [origin; 2];
            let mut record: Option<LeaseSpec> = None;
            let mut moment = 0;
            for (which, pause, transit) in steps {
                moment += pause;
                let index = usize::from(which);
                let sent = clock(which, moment);
                let validity = replicas[index].validity();
                if let Step::Take(written) = replicas[index].step(record.as_ref(), sent, at(0)) {
                    // The server writes it later than it was sent.
                    moment += transit;
                    record = Some(LeaseSpec { renew_time: Some(MicroTime(at(i64::try_from(moment).expect("small")))), ..*written });
                    until[index] = sent + validity;
                }
                let acting = [false, true].map(|each| clock(each, moment) < until[usize::from(each)]);
                prop_assert!(acting != [true, true], "at {moment} ms");
            }
        }
    }
}

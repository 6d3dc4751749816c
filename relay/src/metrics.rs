//! What is counted. Labels come from closed sets of words and from names that a certificate proved,
//! never from what a caller wrote: no server name is ever a label.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry as Metrics;

mod standings;

pub(crate) use standings::Standings;

/// How something went: `reason` is one of the words of the error enums, or `Accepted`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    outcome: &'static str,
}

/// How something went on one transport, `quic` or `tcp`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransportOutcome {
    transport: &'static str,
    outcome: &'static str,
}

/// Which way bytes went.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

/// The relay's counters. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    callers: Family<Outcome, Counter>,
    boarding_seconds: Histogram,
    failed_boardings: Family<Outcome, Counter>,
    ends: Family<Outcome, Counter>,
    bytes: Family<Direction, Counter>,
    accept_pauses: Counter,
    tunnel_handshakes: Family<TransportOutcome, Counter>,
    tunnel_ends: Family<TransportOutcome, Counter>,
    enrolments: Family<Outcome, Counter>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            callers: Family::default(),
            // From 1 ms, a relay and an exit in one building, to 8 s, the boarding deadline.
            boarding_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            failed_boardings: Family::default(),
            ends: Family::default(),
            bytes: Family::default(),
            accept_pauses: Counter::default(),
            tunnel_handshakes: Family::default(),
            tunnel_ends: Family::default(),
            enrolments: Family::default(),
        }
    }
}

impl Counters {
    /// Registers everything under `relay_`.
    pub(crate) fn register(&self, metrics: &mut Metrics, standings: Standings) {
        let relay = metrics.sub_registry_with_prefix("relay");
        relay.register(
            "callers",
            "Callers' connections by how boarding went",
            self.callers.clone(),
        );
        relay.register(
            "boarding_seconds",
            "From accepting a caller's connection to the exit's accepted status",
            self.boarding_seconds.clone(),
        );
        relay.register(
            "failed_boardings",
            "Attempts at a tunnel that failed; another tunnel may have been tried after",
            self.failed_boardings.clone(),
        );
        relay.register("ends", "How carried connections ended", self.ends.clone());
        relay.register(
            "carried_bytes",
            "Callers' bytes by direction",
            self.bytes.clone(),
        );
        relay.register(
            "accept_pauses",
            "Times that accepting paused for want of descriptors or memory",
            self.accept_pauses.clone(),
        );
        relay.register(
            "tunnel_handshakes",
            "Agents' connections by transport and how the handshake and greeting went",
            self.tunnel_handshakes.clone(),
        );
        relay.register(
            "tunnel_ends",
            "Registered tunnels that ended, by transport and why",
            self.tunnel_ends.clone(),
        );
        relay.register(
            "enrolments",
            "Visits for an agent's certificate, by what came of them",
            self.enrolments.clone(),
        );
        relay.register_collector(Box::new(standings));
    }

    /// A caller is on board after that many seconds.
    pub(crate) fn caller_boarded(&self, seconds: f64) {
        self.callers
            .get_or_create(&Outcome {
                outcome: "Accepted",
            })
            .inc();
        self.boarding_seconds.observe(seconds);
    }

    /// A caller was refused.
    pub(crate) fn caller_refused(&self, reason: &'static str) {
        self.callers
            .get_or_create(&Outcome { outcome: reason })
            .inc();
    }

    /// One attempt to board one tunnel failed.
    pub(crate) fn boarding_failed(&self, reason: &'static str) {
        self.failed_boardings
            .get_or_create(&Outcome { outcome: reason })
            .inc();
    }

    /// A carried connection is over.
    pub(crate) fn carried(&self, outcome: &'static str, to_exit: u64, to_caller: u64) {
        self.ends.get_or_create(&Outcome { outcome }).inc();
        self.bytes
            .get_or_create(&Direction {
                direction: "to_exit",
            })
            .inc_by(to_exit);
        self.bytes
            .get_or_create(&Direction {
                direction: "to_caller",
            })
            .inc_by(to_caller);
    }

    /// Accepting paused.
    pub(crate) fn accept_paused(&self) {
        self.accept_pauses.inc();
    }

    /// An agent's connection became a tunnel (`Accepted`) or did not.
    pub(crate) fn tunnel_handshake(&self, transport: &'static str, outcome: &'static str) {
        let label = TransportOutcome { transport, outcome };
        self.tunnel_handshakes.get_or_create(&label).inc();
    }

    /// Somebody came for an agent's certificate and got it (`Granted`), or did not.
    pub(crate) fn enrolled(&self, outcome: &'static str) {
        self.enrolments.get_or_create(&Outcome { outcome }).inc();
    }

    /// A tunnel ended.
    pub(crate) fn tunnel_ended(&self, transport: &'static str, outcome: &'static str) {
        let label = TransportOutcome { transport, outcome };
        self.tunnel_ends.get_or_create(&label).inc();
    }
}

//! What an agent counts.

use std::sync::Arc;

use gangplank_tunnel::Ledger;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

mod carried;

use carried::Carried;

/// A relay, as the agent's file names it, and what carries tunnels to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RelayTransport {
    relay: String,
    transport: &'static str,
}

/// A relay and how something went there: one of the words of the error enums, or `Accepted`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RelayOutcome {
    relay: String,
    outcome: &'static str,
}

/// A relay, a transport, and how an attempt to reach the one over the other went, or why a tunnel there ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DialOutcome {
    relay: String,
    transport: &'static str,
    outcome: &'static str,
}

/// The counters of one agent; every relay has its own view of them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    families: Families,
    relay: Arc<str>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Families {
    dials: Family<DialOutcome, Counter>,
    ends: Family<DialOutcome, Counter>,
    tunnels: Family<RelayTransport, Gauge>,
    streams: Family<RelayOutcome, Counter>,
    renewals: Family<Outcome, Counter>,
}

/// How something went that is no one relay's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// The counter of renewals.
#[derive(Debug, Clone, Default)]
pub(crate) struct Renewals(Family<Outcome, Counter>);

impl Renewals {
    /// The certificate was `Renewed`, or not.
    pub(crate) fn renewed(&self, outcome: &'static str) {
        self.0.get_or_create(&Outcome { outcome }).inc();
    }
}

impl Families {
    /// Registers everything under `agent_`.
    pub(crate) fn register(registry: &mut Registry, ledger: &Ledger<Arc<str>>) -> Self {
        let families = Self::default();
        let agent = registry.sub_registry_with_prefix("agent");
        agent.register(
            "dials",
            "Attempts to reach a relay by transport and outcome",
            families.dials.clone(),
        );
        agent.register(
            "tunnel_ends",
            "Sessions that ended by transport and reason",
            families.ends.clone(),
        );
        agent.register(
            "tunnels",
            "Sessions that stand by transport",
            families.tunnels.clone(),
        );
        agent.register(
            "streams",
            "Callers' streams by outcome",
            families.streams.clone(),
        );
        agent.register(
            "renewals",
            "Attempts to renew the tunnel's certificate by outcome",
            families.renewals.clone(),
        );
        agent.register_collector(Box::new(Carried(ledger.clone())));
        families
    }

    pub(crate) fn renewals(&self) -> Renewals {
        Renewals(self.renewals.clone())
    }

    pub(crate) fn of(&self, relay: &Arc<str>) -> Metrics {
        Metrics {
            families: self.clone(),
            relay: Arc::clone(relay),
        }
    }
}

impl Metrics {
    pub(crate) fn dial(&self, transport: &'static str, outcome: &'static str) {
        let label = DialOutcome {
            relay: self.relay.to_string(),
            transport,
            outcome,
        };
        self.families.dials.get_or_create(&label).inc();
    }

    pub(crate) fn stream(&self, outcome: &'static str) {
        self.families
            .streams
            .get_or_create(&self.labelled(outcome))
            .inc();
    }

    pub(crate) fn tunnel_begun(&self, transport: &'static str) {
        self.tunnels(transport, 1);
    }

    pub(crate) fn tunnel_ended(&self, transport: &'static str, outcome: &'static str) {
        self.tunnels(transport, -1);
        let label = DialOutcome {
            relay: self.relay.to_string(),
            transport,
            outcome,
        };
        self.families.ends.get_or_create(&label).inc();
    }

    fn tunnels(&self, transport: &'static str, change: i64) {
        let label = RelayTransport {
            relay: self.relay.to_string(),
            transport,
        };
        self.families.tunnels.get_or_create(&label).inc_by(change);
    }

    fn labelled(&self, outcome: &'static str) -> RelayOutcome {
        RelayOutcome {
            relay: self.relay.to_string(),
            outcome,
        }
    }
}

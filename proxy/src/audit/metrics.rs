//! What the trail counts.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The trail's counters; a clone counts into the same ones.
#[derive(Clone, Debug)]
pub(super) struct TrailMetrics {
    pub(super) written: Counter,
    pub(super) dropped: Counter,
    pub(super) sink_faults: Counter,
}

impl TrailMetrics {
    /// New counters, registered under `exit`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let events = Family::<EventLabels, Counter>::default();
        let count = |outcome| events.get_or_create_owned(&EventLabels { outcome });
        let metrics = Self {
            written: count(Outcome::Written),
            dropped: count(Outcome::Dropped),
            sink_faults: Counter::default(),
        };
        let exit = registry.sub_registry_with_prefix("exit");
        exit.register(
            "audit_events",
            "Audit events by what became of them",
            events,
        );
        exit.register(
            "audit_sink_faults",
            "Failures to write audit events; what was not written is tried again",
            metrics.sink_faults.clone(),
        );
        metrics
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    outcome: Outcome,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Outcome {
    /// The sink has it.
    Written,
    /// There was no room for it in the queue.
    Dropped,
}

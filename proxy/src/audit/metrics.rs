//! What the trail counts.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric as _,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::queue::Queue;

/// The trail's counters; a clone counts into the same ones.
#[derive(Clone, Debug)]
pub(super) struct TrailMetrics {
    pub(super) written: Counter,
    pub(super) dropped: Counter,
    pub(super) sink_faults: Counter,
}

impl TrailMetrics {
    /// New counters, registered under `exit`.
    pub(super) fn register(registry: &mut Registry, queue: Arc<Queue>) -> Self {
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
        exit.register_collector(Box::new(Waiting(queue)));
        metrics
    }
}

/// Reads the queue when someone looks.
#[derive(Debug)]
struct Waiting(Arc<Queue>);

impl Collector for Waiting {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gauge = ConstGauge::new(i64::try_from(self.0.events()).unwrap_or(i64::MAX));
        let encoder = encoder.encode_descriptor(
            "audit_events_waiting",
            "Audit events that wait to be written.",
            None,
            gauge.metric_type(),
        )?;
        gauge.encode(encoder)
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

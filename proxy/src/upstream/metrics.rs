//! What the API server's side counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of the connections to the API server; a clone counts into the same ones.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) connections: Family<ProtocolLabels, Gauge>,
    pub(super) streams: Gauge,
    pub(super) waiting: Gauge,
    pub(super) dials: Family<OutcomeLabels, Counter>,
    pub(super) sent_again: Family<OutcomeLabels, Counter>,
    pub(super) upgrades: Family<OutcomeLabels, Counter>,
}

impl Metrics {
    /// New counters, registered under `upstream`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let upstream = registry.sub_registry_with_prefix("upstream");
        upstream.register(
            "connections",
            "Connections to the API server that ordinary requests share, by protocol",
            metrics.connections.clone(),
        );
        upstream.register("streams", "HTTP/2 streams in use", metrics.streams.clone());
        upstream.register(
            "requests_waiting",
            "Requests waiting for a connection",
            metrics.waiting.clone(),
        );
        upstream.register(
            "dials",
            "Connections opened to the API server, by outcome",
            metrics.dials.clone(),
        );
        upstream.register(
            "requests_sent_again",
            "Requests moved to another connection: certainly not processed, or reads without an answer",
            metrics.sent_again.clone(),
        );
        upstream.register(
            "upgrades",
            "Requests for an upgrade, by the API server's answer",
            metrics.upgrades.clone(),
        );
        metrics
    }
}

/// Label of a connection: what is spoken on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProtocolLabels {
    pub(super) protocol: &'static str,
}

impl ProtocolLabels {
    pub(super) const HTTP2: Self = Self { protocol: "h2" };
    pub(super) const HTTP1: Self = Self {
        protocol: "http/1.1",
    };
}

/// Label of what came of something: an error's reason, or a word for success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabels {
    pub(super) outcome: &'static str,
}

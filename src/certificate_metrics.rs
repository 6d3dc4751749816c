//! Until when certificates are good, read off the role at each scrape.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::admin::Observed;

/// The authorities of callers, of which there may be thousands: only the first end is shown.
const OF_CALLERS: &str = "authority of callers";

/// The certificates of a role.
struct Certificates(Arc<dyn Observed>);

/// Registers the gauge.
pub(crate) fn register(metrics: &mut Registry, role: Arc<dyn Observed>) {
    metrics.register_collector(Box::new(Certificates(role)));
}

impl Certificates {
    /// The earliest end of each kind. Kinds are words of this program.
    fn ends(&self) -> BTreeMap<String, u64> {
        let of_callers = self.0.callers_authorities_end();
        let mut ends: BTreeMap<_, _> = of_callers
            .map(|end| (OF_CALLERS.to_owned(), end))
            .into_iter()
            .collect();
        for certificate in self.0.certificates() {
            let end = certificate.last_second;
            let first = ends.entry(certificate.name).or_insert(end);
            *first = end.min(*first);
        }
        ends
    }
}

impl Collector for Certificates {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let ends = self.ends();
        if ends.is_empty() {
            return Ok(()); // a name without a value would be a metric without its label
        }
        let mut family = encoder.encode_descriptor(
            "certificate_not_after_timestamp",
            "Last moment of a certificate, of several of a kind the first, since 1970.",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for (kind, end) in ends {
            let gauge = ConstGauge::new(i64::try_from(end).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&[("certificate", kind)])?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Certificates")
            .finish_non_exhaustive()
    }
}

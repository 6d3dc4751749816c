//! Trust and the serving certificate as metrics: read off their sources at each scrape, so that they can never
//! drift from what is in force.

use std::collections::BTreeMap;
use std::fmt;

use gangplank_config::{Fault, KeyPair, Reloaded, TrustSource};
use gangplank_pki::inspect::inspect_der;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// What an exit has from files.
struct Files {
    trust: TrustSource,
    serving: Reloaded<KeyPair>,
}

/// Registers the gauges under `trust_` and `serving_certificate_`.
pub(crate) fn register(metrics: &mut Registry, trust: TrustSource, serving: Reloaded<KeyPair>) {
    metrics.register_collector(Box::new(Files { trust, serving }));
}

impl Files {
    /// Name, help, unit and value of each.
    fn gauges(&self) -> [(&'static str, &'static str, Option<Unit>, i64); 6] {
        let report = self.trust.report();
        let serving = self.serving.reports();
        let reload = serving.borrow();
        [
            (
                "trust_generation",
                "Grows with every change of what is trusted.",
                None,
                i64::try_from(report.generation).unwrap_or(i64::MAX),
            ),
            (
                "trust_providers",
                "Providers in force.",
                None,
                count(report.providers),
            ),
            (
                "trust_kept_providers",
                "Providers in force in their last good version, because what is written now is faulty.",
                None,
                count(report.kept.len()),
            ),
            (
                "trust_directory_vanished",
                "1 while the trust directory cannot be read.",
                None,
                i64::from(report.vanished_since.is_some()),
            ),
            (
                "serving_certificate_not_after_timestamp",
                "Last moment of the certificate that callers see, since 1970.",
                Some(Unit::Seconds),
                self.serving_not_after(),
            ),
            (
                "serving_certificate_reload_faulty",
                "1 while the files of the serving certificate cannot be used and the last good one serves.",
                None,
                i64::from(reload.fault.is_some()),
            ),
        ]
    }

    /// How many faults of each kind there are in the trust directory. Kinds are words of this program,
    /// never of a file.
    fn faults(&self) -> BTreeMap<&'static str, i64> {
        let mut faults = BTreeMap::new();
        for reason in self.trust.report().faults.iter().map(Fault::reason) {
            *faults.entry(reason).or_default() += 1;
        }
        faults
    }

    fn encode_faults(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let faults = self.faults();
        if faults.is_empty() {
            return Ok(()); // a name without a value would be a metric without its label
        }
        let help = "What is wrong in the trust directory, by kind of fault.";
        let mut family =
            encoder.encode_descriptor("trust_faults", help, None, MetricType::Gauge)?;
        for (reason, faults) in faults {
            let gauge = ConstGauge::new(faults);
            gauge.encode(family.encode_family(&[("reason", reason)])?)?;
        }
        Ok(())
    }

    fn serving_not_after(&self) -> i64 {
        let pair = self.serving.current();
        let summary = pair.leaf().and_then(|leaf| inspect_der(leaf));
        summary.map_or(0, |summary| {
            i64::try_from(summary.not_after.as_secs()).unwrap_or(i64::MAX)
        })
    }
}

impl Collector for Files {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, unit, value) in self.gauges() {
            let gauge = ConstGauge::new(value);
            let encoder =
                encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?;
            gauge.encode(encoder)?;
        }
        self.encode_faults(&mut encoder)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Files").finish_non_exhaustive()
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

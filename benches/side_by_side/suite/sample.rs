//! What one turn comes to.

use crate::load::Outcome;
use crate::process::Peak;

/// What a row does not measure is `None`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) rate: Option<f64>,
    pub(crate) bytes_per_s: Option<f64>,
    /// Of a body on its way up.
    pub(crate) up_bytes_per_s: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    /// The same before the crowd came.
    pub(crate) p50_before_us: Option<f64>,
    pub(crate) p99_before_us: Option<f64>,
    /// CPU time of the path's processes for each answer, in µs.
    pub(crate) cpu_us: Option<f64>,
    /// Memory of the path's processes.
    pub(crate) rss_kib: Option<f64>,
    /// Its growth for each idle watch, and the entrance's share.
    pub(crate) each_kib: Option<f64>,
    pub(crate) entrance_each_kib: Option<f64>,
    /// The rate beside stalled readers as a part of the rate without them.
    pub(crate) keeps: Option<f64>,
    /// Connections to the upstream that the path had while the crowd was there.
    pub(crate) upstream_connections: Option<f64>,
    /// Agents with a tunnel, and those whose tunnel went over TCP.
    pub(crate) tunnels: Option<f64>,
    pub(crate) over_tcp: Option<f64>,
    /// What the relay used of a core while all tunnels were idle.
    pub(crate) idle_core: Option<f64>,
    /// From the relay's death until half of the agents were back, 99 of 100, and all, in seconds.
    pub(crate) back_p50_s: Option<f64>,
    pub(crate) back_p99_s: Option<f64>,
    pub(crate) back_s: Option<f64>,
    /// Their attempts, of all together and of the one that needed most.
    pub(crate) dials: Option<f64>,
    pub(crate) most_dials: Option<f64>,
    /// Memory of each process at its highest.
    pub(crate) peaks: Vec<Peak>,
    /// Cores that generator and upstream used.
    pub(crate) generator_cores: Option<f64>,
    pub(crate) upstream_cores: Option<f64>,
    /// What went wrong; then the rest is no measurement.
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
}

impl Sample {
    /// What the generator counted.
    pub(super) fn counted(outcome: &Outcome) -> Self {
        #[expect(
            clippy::as_conversions,
            clippy::cast_precision_loss,
            reason = "counts of some seconds"
        )]
        let (count, bytes) = (outcome.count as f64, outcome.bytes as f64);
        Self {
            rate: Some(count / outcome.seconds),
            bytes_per_s: Some(bytes / outcome.seconds),
            p50_us: outcome.p50_us,
            p99_us: outcome.p99_us,
            generator_cores: Some(outcome.cpu_seconds / outcome.seconds),
            errors: outcome.errors,
            first_error: outcome.first_error.clone(),
            ..Self::default()
        }
    }

    /// What went wrong elsewhere in the same turn.
    pub(super) fn blame(&mut self, errors: u64, first: Option<String>) {
        self.errors += errors;
        self.first_error = self.first_error.take().or(first);
    }

    /// The p99 beside the crowd as a part of the p99 before it.
    pub(crate) fn p99_ratio(&self) -> Option<f64> {
        Some(self.p99_us? / self.p99_before_us?)
    }

    /// The p50 likewise.
    pub(crate) fn p50_ratio(&self) -> Option<f64> {
        Some(self.p50_us? / self.p50_before_us?)
    }
}

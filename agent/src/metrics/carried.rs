//! What tunnels carry, read off their ledger at each scrape.

use std::fmt;
use std::sync::Arc;

use gangplank_tunnel::{Ledger, encode_accounts};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// The ledger of an agent.
#[derive(Debug)]
pub(super) struct Carried(pub(super) Ledger<Arc<str>>);

impl Collector for Carried {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let accounts = self.0.accounts();
        let help = "Callers on board.";
        let mut gauge = encoder.encode_descriptor("open_streams", help, None, MetricType::Gauge)?;
        for account in &accounts {
            let streams = i64::try_from(account.open_streams).unwrap_or(i64::MAX);
            let label = [("relay", account.peer.to_string())];
            ConstGauge::new(streams).encode(gauge.encode_family(&label)?)?;
        }
        encode_accounts(&accounts, "relay", &mut encoder)
    }
}

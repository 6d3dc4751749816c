//! What tunnels carry, read off their ledger at each scrape.

use std::fmt;
use std::sync::Arc;

use gangplank_tunnel::{Account, Ledger};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// A relay, as the agent's file names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRelay {
    relay: String,
}

/// A relay, and which way bytes went, seen from the agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDirection {
    relay: String,
    direction: &'static str,
}

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
            ConstGauge::new(streams).encode(gauge.encode_family(&label_of(account))?)?;
        }
        let help = "Bytes that tunnels moved over the network, by direction.";
        let mut counter =
            encoder.encode_descriptor("tunnel_bytes", help, None, MetricType::Counter)?;
        for account in &accounts {
            let (sent, received) = (account.traffic.sent, account.traffic.received);
            for (direction, bytes) in [("sent", sent), ("received", received)] {
                let relay = account.peer.to_string();
                let label = OfDirection { relay, direction };
                ConstCounter::new(bytes).encode(counter.encode_family(&label)?)?;
            }
        }
        let help = "Datagrams that were sent to a relay and lost on the way.";
        let mut counter =
            encoder.encode_descriptor("tunnel_datagrams_lost", help, None, MetricType::Counter)?;
        for account in &accounts {
            let lost = ConstCounter::new(account.traffic.datagrams_lost);
            lost.encode(counter.encode_family(&label_of(account))?)?;
        }
        let help = "Round trip to a relay, of several tunnels the longest.";
        let unit = Unit::Seconds;
        let mut gauge =
            encoder.encode_descriptor("tunnel_round_trip", help, Some(&unit), MetricType::Gauge)?;
        for account in &accounts {
            if let Some(round_trip) = account.round_trip {
                let seconds = ConstGauge::new(round_trip.as_secs_f64());
                seconds.encode(gauge.encode_family(&label_of(account))?)?;
            }
        }
        Ok(())
    }
}

fn label_of(account: &Account<Arc<str>>) -> OfRelay {
    OfRelay {
        relay: account.peer.to_string(),
    }
}

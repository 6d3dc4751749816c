//! A ledger as metrics, which are read off it at each scrape so that they can never drift from it.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::Account;

/// What tunnels have moved over the network, those that have ended included, and how far the peers are. The label
/// `whose` is the peer.
///
/// # Errors
///
/// When the encoder cannot write.
pub fn encode_accounts<K: fmt::Display>(
    accounts: &[Account<K>],
    whose: &'static str,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let help = "Bytes that tunnels moved over the network, by direction.";
    let mut counter = encoder.encode_descriptor("tunnel_bytes", help, None, MetricType::Counter)?;
    for account in accounts {
        let (sent, received) = (account.traffic.sent, account.traffic.received);
        for (direction, bytes) in [("sent", sent), ("received", received)] {
            let labels = [
                (whose, account.peer.to_string()),
                ("direction", direction.to_owned()),
            ];
            ConstCounter::new(bytes).encode(counter.encode_family(&labels)?)?;
        }
    }
    let help = "Datagrams that were sent into tunnels and lost on the way.";
    let mut counter =
        encoder.encode_descriptor("tunnel_datagrams_lost", help, None, MetricType::Counter)?;
    for account in accounts {
        let lost = ConstCounter::new(account.traffic.datagrams_lost);
        let label = [(whose, account.peer.to_string())];
        lost.encode(counter.encode_family(&label)?)?;
    }
    let help = "Round trip of a tunnel, of several the longest.";
    let unit = Unit::Seconds;
    let mut gauge =
        encoder.encode_descriptor("tunnel_round_trip", help, Some(&unit), MetricType::Gauge)?;
    for account in accounts {
        if let Some(round_trip) = account.round_trip {
            let seconds = ConstGauge::new(round_trip.as_secs_f64());
            let label = [(whose, account.peer.to_string())];
            seconds.encode(gauge.encode_family(&label)?)?;
        }
    }
    Ok(())
}

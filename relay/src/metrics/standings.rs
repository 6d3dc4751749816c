//! How the relay stands at each scrape: read off registry, ledger, quay and register, so that it can never drift from them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gangplank_enrolment::{Contact, Known};
use gangplank_pki::TunnelName;
use gangplank_tunnel::{Ledger, Session, encode_accounts};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tokio::sync::watch;

use crate::entrance::Quay;
use crate::registry::Registry;

/// A tunnel's name and what carries it, `quic` or `tcp`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct OfTransport {
    tunnel: String,
    transport: &'static str,
}

/// What is looked at.
#[derive(Debug)]
pub(crate) struct Standings {
    tunnels: Registry<Arc<dyn Session>>,
    ledger: Ledger<TunnelName>,
    quay: Quay,
    contact: watch::Receiver<Contact>,
}

impl Standings {
    pub(crate) fn of(
        tunnels: &Registry<Arc<dyn Session>>,
        ledger: &Ledger<TunnelName>,
        quay: &Quay,
        known: &Known,
    ) -> Self {
        Self {
            tunnels: tunnels.clone(),
            ledger: ledger.clone(),
            quay: quay.clone(),
            contact: known.contact(),
        }
    }
}

impl Collector for Standings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let waiting = ConstGauge::new(count(self.quay.waiting()));
        let help = "Callers that have connected and are not yet on board.";
        waiting.encode(encoder.encode_descriptor(
            "waiting_callers",
            help,
            None,
            MetricType::Gauge,
        )?)?;
        self.encode_contact(&mut encoder)?;
        self.encode_registered(&mut encoder)?;
        encode_accounts(&self.ledger.accounts(), "tunnel", &mut encoder)
    }
}

impl Standings {
    /// Whether revocations are those of now.
    fn encode_contact(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let lost = match &*self.contact.borrow() {
            Contact::Held => Duration::ZERO,
            Contact::Lost { since, .. } => since.elapsed(),
        };
        let help = "For how long the register of clusters has not been followed; 0 while it is.";
        let unit = Unit::Seconds;
        let gauge =
            encoder.encode_descriptor("register_lost", help, Some(&unit), MetricType::Gauge)?;
        ConstGauge::new(lost.as_secs_f64()).encode(gauge)
    }

    /// Tunnels that take callers, and who is on board.
    fn encode_registered(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (mut tunnels, mut streams) = (BTreeMap::new(), BTreeMap::new());
        for tunnel in self.tunnels.tunnels() {
            let name = tunnel.name().to_string();
            let on_board: &mut i64 = streams.entry(name.clone()).or_default();
            *on_board = on_board.saturating_add(count(tunnel.open_streams()));
            let label = OfTransport {
                tunnel: name,
                transport: tunnel.session().transport(),
            };
            let standing: &mut i64 = tunnels.entry(label).or_default();
            *standing = standing.saturating_add(1);
        }
        let help = "Registered tunnels by name and transport.";
        let mut gauge = encoder.encode_descriptor("tunnels", help, None, MetricType::Gauge)?;
        for (label, tunnels) in &tunnels {
            ConstGauge::new(*tunnels).encode(gauge.encode_family(label)?)?;
        }
        let help = "Callers on board by tunnel name.";
        let mut gauge = encoder.encode_descriptor("open_streams", help, None, MetricType::Gauge)?;
        for (tunnel, streams) in streams {
            ConstGauge::new(streams).encode(gauge.encode_family(&[("tunnel", tunnel)])?)?;
        }
        Ok(())
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

//! What a running controller lets others see: whether it leads, whether the API server answers, and how its objects are.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rustls_pki_types::CertificateDer;

/// Where a replica stands among the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It has not seen yet who leads.
    #[default]
    Candidate,
    /// Another one leads.
    Following(String),
    /// It leads.
    Leading,
    /// There is no election: it acts always.
    Alone,
}

/// How many objects of a kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// That do what they say.
    pub ready: usize,
    /// That do not.
    pub unready: usize,
    /// That cannot be worked on now, and are tried again.
    pub failing: usize,
}

/// Counts the objects of a kind.
pub(crate) type Tally = Arc<dyn Fn() -> Count + Send + Sync>;

/// How one piece of work went.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Work {
    kind: String,
    outcome: &'static str,
}

/// The shared view. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Insight(Arc<Seen>);

#[derive(Default)]
struct Seen {
    standing: Mutex<Standing>,
    /// Why the API server did not answer the last request, if it did not.
    away: Mutex<Option<String>>,
    /// Lists that it refuses, and why.
    refused: Mutex<BTreeMap<String, Refused>>,
    tallies: Mutex<BTreeMap<String, Tally>>,
    certificates: Mutex<BTreeMap<&'static str, CertificateDer<'static>>>,
    /// What stands in the way of the installation's own certificates.
    trouble: Mutex<BTreeMap<&'static str, String>>,
    reconciles: Family<Work, Counter>,
}

/// Why a list is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such kind.
    Unknown,
    /// This account may not.
    Forbidden,
}

impl Insight {
    /// A view of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where this replica stands.
    pub fn standing(&self) -> Standing {
        self.0.standing.lock().clone()
    }

    /// The kinds that are worked on, and how their objects are.
    pub fn objects(&self) -> BTreeMap<String, Count> {
        let tallies = self.0.tallies.lock().clone();
        let counted = tallies.into_iter().map(|(kind, tally)| (kind, tally()));
        counted.collect()
    }

    /// The installation's own certificates, by what they are for.
    pub fn certificates(&self) -> BTreeMap<&'static str, CertificateDer<'static>> {
        self.0.certificates.lock().clone()
    }

    /// Why it cannot do its work; empty when it can. Each begins with one word for programs.
    pub fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(why) = &*self.0.away.lock() {
            reasons.push(format!(
                "ApiServerAway: {why}; what was made stays, and the controller tries on"
            ));
        }
        let refused = self.0.refused.lock().clone();
        reasons.extend(refused.iter().map(|(list, why)| why.told(list)));
        let trouble = self.0.trouble.lock().clone();
        reasons.extend(trouble.into_values());
        reasons
    }

    pub(crate) fn stands(&self, standing: Standing) {
        if standing != Standing::Leading && standing != Standing::Alone {
            self.0.tallies.lock().clear();
            self.0.refused.lock().clear();
            self.0.trouble.lock().clear();
            self.0.certificates.lock().clear();
        }
        *self.0.standing.lock() = standing;
    }

    /// No answer came in the time that there was.
    pub(crate) fn api_server_is_silent(&self) {
        self.api_server_is_away("it does not answer in time");
    }

    pub(crate) fn api_server_is_away(&self, why: &str) {
        let before = self.0.away.lock().replace(why.to_owned());
        if before.is_none() {
            tracing::warn!(
                why,
                "the API server is away: what was made stays, and is kept again when it is back"
            );
        }
    }

    pub(crate) fn api_server_answered(&self) {
        let before = self.0.away.lock().take();
        if before.is_some() {
            tracing::info!("the API server is back");
        }
    }

    /// What came of reading the whole list at `path`.
    pub(crate) fn listed(&self, path: &str, refused: Option<Refused>) {
        let mut lists = self.0.refused.lock();
        let before = match refused {
            Some(why) => lists.insert(path.to_owned(), why),
            None => lists.remove(path),
        };
        drop(lists);
        if let Some(why) = refused
            && before != Some(why)
        {
            tracing::warn!("{}", why.told(path));
        }
    }

    pub(crate) fn worked(&self, kind: &str, outcome: &'static str) {
        let kind = kind.to_owned();
        let counter = self.0.reconciles.get_or_create(&Work { kind, outcome });
        counter.inc();
    }

    pub(crate) fn count(&self, kind: &str, tally: Tally) {
        self.0.tallies.lock().insert(kind.to_owned(), tally);
    }

    /// An own certificate is as it should be.
    pub(crate) fn holds(&self, name: &'static str, certificate: CertificateDer<'static>) {
        self.0.certificates.lock().insert(name, certificate);
        self.0.trouble.lock().remove(name);
    }

    /// An own certificate is not as it should be.
    pub(crate) fn lacks(&self, name: &'static str, why: &str) {
        let before = self.0.trouble.lock().insert(name, why.to_owned());
        if before.as_deref() != Some(why) {
            tracing::warn!("{why}");
        }
    }

    /// Registers everything under `controller_`.
    pub fn register(&self, registry: &mut Registry) {
        let controller = registry.sub_registry_with_prefix("controller");
        controller.register(
            "reconciles",
            "Times that an object was worked on, by kind and reason of its condition or of the failure",
            self.0.reconciles.clone(),
        );
        controller.register_collector(Box::new(self.clone()));
    }
}

impl Refused {
    /// For people: what is refused and what to do. `path` is that of the list.
    fn told(self, path: &str) -> String {
        let mut words = path.rsplit('/');
        let plural = words.next().unwrap_or_default();
        let group = words.nth(1).filter(|_| path.starts_with("/apis/"));
        let group = group.unwrap_or_default();
        match self {
            Self::Unknown => format!(
                "DefinitionMissing: the API server knows no {plural}.{group}: apply the custom resource \
                 definitions of this version (deploy/crds, or the chart)"
            ),
            Self::Forbidden => format!(
                "Forbidden: this account may not list {plural} (group {group:?}): apply the role of this version's \
                 chart to it"
            ),
        }
    }
}

impl Collector for Insight {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let leads = matches!(self.standing(), Standing::Leading | Standing::Alone);
        let leader = encoder.encode_descriptor(
            "leader",
            "Whether this replica acts.",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(i64::from(leads)).encode(leader)?;
        let objects = self.objects();
        if objects.is_empty() {
            return Ok(()); // a name without a value would be a metric without its labels
        }
        let number = |count: usize| ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
        let mut family = encoder.encode_descriptor(
            "objects",
            "Objects by kind and whether they are ready.",
            None,
            MetricType::Gauge,
        )?;
        for (kind, count) in &objects {
            for (ready, many) in [("true", count.ready), ("false", count.unready)] {
                let labels = [("kind", kind.as_str()), ("ready", ready)];
                number(many).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "failing_objects",
            "Objects by kind that could not be worked on and are tried again.",
            None,
            MetricType::Gauge,
        )?;
        for (kind, count) in &objects {
            let labels = [("kind", kind.as_str())];
            number(count.failing).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("standing", &self.standing)
            .field("away", &self.away)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_is_not_defined_is_named_until_it_is() {
        let insight = Insight::new();
        let list = "/apis/multicluster.admiralty.io/v1alpha1/identities";
        insight.listed(list, Some(Refused::Unknown));
        let said = insight.unready().join("\n");
        assert!(
            said.contains("identities.multicluster.admiralty.io"),
            "{said}"
        );
        insight.listed(list, None);
        assert_eq!(insight.unready(), [""; 0]);
        insight.listed("/api/v1/secrets", Some(Refused::Forbidden));
        let said = insight.unready().join("\n");
        assert!(said.contains("may not list secrets (group \"\")"), "{said}");
    }

    #[test]
    fn who_does_not_lead_says_nothing_of_objects() {
        let insight = Insight::new();
        insight.stands(Standing::Leading);
        insight.count("Identity", Arc::new(Count::default));
        insight.lacks("exit", "Spoilt: it is broken");
        assert_eq!(insight.objects().len(), 1);
        insight.stands(Standing::Following("other".to_owned()));
        assert!(insight.objects().is_empty() && insight.unready().is_empty());
    }

    #[test]
    fn metrics_are_told_by_kind() {
        let insight = Insight::new();
        let mut registry = Registry::default();
        insight.register(&mut registry);
        insight.stands(Standing::Alone);
        let count = Count {
            ready: 2,
            unready: 1,
            failing: 1,
        };
        insight.count("Identity", Arc::new(move || count));
        insight.worked("Identity", "Issued");
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).expect("text");
        for line in [
            "controller_leader 1",
            "controller_objects{kind=\"Identity\",ready=\"true\"} 2",
            "controller_objects{kind=\"Identity\",ready=\"false\"} 1",
            "controller_failing_objects{kind=\"Identity\"} 1",
            "controller_reconciles_total{kind=\"Identity\",outcome=\"Issued\"} 1",
        ] {
            assert!(page.contains(line), "{line} in {page}");
        }
    }
}

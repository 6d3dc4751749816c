//! What the callers' side of the exit counts.
//!
//! Labels are closed sets (methods, status codes, names of enum variants), so that no caller can make
//! the number of series grow.

use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::audit::Kind;
use crate::shares::Refused;

/// Seconds until the response's headers: from a cached GET to a webhook's 30 s and a request's 60 s,
/// kube-apiserver's own buckets thinned to every second one.
const ANSWER_SECONDS: [f64; 12] = [
    0.005, 0.025, 0.1, 0.2, 0.4, 0.6, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
];

/// Seconds left of an accepted certificate: half an hour to a year, the buckets of kube-apiserver's
/// `apiserver_client_certificate_expiration_seconds`.
const CERTIFICATE_SECONDS: [f64; 14] = [
    1800.0,
    3600.0,
    7200.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    345_600.0,
    604_800.0,
    2_592_000.0,
    7_776_000.0,
    15_552_000.0,
    31_104_000.0,
    63_072_000.0,
];

/// The exit's counters; a clone counts into the same ones.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) handshakes: Family<HandshakeLabels, Counter>,
    pub(crate) refusals: Family<ClassLabels, Counter>,
    pub(crate) certificate_seconds: Histogram,
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) running: Family<KindLabels, Gauge>,
    pub(crate) answer_seconds: Histogram,
    pub(crate) cut_short: Family<ReasonLabels, Counter>,
    pub(crate) upstream_faults: Family<ReasonLabels, Counter>,
    pub(crate) reviews: Family<OutcomeLabels, Counter>,
    pub(crate) revoked: Counter,
    pub(crate) limited: Refused,
    pub(crate) flooding: Counter,
    pub(crate) accept_faults: Counter,
}

impl Metrics {
    /// New counters, registered under `exit`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            connections: Gauge::default(),
            handshakes: Family::default(),
            refusals: Family::default(),
            certificate_seconds: Histogram::new(CERTIFICATE_SECONDS),
            requests: Family::default(),
            running: Family::default(),
            answer_seconds: Histogram::new(ANSWER_SECONDS),
            cut_short: Family::default(),
            upstream_faults: Family::default(),
            reviews: Family::default(),
            revoked: Counter::default(),
            limited: Refused::default(),
            flooding: Counter::default(),
            accept_faults: Counter::default(),
        };
        let exit = registry.sub_registry_with_prefix("exit");
        metrics.register_connections(exit);
        metrics.register_requests(exit);
        metrics
    }

    fn register_connections(&self, exit: &mut Registry) {
        exit.register(
            "connections",
            "Callers' connections open",
            self.connections.clone(),
        );
        exit.register(
            "handshakes",
            "TLS handshakes by their result",
            self.handshakes.clone(),
        );
        exit.register(
            "refusals",
            "Connections and requests without an accepted certificate, by class",
            self.refusals.clone(),
        );
        exit.register_with_unit(
            "certificate_remaining",
            "Life left in callers' accepted certificates at the handshake",
            Unit::Seconds,
            self.certificate_seconds.clone(),
        );
        exit.register(
            "connections_revoked",
            "Connections ended because their certificate is no longer accepted",
            self.revoked.clone(),
        );
        exit.register(
            "connections_flooding",
            "Connections ended because their caller took back one request after another",
            self.flooding.clone(),
        );
        exit.register(
            "accept_faults",
            "Failures to accept a TCP connection, such as no file descriptor left",
            self.accept_faults.clone(),
        );
    }

    fn register_requests(&self, exit: &mut Registry) {
        exit.register("requests", "Requests answered", self.requests.clone());
        exit.register(
            "requests_running",
            "Requests running, by kind",
            self.running.clone(),
        );
        exit.register_with_unit(
            "answer",
            "Time from a request's headers to its response's headers",
            Unit::Seconds,
            self.answer_seconds.clone(),
        );
        exit.register(
            "limited",
            "Requests and connections refused because their caller has used up a share, by limit",
            self.limited.clone(),
        );
        exit.register(
            "answers_cut_short",
            "Answers that ended before their end",
            self.cut_short.clone(),
        );
        exit.register(
            "upstream_faults",
            "Requests that the API server did not answer",
            self.upstream_faults.clone(),
        );
        exit.register(
            "impersonation_reviews",
            "Questions to the API server whether a caller may impersonate",
            self.reviews.clone(),
        );
    }

    pub(crate) fn answered(&self, method: &Method, status: StatusCode) {
        self.requests
            .get_or_create(&RequestLabels::new(method, status))
            .inc();
    }
}

/// Labels of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct HandshakeLabels {
    pub(crate) result: HandshakeResult,
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum HandshakeResult {
    /// TLS is up, whoever the caller is.
    Done,
    /// TLS failed or the caller left.
    Failed,
    /// Not done before the deadline.
    Late,
    /// No place was free before the deadline.
    Crowded,
}

/// Label of a refusal: the class as callers read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ClassLabels {
    pub(crate) class: &'static str,
}

/// Label of a fault: an error variant's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReasonLabels {
    pub(crate) reason: &'static str,
}

/// Label of a review: how it came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabels {
    pub(crate) outcome: &'static str,
}

/// Label of a kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabels {
    pub(crate) kind: &'static str,
}

impl KindLabels {
    pub(crate) const fn of(kind: Kind) -> Self {
        Self { kind: kind.name() }
    }
}

/// Labels of an answered request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    method: &'static str,
    code: u16,
}

impl RequestLabels {
    fn new(method: &Method, status: StatusCode) -> Self {
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            Method::HEAD => "HEAD",
            Method::OPTIONS => "OPTIONS",
            _ => "other",
        };
        Self {
            method,
            code: status.as_u16(),
        }
    }
}

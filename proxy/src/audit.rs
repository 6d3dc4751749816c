//! The audit trail: who asked for what, and how it ended.
//!
//! One event a request when it ends; a second one at the start for what runs long. The events go to
//! the tracing target [`TARGET`]. They never hold a query (an exec's command stands there), a header's
//! value other than the two named below, or a body.

use std::fmt::Write as _;
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, header};
use tokio::time::Instant;
use uuid::Uuid;

use crate::exit::Caller;
use crate::metrics::{KindLabels, Metrics, ReasonLabels};

/// The tracing target of audit events.
pub const TARGET: &str = "gangplank::audit";

/// How much of a header that the caller wrote goes into an event: longer than any user agent of a
/// known client, short enough for a log line.
const CALLER_TEXT_LIMIT: usize = 256;

/// What sort of request it is, for what ends when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Answered and done.
    Short,
    /// Events until someone ends it.
    Watch,
    /// A log that is followed.
    Log,
    /// exec, attach, port-forward: not HTTP any more.
    Upgrade,
}

impl Kind {
    /// What a request that is not an upgrade is.
    pub(crate) fn of(method: &Method, path: &str, query: Option<&str>) -> Self {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        // What a proxied service makes of its query is its own affair.
        if method != Method::GET || segments.contains(&"proxy") {
            return Self::Short;
        }
        if asks(query, "watch") || is_watch_path(&segments) {
            Self::Watch
        } else if segments.last() == Some(&"log") && asks(query, "follow") {
            Self::Log
        } else {
            Self::Short
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Watch => "watch",
            Self::Log => "log",
            Self::Upgrade => "upgrade",
        }
    }

    const fn runs_long(self) -> bool {
        !matches!(self, Self::Short)
    }
}

/// Whether the query asks for `name`, by kube-apiserver's reading: anything but 0 and false.
fn asks(query: Option<&str>, name: &str) -> bool {
    query.unwrap_or_default().split('&').any(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        key == name && value != "0" && !value.eq_ignore_ascii_case("false")
    })
}

/// The deprecated form: `/api/v1/watch/…`, `/apis/GROUP/VERSION/watch/…`.
fn is_watch_path(segments: &[&str]) -> bool {
    matches!(
        segments,
        ["api", _, "watch", ..] | ["apis", _, _, "watch", ..]
    )
}

/// What is the same for all requests of a connection.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) caller: Caller,
    /// Username, provider and certificate, if the certificate was accepted.
    pub(crate) accepted: Option<Accepted>,
}

/// What is known of an accepted caller.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) username: String,
    pub(crate) provider: String,
    pub(crate) certificate: String,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of the answer was given to the connection.
    Whole,
    /// A watch was ended between two events because this exit drains.
    Drained,
    /// The answer broke off; the reason.
    CutShort(&'static str),
}

/// One request's entry in the trail. It is written when the entry is dropped at the latest, so that no
/// way out of a request is left out.
#[derive(Debug)]
pub(crate) struct Entry {
    who: Arc<Who>,
    metrics: Arc<Metrics>,
    request: Uuid,
    method: Method,
    path: String,
    kind: Kind,
    user_agent: String,
    audit_id_of_caller: String,
    began: Instant,
    status: Option<StatusCode>,
    bytes: u64,
    outcome: Option<Outcome>,
    class: &'static str,
}

impl Entry {
    pub(crate) fn begin(
        who: Arc<Who>,
        metrics: Arc<Metrics>,
        kind: Kind,
        request: &http::request::Parts,
    ) -> Self {
        metrics.running.get_or_create(&KindLabels::of(kind)).inc();
        Self {
            who,
            metrics,
            request: Uuid::new_v4(),
            method: request.method.clone(),
            path: printable(request.uri.path().as_bytes(), usize::MAX),
            kind,
            user_agent: caller_text(&request.headers, &header::USER_AGENT),
            audit_id_of_caller: caller_text(&request.headers, &crate::headers::AUDIT_ID),
            began: Instant::now(),
            status: None,
            bytes: 0,
            outcome: None,
            class: "",
        }
    }

    /// The request's id, which goes upstream as `Audit-ID`.
    pub(crate) const fn request_id(&self) -> Uuid {
        self.request
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The response's headers are known; what runs long gets its first event.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.metrics.answered(&self.method, status);
        self.metrics
            .answer_seconds
            .observe(self.began.elapsed().as_secs_f64());
        if self.kind.runs_long() && (status.is_success() || status.is_informational()) {
            self.write("started", "");
        }
    }

    /// The answer is ours, for this class of cause.
    pub(crate) const fn declined(&mut self, class: &'static str) {
        self.class = class;
    }

    /// So many bytes of the answer were passed on.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// So many bytes went each way on an upgraded connection.
    pub(crate) const fn count_both(&mut self, sent: u64, received: u64) {
        self.bytes = self.bytes.saturating_add(sent).saturating_add(received);
    }

    /// The request ended like this; later calls change nothing.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        if self.outcome.is_none() {
            self.outcome = Some(outcome);
        }
    }

    fn write(&self, stage: &'static str, ended: &'static str) {
        let (username, provider, certificate) = match &self.who.accepted {
            Some(it) => (
                it.username.as_str(),
                it.provider.as_str(),
                it.certificate.as_str(),
            ),
            None => ("", "", ""),
        };
        tracing::info!(
            target: TARGET,
            stage,
            request.id = %self.request,
            conn.id = %self.who.caller.connection_text(),
            client.addr = %self.who.caller.address,
            client.addr_from = self.who.caller.said_by.name(),
            tunnel = self.who.caller.tunnel.as_deref().unwrap_or_default(),
            user = username,
            provider,
            certificate,
            method = self.method.as_str(),
            // As strings, which the text form quotes: what a caller wrote cannot look like a field of ours.
            path = self.path.as_str(),
            kind = self.kind.name(),
            user_agent = self.user_agent.as_str(),
            caller.audit_id = self.audit_id_of_caller.as_str(),
            status = self.status.map(|status| status.as_u16()),
            class = self.class,
            bytes = self.bytes,
            seconds = self.began.elapsed().as_secs_f64(),
            ended,
        );
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.metrics
            .running
            .get_or_create(&KindLabels::of(self.kind))
            .dec();
        let ended = match self.outcome {
            Some(Outcome::Whole) => "whole",
            Some(Outcome::Drained) => "drained",
            Some(Outcome::CutShort(reason)) => {
                self.metrics
                    .cut_short
                    .get_or_create(&ReasonLabels { reason })
                    .inc();
                reason
            }
            None => "CallerLeft",
        };
        self.write("ended", ended);
    }
}

fn caller_text(headers: &HeaderMap, name: &header::HeaderName) -> String {
    headers
        .get(name)
        .map(|value| printable(value.as_bytes(), CALLER_TEXT_LIMIT))
        .unwrap_or_default()
}

/// Bytes that someone else wrote as text that cannot steer a terminal: at most `limit` of them,
/// everything but printable ASCII as `\xNN`.
fn printable(bytes: &[u8], limit: usize) -> String {
    let mut text = String::with_capacity(bytes.len().min(limit));
    for byte in bytes.iter().copied().take(limit) {
        if byte == b' ' || (byte.is_ascii_graphic() && byte != b'\\') {
            text.push(char::from(byte));
        } else if write!(text, "\\x{byte:02x}").is_err() {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_path_and_query() {
        for (path, query, kind) in [
            ("/api/v1/pods", None, Kind::Short),
            ("/api/v1/pods", Some("watch"), Kind::Watch),
            ("/api/v1/pods", Some("watch=0"), Kind::Short),
            ("/api/v1/namespaces/watch/pods", None, Kind::Short),
            ("/apis/apps/v1/watch/deployments", None, Kind::Watch),
            (
                "/api/v1/namespaces/a/services/s/proxy/x",
                Some("watch=1"),
                Kind::Short,
            ),
            ("/api/v1/pods", Some("watch=true"), Kind::Watch),
            ("/api/v1/pods", Some("limit=5&watch=1&x"), Kind::Watch),
            ("/api/v1/pods", Some("watch=false"), Kind::Short),
            ("/api/v1/watch/pods", None, Kind::Watch),
            ("/api/v1/namespaces/a/pods/watchdog", None, Kind::Short),
            (
                "/api/v1/namespaces/a/pods/p/log",
                Some("follow=true"),
                Kind::Log,
            ),
            ("/api/v1/namespaces/a/pods/p/log", None, Kind::Short),
        ] {
            assert_eq!(
                Kind::of(&Method::GET, path, query),
                kind,
                "{path} {query:?}"
            );
        }
        assert_eq!(
            Kind::of(&Method::POST, "/api/v1/pods", Some("watch=1")),
            Kind::Short
        );
    }

    #[test]
    fn control_characters_and_what_is_not_ascii_are_escaped() {
        assert_eq!(
            printable(b"a b\x1b[31m\n\\\xc3\xa9", 100),
            "a b\\x1b[31m\\x0a\\x5c\\xc3\\xa9"
        );
        assert_eq!(printable(b"abcdef", 3), "abc");
    }
}

//! One request in the trail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;
use uuid::Uuid;

use super::line::Fields;
use super::queue::About;
use super::request_info::{Query, RequestInfo, decoded};
use super::timestamp::Timestamp;
use super::{Kind, TARGET, Who};
use crate::metrics::{KindLabels, Metrics, ReasonLabels};
use crate::nested::Wish;

/// How much of a header that the caller wrote goes into an event: longer than any user agent of a
/// known client, short enough for a log line.
const CALLER_TEXT_LIMIT: usize = 256;

/// How much of a path goes into an event. Kubernetes' longest names (253) in every place of a path come to
/// about a thousand; what is longer lies behind a `proxy`, and strangers can make it as long as they like.
const PATH_LIMIT: usize = 2048;

/// How much of a name goes into an event: Kubernetes' longest have 253 bytes.
const NAME_LIMIT: usize = 256;

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

/// The bytes that came from the caller.
#[derive(Debug)]
enum Received {
    Counted(u64),
    Elsewhere(Arc<AtomicU64>),
}

impl Received {
    fn bytes(&self) -> u64 {
        match self {
            Self::Counted(bytes) => *bytes,
            Self::Elsewhere(counter) => counter.load(Ordering::Relaxed),
        }
    }
}

/// One request's entry in the trail. It is written when the entry is dropped at the latest, so that no
/// way out of a request is left out.
#[derive(Debug)]
pub(crate) struct Entry {
    who: Arc<Who>,
    metrics: Arc<Metrics>,
    request: Uuid,
    method: Method,
    kind: Kind,
    is_handed_on: bool,
    /// What was asked, as it stands in the line. A copy: the request's own bytes lie in the buffer that
    /// the connection reads into, and would keep it from being used again.
    asked: Vec<u8>,
    began: Instant,
    status: Option<StatusCode>,
    sent: u64,
    received: Received,
    outcome: Option<Outcome>,
    class: &'static str,
}

impl Entry {
    pub(crate) fn begin(
        who: Arc<Who>,
        metrics: Arc<Metrics>,
        upgrades: bool,
        request: &Parts,
    ) -> Self {
        let path = decoded(request.uri.path());
        let query = Query(request.uri.query());
        let info = RequestInfo::of(&request.method, &path, query);
        let kind = if upgrades {
            Kind::Upgrade
        } else {
            Kind::of(&request.method, &info, query)
        };
        metrics.running.get_or_create(&KindLabels::of(kind)).inc();
        let is_handed_on = info.is_handed_on();
        let id = Uuid::new_v4();
        let asked = if who.trail.is_off() {
            Vec::new()
        } else {
            render_asked(id, kind, &info, request)
        };
        Self {
            who,
            metrics,
            request: id,
            method: request.method.clone(),
            kind,
            is_handed_on,
            asked,
            began: Instant::now(),
            status: None,
            sent: 0,
            received: Received::Counted(0),
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

    /// Whether the API server only hands it on: what is answered, and when, is up to someone else then.
    pub(crate) const fn is_handed_on(&self) -> bool {
        self.is_handed_on
    }

    /// The response's headers are known; what runs long gets its first event.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.metrics.answered(&self.method, status);
        let elapsed = self.began.elapsed();
        self.metrics.answer_seconds.observe(elapsed.as_secs_f64());
        if self.kind.runs_long() && (status.is_success() || status.is_informational()) {
            self.write("started", "", elapsed);
        }
    }

    /// The caller asks to be taken for someone else. All of it, for two names that begin alike are two: a wish
    /// is short.
    pub(crate) fn asks_to_be(&mut self, wish: &Wish) {
        if self.who.trail.is_off() {
            return;
        }
        let mut fields = Fields(&mut self.asked);
        fields.text("impersonate.user", wish.user().as_bytes(), usize::MAX);
        let uid = wish.uid().unwrap_or_default();
        fields.text("impersonate.uid", uid.as_bytes(), usize::MAX);
        let groups = wish.groups().iter().map(|group| [group.as_str()]);
        fields.texts("impersonate.groups", groups);
        let extras = wish.extras().iter();
        let extras = extras.map(|(key, value)| [key.as_str(), "=", value]);
        fields.texts("impersonate.extra", extras);
    }

    /// The answer is ours, for this class of cause.
    pub(crate) const fn declined(&mut self, class: &'static str) {
        self.class = class;
    }

    /// So many bytes of the answer were passed on.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(length(bytes));
    }

    /// So many bytes of the caller's were passed on, on an upgraded connection.
    pub(crate) fn count_received(&mut self, bytes: usize) {
        if let Received::Counted(received) = &mut self.received {
            *received = received.saturating_add(length(bytes));
        }
    }

    /// What the request's body, which goes its own way, counts its bytes with.
    pub(crate) fn counter_of_received(&mut self) -> Arc<AtomicU64> {
        let counter = Arc::new(AtomicU64::new(0));
        self.received = Received::Elsewhere(Arc::clone(&counter));
        counter
    }

    /// The request ended like this; later calls change nothing.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        if self.outcome.is_none() {
            self.outcome = Some(outcome);
        }
    }

    /// A stranger's, and what was beyond a share, can be as many as anyone likes.
    fn about(&self) -> About {
        let is_out_of_hand = matches!(
            self.status,
            Some(StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS)
        );
        if is_out_of_hand && !self.class.is_empty() {
            About::Refusal
        } else {
            About::Something
        }
    }

    fn write(&self, stage: &str, ended: &str, elapsed: Duration) {
        self.who.trail.write(self.about(), |moment, line| {
            begin_line(line, moment);
            Fields(line).word("stage", stage);
            line.extend_from_slice(&self.who.fields);
            line.extend_from_slice(&self.asked);
            let mut fields = Fields(line);
            if let Some(status) = self.status {
                fields.number("status", status.as_u16().into());
            }
            fields.word("class", self.class);
            fields.number("bytes.received", self.received.bytes());
            fields.number("bytes.sent", self.sent);
            fields.seconds("seconds", elapsed);
            fields.word("ended", ended);
            line.extend_from_slice(b"}\n");
        });
    }
}

/// Events stand beside log lines on standard error, and begin like those.
fn begin_line(line: &mut Vec<u8>, moment: &Timestamp) {
    line.extend_from_slice(b"{\"timestamp\":\"");
    line.extend_from_slice(moment);
    line.extend_from_slice(b"\",\"level\":\"INFO\"");
    Fields(line).word("target", TARGET);
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn render_asked(id: Uuid, kind: Kind, info: &RequestInfo<'_>, request: &Parts) -> Vec<u8> {
    let path = request.uri.path().as_bytes();
    let user_agent = caller_text(&request.headers, &header::USER_AGENT);
    let audit_id = caller_text(&request.headers, &crate::headers::AUDIT_ID);
    /// The fields' names, the id, method, verb and kind.
    const BESIDES: usize = 240;
    // A resource's words stand in the path, too.
    let length = BESIDES + 2 * path.len().min(PATH_LIMIT) + user_agent.len() + audit_id.len();
    let mut asked = Vec::with_capacity(length);
    let mut fields = Fields(&mut asked);
    let mut buffer = Uuid::encode_buffer();
    fields.word("request.id", id.hyphenated().encode_lower(&mut buffer));
    fields.text("verb", info.verb.as_bytes(), NAME_LIMIT);
    fields.text("api.group", info.api_group, NAME_LIMIT);
    fields.text("api.version", info.api_version, NAME_LIMIT);
    fields.text("resource", info.resource, NAME_LIMIT);
    fields.text("subresource", info.subresource, NAME_LIMIT);
    fields.text("namespace", info.namespace, NAME_LIMIT);
    fields.text("name", &info.name, NAME_LIMIT);
    fields.text(
        "method",
        request.method.as_str().as_bytes(),
        CALLER_TEXT_LIMIT,
    );
    fields.text("path", path, PATH_LIMIT);
    fields.word("kind", kind.name());
    fields.text("user_agent", user_agent, CALLER_TEXT_LIMIT);
    fields.text("caller.audit_id", audit_id, CALLER_TEXT_LIMIT);
    asked
}

fn caller_text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> &'h [u8] {
    let value = headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
    value.get(..CALLER_TEXT_LIMIT).unwrap_or(value)
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.who.underway.one_over();
        let kind = KindLabels::of(self.kind);
        self.metrics.running.get_or_create(&kind).dec();
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
        self.write("ended", ended, self.began.elapsed());
    }
}

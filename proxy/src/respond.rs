//! Every answer that is ours: a Kubernetes `Status`, and the same in a `Warning`.
//!
//! kubectl drops the `Status` of its first (discovery) call but prints warnings, so both say what is
//! wrong and what to do. What the API server answered never comes here.

mod nested;
mod shares;

use std::borrow::Cow;

use gangplank_pki::Refusal;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, RETRY_AFTER, WARNING};
use http::{HeaderValue, Response, StatusCode, Version};
use serde::Serialize;

use crate::body::AnswerBody;
use crate::headers::HeaderFault;
use crate::upstream::UpstreamError;

/// Longest text of a `Warning`: kube-apiserver cuts its own at 256 runes each when there are many;
/// ours is alone, and a certificate's names fit.
const WARNING_LIMIT: usize = 1024;

/// The code of a warning that is about the request and not about a cache (RFC 7234 §5.5.7), the only
/// one that Kubernetes clients print.
const WARNING_CODE: u16 = 299;

/// An answer of ours, before it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    /// Kubernetes' machine-readable reason (`metav1.StatusReason`).
    reason: &'static str,
    /// Our class of the cause, first word of the warning.
    class: &'static str,
    message: Cow<'static, str>,
    remedy: Cow<'static, str>,
    words: Words,
    closes: bool,
    /// Kubernetes clients send *any* request again after `Retry-After`, so it stands only where the
    /// API server certainly saw nothing, and where trying soon may help. In seconds.
    retry_after: Option<u64>,
}

/// Whose sentence an answer's message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// Ours, and what to do stands behind it.
    Ours,
    /// The API server's, and it stands in the `Status` as it would there; what to do is for the warning.
    ApiServers,
}

impl Problem {
    const fn new(
        status: StatusCode,
        reason: &'static str,
        class: &'static str,
        texts: (&'static str, &'static str),
    ) -> Self {
        Self {
            status,
            reason,
            class,
            message: Cow::Borrowed(texts.0),
            remedy: Cow::Borrowed(texts.1),
            words: Words::Ours,
            closes: false,
            retry_after: None,
        }
    }

    /// Whoever is there has no accepted certificate.
    pub(crate) fn unauthorized(refusal: &Refusal) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            reason: "Unauthorized",
            class: refusal.class(),
            message: Cow::Owned(refusal.to_string()),
            remedy: Cow::Owned(refusal.remedy().to_string()),
            words: Words::Ours,
            closes: true,
            retry_after: None,
        }
    }

    /// The certificate was accepted when the connection began and is so no longer, or is someone
    /// else's name by now.
    pub(crate) const fn trust_changed() -> Self {
        let mut problem = Self::new(
            StatusCode::UNAUTHORIZED,
            "Unauthorized",
            "TrustChanged",
            (
                "what this cluster trusts has changed since this connection was opened",
                "connect again; if that is refused, ask who administers this cluster",
            ),
        );
        problem.closes = true;
        problem
    }

    /// The headers cannot be forwarded.
    pub(crate) fn of_headers(fault: &HeaderFault) -> Self {
        match fault {
            HeaderFault::Impersonation { .. } => Self::new(
                StatusCode::FORBIDDEN,
                "Forbidden",
                fault.reason(),
                (
                    "impersonation is not possible through this proxy",
                    "leave out --as, --as-group and --as-uid, or use a certificate of that user",
                ),
            ),
            HeaderFault::Identity => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalError",
                fault.reason(),
                (
                    "the username that this certificate has here cannot be passed on",
                    "use a certificate whose name is printable ASCII",
                ),
            ),
            HeaderFault::TooMany => Self::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "RequestHeaderFieldsTooLarge",
                fault.reason(),
                ("the request has too many headers", "send fewer headers"),
            ),
        }
    }

    /// The API server did not answer.
    pub(crate) fn of_upstream(error: &UpstreamError) -> Self {
        let status = error.status();
        let reason = match status {
            StatusCode::GATEWAY_TIMEOUT => "Timeout",
            StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
            // Kubernetes has no reason for 502; its clients make this of an unknown 5xx.
            _ => "InternalError",
        };
        Self {
            status,
            reason,
            class: error.reason(),
            // The error's own text names addresses and files, which are for the log.
            message: Cow::Borrowed("the proxy got no answer from the API server"),
            remedy: Cow::Borrowed(error.remedy()),
            words: Words::Ours,
            // What follows a switch that nobody wanted is not an answer to anything.
            closes: matches!(error, UpstreamError::WrongProtocol),
            retry_after: (matches!(
                error,
                UpstreamError::Crowded
                    | UpstreamError::RefusedUnprocessed { .. }
                    | UpstreamError::Stopping
            ) && error.certainly_not_sent())
            .then_some(1),
        }
    }

    /// A protocol switch that nobody asked for, or to something else.
    pub(crate) const fn switched_wrongly() -> Self {
        let mut problem = Self::new(
            StatusCode::BAD_GATEWAY,
            "InternalError",
            "SwitchedWrongly",
            (
                "the API server switched to a protocol that was not asked for",
                "look at what stands between this proxy and the API server",
            ),
        );
        problem.closes = true;
        problem
    }

    /// The API server's answer broke off before it could be passed on.
    pub(crate) const fn cut_short() -> Self {
        Self::new(
            StatusCode::BAD_GATEWAY,
            "InternalError",
            "BrokeOff",
            (
                "the API server's answer broke off",
                "try again; if it stays so, ask who administers this cluster",
            ),
        )
    }

    /// The audit trail has no room for it, and nothing is to be done unrecorded.
    pub(crate) const fn unrecorded() -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            "AuditTrailFull",
            (
                "the request cannot be recorded, and nothing is done unrecorded here",
                "try again; if it stays so, ask who administers this cluster",
            ),
        );
        problem.retry_after = Some(1);
        problem
    }

    /// CONNECT would make this a tunnel to anywhere.
    pub(crate) const fn no_tunnels() -> Self {
        let mut problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "Connect",
            (
                "CONNECT is not possible through this proxy",
                "use this address as the API server's, not as an HTTP proxy",
            ),
        );
        problem.closes = true;
        problem
    }

    /// A target that is no path.
    pub(crate) const fn not_a_path() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            "NotAPath",
            (
                "the request's target is no path",
                "send a target that begins with /",
            ),
        )
    }

    /// What hyper reads as one `chunked`, another server could read otherwise.
    pub(crate) const fn coded_twice() -> Self {
        let mut problem = Self::new(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            "TransferEncoding",
            (
                "the request's Transfer-Encoding is not chunked, once",
                "send it once, or a Content-Length",
            ),
        );
        problem.closes = true;
        problem
    }

    /// Two readers could take two names from it, and HTTP/1.1 without one is none.
    pub(crate) const fn not_one_host() -> Self {
        let mut problem = Self::new(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            "NotOneHost",
            (
                "the request has not exactly one Host",
                "send one line that names the host",
            ),
        );
        problem.closes = true;
        problem
    }

    /// An upgrade request must not have a body: its bytes could be taken for the stream's.
    pub(crate) const fn upgrade_with_body() -> Self {
        let mut problem = Self::new(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            "UpgradeWithBody",
            (
                "a request that asks for an upgrade has a body",
                "send the upgrade without a body",
            ),
        );
        problem.closes = true;
        problem
    }

    /// The same, ending the connection.
    pub(crate) const fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// The status code.
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// The class of the cause.
    pub(crate) const fn class(&self) -> &'static str {
        self.class
    }

    /// Whether the connection ends after this answer: `Connection: close`, or a GOAWAY.
    pub(crate) const fn closes(&self) -> bool {
        self.closes
    }

    /// The answer as it is sent.
    pub(crate) fn into_response(self, version: Version) -> Response<AnswerBody> {
        let told = format!("{}; {}", self.message, self.remedy);
        let message = match self.words {
            Words::Ours => &told,
            Words::ApiServers => &*self.message,
        };
        let status = Status {
            kind: "Status",
            api_version: "v1",
            metadata: Metadata {},
            status: "Failure",
            message,
            reason: self.reason,
            details: Details {
                causes: [Cause {
                    reason: self.class,
                    message: &self.message,
                }],
            },
            code: self.status.as_u16(),
        };
        // A struct of strings and numbers always has a JSON form.
        let text = serde_json::to_vec(&status).unwrap_or_default();
        let mut response = Response::new(AnswerBody::ours(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            HeaderName::from_static("x-content-type-options"),
            HeaderValue::from_static("nosniff"),
        );
        if let Some(warning) = warning(self.class, &told) {
            headers.insert(WARNING, warning);
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
            headers.insert(ALLOW, HeaderValue::from_static(METHODS));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.closes && version < Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The answer to `OPTIONS *`, which is about this proxy and not about a resource.
pub(crate) fn options_of_everything() -> Response<AnswerBody> {
    Response::new(AnswerBody::ours(""))
}

/// `299 gangplank "<class>: <text>"`, the text as an HTTP quoted string in ASCII.
pub(crate) fn warning(class: &str, text: &str) -> Option<HeaderValue> {
    let mut quoted = format!("{WARNING_CODE} gangplank \"{class}: ");
    for char in text.chars().take(WARNING_LIMIT) {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            ' '..='~' => quoted.push(char),
            _ => quoted.push('?'),
        }
    }
    quoted.push('"');
    HeaderValue::try_from(quoted).ok()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Metadata,
    status: &'static str,
    message: &'a str,
    reason: &'static str,
    details: Details<'a>,
    code: u16,
}

#[derive(Serialize)]
struct Metadata {}

#[derive(Serialize)]
struct Details<'a> {
    causes: [Cause<'a>; 1],
}

#[derive(Serialize)]
struct Cause<'a> {
    reason: &'static str,
    message: &'a str,
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn written(problem: Problem, version: Version) -> (http::response::Parts, String) {
        let (parts, body) = problem.into_response(version).into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_refusal_is_a_status_and_a_warning() {
        let problem = Problem::of_headers(&HeaderFault::Impersonation {
            name: HeaderName::from_static("impersonate-user"),
        });
        let (parts, text) = written(problem, Version::HTTP_11).await;
        assert_eq!(parts.status, StatusCode::FORBIDDEN);
        insta::assert_snapshot!(text, @r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"impersonation is not possible through this proxy; leave out --as, --as-group and --as-uid, or use a certificate of that user","reason":"Forbidden","details":{"causes":[{"reason":"Impersonation","message":"impersonation is not possible through this proxy"}]},"code":403}"#);
        insta::assert_snapshot!(parts.headers["warning"].to_str().unwrap(), @r#"299 gangplank "Impersonation: impersonation is not possible through this proxy; leave out --as, --as-group and --as-uid, or use a certificate of that user""#);
        assert!(!parts.headers.contains_key("connection"));
    }

    #[tokio::test]
    async fn only_http_1_is_told_to_close_in_a_header() {
        for (version, told) in [(Version::HTTP_11, true), (Version::HTTP_2, false)] {
            let (parts, _) = written(Problem::trust_changed(), version).await;
            assert_eq!(parts.headers.contains_key("connection"), told);
        }
    }

    #[tokio::test]
    async fn only_what_was_certainly_not_sent_is_to_be_tried_again() {
        for (error, told) in [
            (UpstreamError::Crowded, true),
            (UpstreamError::Stopping, true),
            (UpstreamError::WrongProtocol, false),
        ] {
            let problem = Problem::of_upstream(&error);
            let (parts, text) = written(problem, Version::HTTP_11).await;
            assert_eq!(parts.headers.contains_key("retry-after"), told, "{error}");
            assert!(text.contains(error.remedy()), "{text}");
        }
    }

    #[test]
    fn a_warning_is_one_quoted_ascii_string() {
        let written = warning("Class", "say \"no\" \\ \n\u{1b}[31m é").unwrap();
        assert_eq!(written, r#"299 gangplank "Class: say \"no\" \\ ??[31m ?""#);
        assert!(warning("Class", &"x".repeat(100_000)).unwrap().len() < 1100);
    }
}

//! Answers that are about the exit's own account and not about the caller.
//!
//! The API server's words pass as they are (they are its own), but a caller would take them for a word
//! about their own certificate: so a warning says whose account is meant, and the log tells the operator.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, WARNING};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;

use super::Answer;
use crate::audit::Entry;
use crate::body::{AnswerBody, UpstreamBody};
use crate::connection::Connection;
use crate::headers;
use crate::metrics::ReasonLabels;
use crate::respond::{Problem, warning};

/// The longest refusal that is read whole before it is passed on. kube-apiserver's are some hundred bytes
/// and name a path of the caller's, which may be long.
const LONGEST_REFUSAL: u64 = 16 * 1024;

/// The class in the warning, the log and the metric.
const CLASS: &str = "ExitAccountRefused";

/// What the caller can do about it: nothing, but they can say whom to ask.
const REMEDY: &str = "the API server refuses the account of this gangplank exit, not your certificate; \
    its operator renews the account's credential or grants it `impersonate` on users";

/// Whether an answer could be about the exit's account: a 401, or a short 403.
pub(super) fn may_be_refused(response: &Response<UpstreamBody>) -> bool {
    match response.status() {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::FORBIDDEN => length(response.headers()).is_some_and(|it| it <= LONGEST_REFUSAL),
        _ => false,
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Passes such an answer on unchanged, with a warning where it is about the exit's account.
pub(super) async fn relay(
    connection: &Connection,
    response: Response<UpstreamBody>,
    mut entry: Entry,
) -> Answer {
    if response.status() == StatusCode::UNAUTHORIZED {
        let mut response = super::relay(connection, response, entry);
        tell(connection, response.headers_mut());
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let whole = tokio::select! {
        () = connection.revoked.cancelled() => return Err((Problem::trust_changed(), entry)),
        whole = body.collect() => whole,
    };
    let Ok(whole) = whole else {
        return Err((Problem::cut_short(), entry));
    };
    let text = whole.to_bytes();
    headers::strip_response(&mut parts.headers);
    parts.version = http::Version::default();
    if is_about_the_account(&text, connection) {
        tell(connection, &mut parts.headers);
    }
    entry.answered(parts.status);
    let mut body = AnswerBody::ours(text);
    body.keep(entry);
    Ok(Response::from_parts(parts, body))
}

/// Whether a 403 says that the exit may not impersonate: it names a user who cannot, and that user is not
/// the caller. What the caller wrote (a path, a name) stands behind the caller's own name.
fn is_about_the_account(text: &Bytes, connection: &Connection) -> bool {
    let Some(accepted) = &connection.who.accepted else {
        return false;
    };
    let text = String::from_utf8_lossy(text);
    let Some((before, _)) = text.split_once(" cannot impersonate") else {
        return false;
    };
    !before.contains(&format!("User \\\"{}\\\" cannot", accepted.username))
}

/// Warns the caller, counts, and tells the operator: the first time as an error, later for who looks.
fn tell(connection: &Connection, headers: &mut HeaderMap) {
    let labels = ReasonLabels { reason: CLASS };
    connection
        .exit
        .metrics
        .upstream_faults
        .get_or_create(&labels)
        .inc();
    if connection
        .exit
        .account_refused_told
        .swap(true, Ordering::Relaxed)
    {
        tracing::debug!(
            class = CLASS,
            "the API server refuses this exit's own account"
        );
    } else {
        tracing::error!(
            class = CLASS,
            "the API server refuses this exit's own account: renew its credential, or grant it \
             `impersonate` on users",
        );
    }
    if let Some(warning) = warning(CLASS, REMEDY) {
        headers.append(WARNING, warning);
    }
}

//! Answers that are about the exit's own account and not about the caller.
//!
//! The API server's words pass as they are (they are its own), but a caller would take them for a word
//! about their own certificate: so a warning says whose account is meant, and the log tells the operator.

use std::sync::atomic::Ordering;

use http::header::{CONTENT_LENGTH, WARNING};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;

use super::Answer;
use crate::audit::Entry;
use crate::body::{AnswerBody, UpstreamBody};
use crate::connection::Connection;
use crate::headers;
use crate::metrics::ReasonLabels;
use crate::respond::{Problem, warning};
use crate::shares::RequestPlace;

/// The longest refusal that is read whole before it is passed on. kube-apiserver's are some hundred bytes
/// and name a path of the caller's, which may be long.
const LONGEST_REFUSAL: u64 = 16 * 1024;

/// The class in the warning, the log and the metric.
const CLASS: &str = "ExitAccountRefused";

/// What the caller can do about it: nothing, but they can say whom to ask.
const REMEDY: &str = "the API server refuses the account of this gangplank exit, not your certificate; \
    its operator renews the account's credential or grants it `impersonate` on users";

/// Stands in kube-apiserver's answers to whatever got as far as its turn (`flowcontrol.ResponseHeaderMatchedFlowSchemaUID`),
/// which is behind its own authentication.
const HAD_ITS_TURN: &str = "x-kubernetes-pf-flowschema-uid";

/// Whether an answer could be about the exit's account: a 401 of the API server itself and not of a server that it
/// asked in turn, or a short 403.
pub(super) fn may_be_refused(response: &Response<UpstreamBody>) -> bool {
    match response.status() {
        StatusCode::UNAUTHORIZED => !response.headers().contains_key(HAD_ITS_TURN),
        StatusCode::FORBIDDEN => length(response.headers()).is_some_and(|it| it <= LONGEST_REFUSAL),
        _ => false,
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Passes such an answer to a request in the name of `user` on unchanged, with a warning where it is about the
/// exit's account.
pub(super) async fn relay(
    connection: &Connection,
    response: Response<UpstreamBody>,
    mut entry: Entry,
    (user, place): (HeaderValue, RequestPlace),
) -> Answer {
    if response.status() == StatusCode::UNAUTHORIZED {
        let mut response = super::relay(connection, response, entry, place);
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
    if is_about_the_account(&text, &user) {
        tell(connection, &mut parts.headers);
    }
    entry.answered(parts.status);
    let mut body = AnswerBody::ours(text);
    body.keep(entry);
    Ok(Response::from_parts(parts, body))
}

/// Whether a 403 says that the exit may not impersonate. Whatever the API server says of the user in whose name it
/// was asked names that user, in any of its encodings, and repeats what the caller wrote before or behind it.
fn is_about_the_account(text: &[u8], user: &HeaderValue) -> bool {
    let (text, user) = (unescaped(text), unescaped(user.as_bytes()));
    text.contains("is forbidden: User \"")
        && text.contains(" cannot impersonate")
        && !text.contains(&format!("User \"{user}\" cannot"))
}

/// Text in which it makes no difference how often quotes were escaped (Go's `%q`, JSON), whether Go's JSON wrote
/// `&`, `<` and `>` as numbers, and whether kube-apiserver wrote them as in HTML (`responsewriters.Forbidden`).
fn unescaped(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .replace('\\', "")
        .replace("u0026", "&")
        .replace("u003c", "<")
        .replace("u003e", ">")
        .replace("amp;", "")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
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

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "spiffe://partners/a&\\b";

    fn is_taken_for_it(text: &str) -> bool {
        is_about_the_account(text.as_bytes(), &HeaderValue::from_static(ALICE))
    }

    #[test]
    fn only_what_is_said_of_someone_else_is_about_the_account() {
        // JSON as Go writes it, and a protobuf's plain text.
        for (text, expected) in [
            (
                r#""message":"users \"spiffe://partners/a\u0026\\\\b\" is forbidden: User \"exit\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope""#,
                true,
            ),
            (
                r#"users "spiffe://partners/a&\\b" is forbidden: User "exit" cannot impersonate resource "users""#,
                true,
            ),
            (
                r#""message":"pods \"x cannot impersonate\" is forbidden: User \"spiffe://partners/a\u0026\\\\b\" cannot get resource \"pods\"""#,
                false,
            ),
            (
                r#""message":"pods \"x cannot impersonate\" is forbidden: User \"spiffe://partners/a\u0026amp;\\\\b\" cannot get resource \"pods\"""#,
                false,
            ),
            (
                r#"pods "x cannot impersonate" is forbidden: User "spiffe://partners/a&\\b" cannot get resource "pods""#,
                false,
            ),
            (
                r#"users "a" is forbidden: User "exit" cannot impersonate is forbidden: User "spiffe://partners/a&\\b" cannot list"#,
                false,
            ),
            ("a webhook says: a cannot impersonate b", false),
        ] {
            assert_eq!(is_taken_for_it(text), expected, "{text}");
        }
    }
}

//! The question to the API server, and what its answer says.

use bytes::Bytes;
use gangplank_pki::Identity;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::claim::Claim;
use super::limits::REASON;
use super::verdicts::Verdict;

const API_VERSION: &str = "authorization.k8s.io/v1";
const KIND: &str = "SubjectAccessReview";

/// The group that the API server gives everyone whom the exit impersonates. A provider's own groups never take
/// it away, for none of them begins with `system:`.
const AUTHENTICATED: &str = "system:authenticated";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'q> {
    api_version: &'static str,
    kind: &'static str,
    spec: Spec<'q>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'q> {
    user: &'q str,
    groups: Vec<&'q str>,
    resource_attributes: Claim<'q>,
}

/// May the caller, as the API server sees them, impersonate this?
pub(super) fn question(identity: &Identity, claim: Claim<'_>) -> Bytes {
    let groups = identity.groups().iter().map(String::as_str);
    let question = Question {
        api_version: API_VERSION,
        kind: KIND,
        spec: Spec {
            user: identity.username(),
            groups: groups.chain([AUTHENTICATED]).collect(),
            resource_attributes: claim,
        },
    };
    // A struct of strings always has a JSON form; an empty question would be refused.
    serde_json::to_vec(&question).unwrap_or_default().into()
}

/// What is read of an answer. Whatever is missing is no yes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    api_version: String,
    kind: String,
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    /// Go leaves nothing out that it must say, so this is always there.
    allowed: bool,
    #[serde(default)]
    denied: bool,
    #[serde(default)]
    reason: String,
}

/// Why an answer is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum AnswerFault {
    #[error("it is answered with the status {0}")]
    Status(StatusCode),
    #[error("the answer is no {KIND}")]
    NotAReview,
}

/// What the API server says.
pub(super) fn verdict(status: StatusCode, text: &[u8]) -> Result<Verdict, AnswerFault> {
    // Reviews are made, and 200 is what an authorizing proxy in between might say.
    if !matches!(status, StatusCode::CREATED | StatusCode::OK) {
        return Err(AnswerFault::Status(status));
    }
    let answer: Answer = serde_json::from_slice(text)
        .ok()
        .ok_or(AnswerFault::NotAReview)?;
    if answer.api_version != API_VERSION || answer.kind != KIND {
        return Err(AnswerFault::NotAReview);
    }
    let Status {
        allowed,
        denied,
        mut reason,
    } = answer.status;
    if allowed && !denied {
        return Ok(Verdict::Allowed);
    }
    if let Some((end, _)) = reason.char_indices().nth(REASON) {
        reason.truncate(end);
    }
    Ok(Verdict::Denied(reason.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: &str) -> Result<Verdict, AnswerFault> {
        let text = format!(
            r#"{{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","metadata":{{}},"spec":{{"user":"a"}},"status":{status}}}"#
        );
        verdict(StatusCode::CREATED, text.as_bytes())
    }

    #[test]
    fn only_a_plain_yes_is_one() {
        assert_eq!(said(r#"{"allowed":true}"#), Ok(Verdict::Allowed));
        assert_eq!(
            said(
                r#"{"allowed":true,"reason":"RBAC: allowed by …","evaluationError":"one binding is broken"}"#
            ),
            Ok(Verdict::Allowed)
        );
        for denial in [
            r#"{"allowed":false,"reason":"no"}"#,
            r#"{"allowed":false,"denied":true,"reason":"no"}"#,
            r#"{"allowed":true,"denied":true,"reason":"no"}"#,
        ] {
            assert_eq!(said(denial), Ok(Verdict::Denied("no".into())), "{denial}");
        }
        for nothing in [
            "{}",
            "null",
            r#"{"reason":"allowed"}"#,
            r#"{"allowed":"true"}"#,
            r#"{"allowed":1}"#,
            r#"{"allowed":false,"allowed":true}"#,
        ] {
            assert_eq!(said(nothing), Err(AnswerFault::NotAReview), "{nothing}");
        }
    }

    #[test]
    fn what_is_no_review_is_none() {
        let yes = br#"{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}"#;
        assert_eq!(verdict(StatusCode::OK, yes), Ok(Verdict::Allowed));
        for status in [202, 204, 302, 401, 403, 429, 500] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(verdict(status, yes), Err(AnswerFault::Status(status)));
        }
        for text in [
            "",
            "yes",
            "[]",
            r#"{"status":{"allowed":true}}"#,
            r#"{"kind":"Status","apiVersion":"v1","status":"Success"}"#,
            r#"{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}"#,
            r#"{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1beta1","status":{"allowed":true}}"#,
            r#"{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}} {}"#,
        ] {
            let verdict = verdict(StatusCode::CREATED, text.as_bytes());
            assert_eq!(verdict, Err(AnswerFault::NotAReview), "{text}");
        }
    }

    #[test]
    fn a_reason_has_an_end() {
        let long = format!(r#"{{"allowed":false,"reason":"{}"}}"#, "é".repeat(10_000));
        let Ok(Verdict::Denied(reason)) = said(&long) else {
            panic!("a denial");
        };
        assert_eq!(reason.chars().count(), REASON);
    }
}

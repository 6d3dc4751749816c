//! What is told who asked to be taken for someone else and is not.

use std::borrow::Cow;

use http::StatusCode;

use super::{Problem, Words};
use crate::nested::{ReviewFault, WishFault};

impl Problem {
    /// The wish cannot be understood.
    pub(crate) fn of_wish(fault: &WishFault) -> Self {
        let (status, reason, class, remedy) = match fault {
            WishFault::Reserved => (
                StatusCode::FORBIDDEN,
                "Forbidden",
                "ImpersonationDenied",
                "leave the field out; the exit writes there who asked",
            ),
            WishFault::TooMuch => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "RequestHeaderFieldsTooLarge",
                "ImpersonationMisstated",
                "ask for fewer groups and extra fields",
            ),
            _ => (
                StatusCode::BAD_REQUEST,
                "BadRequest",
                "ImpersonationMisstated",
                "name one user with --as, and groups, a uid and extra fields only beside it",
            ),
        };
        let message = Cow::Owned(fault.to_string());
        Self {
            message,
            ..Self::new(status, reason, class, ("", remedy))
        }
    }

    /// It is not granted, or nobody knows.
    pub(crate) fn of_review(fault: &ReviewFault) -> Self {
        match fault {
            ReviewFault::Denied(sentence) => Self {
                message: Cow::Owned(sentence.clone()),
                words: Words::ApiServers,
                ..Self::new(
                    StatusCode::FORBIDDEN,
                    "Forbidden",
                    "ImpersonationDenied",
                    (
                        "",
                        "leave out --as, or ask the cluster's administrator for this right",
                    ),
                )
            },
            // Nothing of the request went anywhere, so it may be sent again, whatever it is.
            ReviewFault::Late
            | ReviewFault::Unanswered(_)
            | ReviewFault::Busy(_)
            | ReviewFault::Unread => Self {
                message: Cow::Owned(fault.to_string()),
                retry_after: Some(1),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "ServiceUnavailable",
                    "ReviewUnanswered",
                    (
                        "",
                        "try again; if it stays so, ask who administers this cluster",
                    ),
                )
            },
            ReviewFault::NotAsked => Self {
                message: Cow::Owned(fault.to_string()),
                ..Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalError",
                    "ReviewRefused",
                    (
                        "",
                        "the exit's operator grants its account `create` on `subjectaccessreviews`",
                    ),
                )
            },
            ReviewFault::Odd(_) => Self {
                message: Cow::Owned(fault.to_string()),
                ..Self::new(
                    StatusCode::BAD_GATEWAY,
                    "InternalError",
                    "ReviewUnreadable",
                    (
                        "",
                        "look at what stands between this proxy and the API server",
                    ),
                )
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Version;
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_denial_is_the_api_servers_sentence_and_the_warning_says_what_to_do() {
        let sentence = r#"users "bob" is forbidden: User "alice" cannot impersonate"#;
        let problem = Problem::of_review(&ReviewFault::Denied(sentence.to_owned()));
        let (parts, body) = problem.into_response(Version::HTTP_2).into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        let status: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(status["message"], sentence);
        assert_eq!((parts.status.as_u16(), &status["code"]), (403, &403.into()));
        insta::assert_snapshot!(parts.headers["warning"].to_str().unwrap(), @r#"299 gangplank "ImpersonationDenied: users \"bob\" is forbidden: User \"alice\" cannot impersonate; leave out --as, or ask the cluster's administrator for this right""#);
    }

    #[test]
    fn only_what_time_may_mend_is_to_be_tried_again() {
        for (fault, status, retry) in [
            (ReviewFault::Denied(String::new()), 403, false),
            (ReviewFault::Late, 503, true),
            (ReviewFault::Unread, 503, true),
            (ReviewFault::NotAsked, 500, false),
        ] {
            let problem = Problem::of_review(&fault);
            assert_eq!(
                (problem.status().as_u16(), problem.retry_after.is_some()),
                (status, retry)
            );
        }
        for (fault, status) in [
            (WishFault::NoUser, 400),
            (WishFault::Reserved, 403),
            (WishFault::TooMuch, 431),
        ] {
            assert_eq!(Problem::of_wish(&fault).status().as_u16(), status);
        }
    }
}

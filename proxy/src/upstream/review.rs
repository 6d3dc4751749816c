//! The exit's own questions to the API server: reviews of what callers may do.
//!
//! They are the only requests that name no user besides the exit's own account: nothing that a caller wrote is
//! in their head, and their path is fixed. They change nothing there, so they may be asked again.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Uri};

use super::Client;
use super::error::UpstreamError;
use super::exchange::Failure;
use super::limits::REVIEW_ATTEMPTS;
use super::metrics::OutcomeLabels;
use super::outgoing::{Head, Outgoing};
use crate::body::{RequestBody, UpstreamBody};

/// Where SubjectAccessReviews are made (authorization.k8s.io/v1).
const PATH: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// Who asks, for the API server's audit log.
const AGENT: &str = concat!("gangplank/", env!("CARGO_PKG_VERSION"));

impl Client {
    /// Has the API server answer a SubjectAccessReview, in the exit's own name.
    ///
    /// # Errors
    /// See [`UpstreamError`].
    pub(crate) async fn review(
        &self,
        question: Bytes,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let authority = self.authority()?;
        for _attempt in 0..REVIEW_ATTEMPTS {
            let place = self.0.pool.place().await?;
            let authorization = self.0.credential.authorization().await?;
            let head = Head::of_own_request(parts(question.len()), authorization)?;
            let outgoing = Outgoing::new(head, RequestBody::whole(question.clone()))?;
            let why = match place.send(outgoing, authority).await {
                Ok(response) => return Ok(response),
                Err(Failure::Unprocessed(_, why)) => why,
                Err(Failure::Final(UpstreamError::RefusedUnprocessed { .. })) => "refused",
                Err(Failure::Final(error)) => return Err(error),
            };
            let labels = OutcomeLabels { outcome: why };
            self.0.metrics.sent_again.get_or_create(&labels).inc();
        }
        Err(UpstreamError::RefusedUnprocessed {
            attempts: REVIEW_ATTEMPTS,
        })
    }
}

fn parts(length: usize) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::POST;
    parts.uri = Uri::from_static(PATH);
    let json = HeaderValue::from_static("application/json");
    for (name, value) in [
        (ACCEPT, json.clone()),
        (CONTENT_TYPE, json),
        (CONTENT_LENGTH, HeaderValue::from(length)),
        (USER_AGENT, HeaderValue::from_static(AGENT)),
    ] {
        parts.headers.insert(name, value);
    }
    parts
}

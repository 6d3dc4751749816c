//! One request on one connection, and what its failure means.

use std::error::Error;
use std::sync::Arc;

use http::uri::Authority;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use super::error::UpstreamError;
use super::h2_connection::SentBody;
use super::outgoing::Outgoing;
use super::pool::Place;
use crate::body::{RequestBody, UpstreamBody};

/// Why a request got no answer on this connection.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server certainly did not process it; here it is again, to be sent elsewhere.
    Unprocessed(Box<Outgoing>, &'static str),
    /// It may have been processed, or cannot be had again.
    Final(UpstreamError),
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        Self::Final(error)
    }
}

impl Place {
    /// Sends a request and waits for the answer's headers. The place stays taken until the bodies in both
    /// directions have ended.
    pub(super) async fn send(
        self,
        outgoing: Outgoing,
        authority: &Authority,
    ) -> Result<Response<UpstreamBody>, Failure> {
        match self {
            Self::Http2(mut sender, place) => {
                let copy = outgoing.copy();
                let request = outgoing.into_http2(authority)?.map(|body| SentBody {
                    body,
                    _place: Arc::clone(&place),
                });
                match sender.try_send_request(request).await {
                    Ok(response) => Ok(guarded(response, Version::HTTP_2, place)),
                    Err(mut error) => {
                        if let Some(request) = error.take_message() {
                            place.retire_connection();
                            let request = request.map(|sent| sent.body);
                            return Err(unsent(request));
                        }
                        Err(failure(error.into_error(), copy))
                    }
                }
            }
            Self::Http1(mut place) => {
                let request = outgoing.into_http1(authority)?;
                let Some(sender) = place.sender() else {
                    return Err(unsent(request));
                };
                match sender.try_send_request(request).await {
                    Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                        Err(Failure::Final(UpstreamError::WrongProtocol))
                    }
                    Ok(response) => Ok(guarded(response, Version::HTTP_11, place)),
                    Err(mut error) => match error.take_message() {
                        Some(request) => Err(unsent(request)),
                        None => Err(failure(error.into_error(), None)),
                    },
                }
            }
        }
    }
}

fn guarded(
    response: Response<Incoming>,
    version: Version,
    place: impl Send + 'static,
) -> Response<UpstreamBody> {
    response.map(|incoming| UpstreamBody::new(incoming, version, place))
}

/// hyper gave the request back: it was never written to the connection.
fn unsent(request: Request<RequestBody>) -> Failure {
    Failure::Unprocessed(Box::new(Outgoing::from_unsent(request)), "unsent")
}

fn failure(error: hyper::Error, copy: Option<Outgoing>) -> Failure {
    match (unprocessed(&error), copy) {
        (Some(why), Some(outgoing)) => Failure::Unprocessed(Box::new(outgoing), why),
        (Some(_), None) => Failure::Final(UpstreamError::RefusedUnprocessed { attempts: 1 }),
        (None, _) => Failure::Final(classify(error)),
    }
}

/// Whether the server said that it did not process the stream (RFC 9113 §8.7): it refused it, or its
/// GOAWAY names only older ones. h2 gives streams that a GOAWAY includes no such error.
fn unprocessed(error: &hyper::Error) -> Option<&'static str> {
    let h2 = h2_cause(error).filter(|cause| cause.is_remote())?;
    if h2.is_go_away() {
        return Some("goaway");
    }
    (h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM)).then_some("refused")
}

/// What a connection's failure means to a request whose headers went out.
pub(super) fn classify(error: hyper::Error) -> UpstreamError {
    if error.is_timeout() {
        return UpstreamError::Silent(error);
    }
    if error.is_user() {
        return UpstreamError::RequestBody(error);
    }
    if error.is_parse() {
        return UpstreamError::Malformed(error);
    }
    match h2_cause(&error) {
        // The server broke the protocol.
        Some(cause) if cause.is_library() => UpstreamError::Malformed(error),
        // hyper resets the stream itself when the request's body fails.
        Some(cause) if cause.is_reset() && !cause.is_remote() => UpstreamError::RequestBody(error),
        _ => UpstreamError::BrokeOff(error),
    }
}

fn h2_cause(error: &hyper::Error) -> Option<&h2::Error> {
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref() {
            return Some(found);
        }
        cause = current.source();
    }
    None
}

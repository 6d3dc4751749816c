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
use crate::body::{HeldPlace, RequestBody, UpstreamBody};

/// Why a request got no answer on this connection.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server certainly did not process it, or it only reads: it can be sent elsewhere. Here it is
    /// again, or without a body it is to be made again.
    Unprocessed(Option<Box<Outgoing>>, &'static str),
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
                let has_body = !outgoing.is_empty();
                let request = outgoing.into_http2(authority)?.map(|body| SentBody {
                    body,
                    _place: Arc::clone(&place),
                });
                match sender.try_send_request(request).await {
                    Ok(response) => {
                        Ok(guarded(response, Version::HTTP_2, HeldPlace::Shared(place)))
                    }
                    Err(mut error) => {
                        if let Some(request) = error.take_message() {
                            place.retire_connection();
                            let request = request.map(|sent| sent.body);
                            return Err(unsent(request));
                        }
                        Err(failure(error.into_error(), has_body))
                    }
                }
            }
            Self::Http1(mut place) => {
                let Some(connection) = place.connection() else {
                    return Err(Failure::Unprocessed(Some(Box::new(outgoing)), "unsent"));
                };
                let may_ask_again = connection.was_used() && outgoing.is_read();
                let request = outgoing.into_http1(authority)?;
                match connection.send(request).await {
                    Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                        Err(Failure::Final(UpstreamError::WrongProtocol))
                    }
                    Ok(response) => {
                        let place = HeldPlace::Own(Box::new(place));
                        Ok(guarded(response, Version::HTTP_11, place))
                    }
                    Err(mut error) => match error.take_message() {
                        Some(request) => Err(unsent(request)),
                        None => Err(met_closing(error.into_error(), may_ask_again)),
                    },
                }
            }
        }
    }
}

fn guarded(
    response: Response<Incoming>,
    version: Version,
    place: HeldPlace,
) -> Response<UpstreamBody> {
    response.map(|incoming| UpstreamBody::new(incoming, version, place))
}

/// hyper gave the request back: it was never written to the connection.
fn unsent(request: Request<RequestBody>) -> Failure {
    Failure::Unprocessed(Some(Box::new(Outgoing::from_unsent(request))), "unsent")
}

/// A connection that had answered before broke off before it answered a plain read: the server was most
/// likely closing it, and asking once more changes nothing there (RFC 9110 §9.2.2). What is no read is
/// never sent a second time.
fn met_closing(error: hyper::Error, may_ask_again: bool) -> Failure {
    if may_ask_again && !error.is_parse() {
        Failure::Unprocessed(None, "closing")
    } else {
        Failure::Final(classify(error))
    }
}

/// A body that was begun cannot be had again.
fn failure(error: hyper::Error, has_body: bool) -> Failure {
    match unprocessed(&error) {
        Some(why) if !has_body => Failure::Unprocessed(None, why),
        Some(_) => Failure::Final(UpstreamError::RefusedUnprocessed { attempts: 1 }),
        None => Failure::Final(classify(error)),
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

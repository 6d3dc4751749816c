//! Connections that stop being HTTP: exec, attach, port-forward.
//!
//! Only protocols that Kubernetes speaks, only over HTTP/1.1, and only after the API server's 101 for
//! the very protocol that was asked for. Until then not a byte that the caller sent ahead goes on.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;

use crate::audit::{Entry, Outcome};
use crate::body::AnswerBody;
use crate::headers::{connection_has, strip_response};

/// What is read at a time in each direction. TLS gives at most one record of 16 KiB a read; more would
/// only lie there with each idle port-forward.
const COPY_BYTES: usize = 16 * 1024;

/// A protocol that a connection may go on in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 6455, with Kubernetes' subprotocols.
    WebSocket,
    /// SPDY/3.1, as kubectl before 1.31 and others use it.
    Spdy,
    /// SPDY/3.1 for port-forwards, tunnelled in a WebSocket or not.
    SpdyPortForward,
}

impl Protocol {
    /// The protocol as it is written in `Upgrade`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Spdy => "SPDY/3.1",
            Self::SpdyPortForward => "SPDY/3.1+portforward.k8s.io",
        }
    }

    fn from_name(name: &[u8]) -> Option<Self> {
        [Self::WebSocket, Self::Spdy, Self::SpdyPortForward]
            .into_iter()
            .find(|protocol| name.eq_ignore_ascii_case(protocol.name().as_bytes()))
    }

    /// The protocol that a request asks to go on in: one of ours alone, named in one `Upgrade`, on
    /// HTTP/1.1. Everything else is a plain request, as HTTP allows (RFC 9110 §7.8).
    pub(crate) fn asked_for<B>(request: &Request<B>) -> Option<Self> {
        if request.version() != Version::HTTP_11 || !connection_has(request.headers(), "upgrade") {
            return None;
        }
        only_protocol(request.headers())
    }
}

fn only_protocol(headers: &http::HeaderMap) -> Option<Protocol> {
    let mut named = headers.get_all(UPGRADE).iter();
    let only = named.next()?;
    if named.next().is_some() {
        return None;
    }
    Protocol::from_name(only.as_bytes().trim_ascii())
}

/// The 101 for the caller, if the API server switched to the protocol that was asked for.
pub(crate) fn confirm(response: Response<()>, asked: Protocol) -> Option<Response<AnswerBody>> {
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS
        && only_protocol(response.headers()) == Some(asked);
    if !switched {
        return None;
    }
    let (mut parts, ()) = response.into_parts();
    strip_response(&mut parts.headers);
    parts
        .headers
        .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    parts
        .headers
        .insert(UPGRADE, HeaderValue::from_static(asked.name()));
    Some(Response::from_parts(parts, AnswerBody::ours("")))
}

/// Two connections that are joined once the caller has its 101.
#[derive(Debug)]
pub(crate) struct Splice {
    caller: OnUpgrade,
    upstream: Upgraded,
    entry: Entry,
}

impl Splice {
    pub(crate) const fn new(caller: OnUpgrade, upstream: Upgraded, entry: Entry) -> Self {
        Self {
            caller,
            upstream,
            entry,
        }
    }

    /// Passes bytes both ways until both sides have ended. The end of one direction is passed on as
    /// such; a break of either is a break of both, by dropping them without saying goodbye.
    pub(crate) async fn run(self) {
        let Self {
            caller,
            upstream,
            mut entry,
        } = self;
        let Ok(caller) = caller.await else { return };
        let (mut caller, mut upstream) = (TokioIo::new(caller), TokioIo::new(upstream));
        match copy_bidirectional_with_sizes(&mut caller, &mut upstream, COPY_BYTES, COPY_BYTES)
            .await
        {
            Ok((sent, received)) => {
                entry.count_both(sent, received);
                entry.end(Outcome::Whole);
            }
            Err(error) => {
                tracing::debug!(%error, "an upgraded connection broke off");
                entry.end(Outcome::CutShort("BrokeOff"));
            }
        }
    }
}

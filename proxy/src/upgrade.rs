//! Connections that stop being HTTP: exec, attach, port-forward.
//!
//! Only protocols that Kubernetes speaks, only over HTTP/1.1, and only after the API server's 101 for
//! the very protocol that was asked for. Until then not a byte that the caller sent ahead goes on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};

use crate::audit::{Entry, Outcome};
use crate::body::{AnswerBody, BodyError};
use crate::headers::{connection_has, strip_response};
use crate::shares::UpgradePlace;

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
    upstream: Counted<TokioIo<Upgraded>>,
    _place: UpgradePlace,
}

impl Splice {
    pub(crate) fn new(
        caller: OnUpgrade,
        upstream: Upgraded,
        entry: Entry,
        place: UpgradePlace,
    ) -> Self {
        let io = TokioIo::new(upstream);
        Self {
            caller,
            upstream: Counted { io, entry },
            _place: place,
        }
    }

    /// Passes bytes both ways until both sides have ended. The end of one direction is passed on as
    /// such; a break of either is a break of both, by dropping them without saying goodbye.
    pub(crate) async fn run(&mut self) {
        let Ok(caller) = (&mut self.caller).await else {
            return;
        };
        let mut caller = TokioIo::new(caller);
        let copied =
            copy_bidirectional_with_sizes(&mut caller, &mut self.upstream, COPY_BYTES, COPY_BYTES);
        let outcome = match copied.await {
            Ok(_) => Outcome::Whole,
            Err(error) => {
                tracing::debug!(%error, "an upgraded connection broke off");
                Outcome::CutShort("BrokeOff")
            }
        };
        self.upstream.entry.end(outcome);
    }

    /// It is ended because the caller's right has ended.
    pub(crate) fn revoked(&mut self) {
        let reason = BodyError::Revoked.reason();
        self.upstream.entry.end(Outcome::CutShort(reason));
    }
}

/// The upstream side of a splice, whose bytes are counted as they pass: however it ends, the trail has
/// them.
#[derive(Debug)]
struct Counted<IO> {
    io: IO,
    entry: Entry,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut me.io).poll_read(cx, buffer);
        me.entry.count(buffer.filled().len().saturating_sub(before));
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Counted<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let polled = Pin::new(&mut me.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            me.entry.count_received(written);
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

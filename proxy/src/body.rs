//! Bodies on their way through: frame by frame, never collected, never completed by accident.
//!
//! [`RequestBody`] goes from the caller to the API server, [`UpstreamBody`] comes back, and
//! [`AnswerBody`] is what the caller's connection sends: a relayed upstream body or a short text of
//! our own. None of them passes trailers on, and each ends with an *error*, not an end, when what it
//! reads was cut short or when the caller's right ended while it ran: the HTTP layer then resets the
//! stream or breaks the connection off, so that half a list is never taken for a whole one.

mod answer;
mod boundary;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

pub use self::answer::AnswerBody;
pub(crate) use self::answer::Relay;
pub(crate) use self::boundary::Boundary;
#[doc(hidden)] // see the crate's root
pub use self::boundary::watch_is_whole_after;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The connection that the body came from broke, or its framing was wrong.
    #[error("the body broke off before its end")]
    BrokeOff(#[source] hyper::Error),
    /// The peer reset the stream with "no error" before it had ended the body.
    #[error("the peer stopped sending before the body's end")]
    Unfinished,
    /// The certificate that the request was made with is no longer accepted.
    #[error("the caller's certificate is no longer accepted")]
    Revoked,
}

impl BodyError {
    /// The variant's name, for metrics and audit.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BrokeOff(_) => "BrokeOff",
            Self::Unfinished => "Unfinished",
            Self::Revoked => "Revoked",
        }
    }
}

/// A request's body on its way to the API server: data frames only, trailers dropped.
pub struct RequestBody {
    data: Option<Data>,
    /// What the exit itself has to say.
    ours: Option<Box<Bytes>>,
    cutoff: Cutoff,
    /// Counts the bytes, if anyone wants to know.
    passed: Option<Arc<AtomicU64>>,
}

impl RequestBody {
    /// The caller's body, which ends with an error as soon as `revoked` is cancelled.
    pub fn new(incoming: Incoming, version: Version, revoked: CancellationToken) -> Self {
        let empty = incoming.is_end_stream();
        Self {
            data: (!empty).then(|| Data::new(incoming, version)),
            ours: None,
            cutoff: Cutoff::new(revoked),
            passed: None,
        }
    }

    /// The same, counting into what `counter` gives, which is not asked if there is nothing to count.
    pub(crate) fn counted(mut self, counter: impl FnOnce() -> Arc<AtomicU64>) -> Self {
        self.passed = self.data.is_some().then(counter);
        self
    }

    /// A body without a byte.
    pub fn empty() -> Self {
        Self {
            data: None,
            ours: None,
            cutoff: Cutoff::new(CancellationToken::new()),
            passed: None,
        }
    }

    /// A body of the exit's own.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self {
            ours: (!bytes.is_empty()).then(|| Box::new(bytes)),
            ..Self::empty()
        }
    }

    /// Whether the caller certainly sends no body, so that the request can be sent a second time.
    pub fn certainly_empty(&self) -> bool {
        self.data.is_none() && self.ours.is_none()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let me = self.get_mut();
        let Some(data) = me.data.as_mut() else {
            let ours = me.ours.take();
            return Poll::Ready(ours.map(|bytes| Ok(Frame::data(*bytes))));
        };
        if let Poll::Ready(bytes) = data.poll_bytes(cx) {
            if let (Some(passed), Some(Ok(bytes))) = (&me.passed, &bytes) {
                let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                passed.fetch_add(bytes, Ordering::Relaxed);
            }
            return Poll::Ready(bytes.map(|result| result.map(Frame::data)));
        }
        ready!(me.cutoff.poll(cx));
        Poll::Ready(Some(Err(BodyError::Revoked)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.data {
            Some(data) => data.incoming.is_end_stream(),
            None => self.ours.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        if let Some(data) = &self.data {
            return data.incoming.size_hint();
        }
        let length = self.ours.as_ref().map_or(0, |bytes| bytes.len());
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("certainly_empty", &self.certainly_empty())
            .finish()
    }
}

/// An answer's body as it comes from the API server: data frames only, trailers dropped.
///
/// It holds on to its place on the upstream side until the body has ended, and runs the connection there
/// when nobody else does.
pub struct UpstreamBody {
    data: Data,
    place: Option<HeldPlace>,
}

/// What a body keeps of the upstream side until it has ended.
pub(crate) enum HeldPlace {
    /// Of a connection that others use, too.
    Shared(#[expect(dead_code, reason = "held, never looked at")] Arc<dyn Any + Send + Sync>),
    /// A whole connection, which the body's reader runs.
    Own(Box<dyn OwnConnection>),
}

/// A connection that has no task of its own.
pub(crate) trait OwnConnection: Send {
    /// Lets the connection do what it can, and wake `cx` when it can do more.
    fn run(&mut self, cx: &mut Context<'_>);
}

impl UpstreamBody {
    /// The body of a response of `version`; `place` is dropped together with the body.
    pub(crate) fn new(incoming: Incoming, version: Version, place: HeldPlace) -> Self {
        Self {
            data: Data::new(incoming, version),
            place: Some(place),
        }
    }

    /// The same without anything to hold.
    pub fn unguarded(incoming: Incoming, version: Version) -> Self {
        Self {
            data: Data::new(incoming, version),
            place: None,
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(HeldPlace::Own(connection)) = self.place.as_mut() else {
            return self.data.poll_bytes(cx);
        };
        // Only what is run here brings bytes, so nobody needs to be woken for them.
        let mut nobody = Context::from_waker(Waker::noop());
        let here = self.data.poll_bytes(&mut nobody);
        if here.is_ready() {
            return here;
        }
        connection.run(cx);
        self.data.poll_bytes(&mut nobody)
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let bytes = ready!(self.get_mut().poll_bytes(cx));
        Poll::Ready(bytes.map(|result| result.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.data.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.data.incoming.size_hint()
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamBody").finish_non_exhaustive()
    }
}

/// A received body without its trailers that knows an end from an interruption.
struct Data {
    incoming: Incoming,
    /// hyper reads HTTP/2's RST_STREAM(NO_ERROR) as the body's end, whichever side sent it; only the
    /// END_STREAM flag is one.
    ends_by_flag: bool,
    ended: bool,
}

impl Data {
    fn new(incoming: Incoming, version: Version) -> Self {
        Self {
            incoming,
            ends_by_flag: version == Version::HTTP_2,
            ended: false,
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        while !self.ended {
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                // What is not data is trailers, and those are left behind.
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(BodyError::BrokeOff(error))));
                }
                None => {
                    self.ended = true;
                    if self.ends_by_flag && !self.incoming.is_end_stream() {
                        return Poll::Ready(Some(Err(BodyError::Unfinished)));
                    }
                }
            }
        }
        Poll::Ready(None)
    }
}

/// A token that a body waits for, registered only once the body has nothing else to do.
///
/// Most bodies never wait: they are there when the headers are. So the waiter is made late.
struct Cutoff {
    token: CancellationToken,
    waiting: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Cutoff {
    const fn new(token: CancellationToken) -> Self {
        Self {
            token,
            waiting: None,
        }
    }

    fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let token = &self.token;
        self.waiting
            .get_or_insert_with(|| Box::pin(token.clone().cancelled_owned()))
            .as_mut()
            .poll(cx)
    }
}

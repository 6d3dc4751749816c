//! What a caller's connection sends as an answer's body.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use super::{BodyError, Boundary, Cutoff, UpstreamBody};
use crate::audit::{Entry, Outcome};
use crate::shares::RequestPlace;

/// The body of an answer to a caller: ours, or relayed from the API server.
pub struct AnswerBody(Kind);

enum Kind {
    Ours(Option<Bytes>, Option<Box<Entry>>),
    Relayed(Box<Relay>),
}

impl AnswerBody {
    /// A short text of our own; `entry` is written when it was sent.
    pub(crate) fn ours(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        Self(Kind::Ours((!text.is_empty()).then_some(text), None))
    }

    /// Lets the body keep the audit entry until it has been sent or dropped.
    pub(crate) fn keep(&mut self, entry: Entry) {
        if let Kind::Ours(_, kept) = &mut self.0 {
            *kept = Some(Box::new(entry));
        }
    }

    pub(crate) fn relayed(relay: Relay) -> Self {
        Self(Kind::Relayed(Box::new(relay)))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            Kind::Ours(text, entry) => {
                let text = text.take();
                if let Some(entry) = entry.as_mut() {
                    entry.count(text.as_ref().map_or(0, Bytes::len));
                    entry.end(Outcome::Whole);
                }
                Poll::Ready(text.map(|text| Ok(Frame::data(text))))
            }
            Kind::Relayed(relay) => relay.poll(cx).map(|it| it.map(|it| it.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Ours(text, _) => text.is_none(),
            Kind::Relayed(relay) => relay.ended || relay.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Ours(text, _) => SizeHint::with_exact(
                text.as_ref()
                    .map_or(0, |text| u64::try_from(text.len()).unwrap_or(u64::MAX)),
            ),
            Kind::Relayed(relay) => relay.body.size_hint(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        // Without a body hyper never asks for a frame, and after a last frame whose length was
        // announced not again: then the end is seen here.
        if self.is_end_stream() {
            match &mut self.0 {
                Kind::Ours(_, Some(entry)) => entry.end(Outcome::Whole),
                Kind::Ours(_, None) => {}
                Kind::Relayed(relay) => relay.entry.end(Outcome::Whole),
            }
        }
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody")
            .field("relayed", &matches!(self.0, Kind::Relayed(_)))
            .finish_non_exhaustive()
    }
}

/// A relayed body with what may end it early.
pub(crate) struct Relay {
    body: UpstreamBody,
    revoked: Cutoff,
    drained: Option<(Cutoff, Boundary)>,
    entry: Entry,
    ended: bool,
    _place: RequestPlace,
}

impl Relay {
    /// `revoked` ends the body with an error at once. `drained`, for a watch, ends it cleanly where
    /// its boundary says that the last event is whole.
    pub(crate) fn new(
        body: UpstreamBody,
        revoked: CancellationToken,
        drained: Option<(CancellationToken, Boundary)>,
        (entry, place): (Entry, RequestPlace),
    ) -> Self {
        Self {
            body,
            revoked: Cutoff::new(revoked),
            drained: drained.map(|(token, boundary)| (Cutoff::new(token), boundary)),
            entry,
            ended: false,
            _place: place,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.revoked.is_cancelled() {
            return self.end_with(BodyError::Revoked);
        }
        if let Some((drain, boundary)) = &self.drained
            && boundary.is_whole()
            && drain.is_cancelled()
        {
            return self.end_at_boundary();
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.into_data().unwrap_or_default();
                self.entry.count(bytes.len());
                if let Some((_, boundary)) = &mut self.drained {
                    boundary.advance(&bytes);
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(Some(Err(error))) => self.end_with(error),
            Poll::Ready(None) => {
                self.ended = true;
                self.entry.end(Outcome::Whole);
                Poll::Ready(None)
            }
            Poll::Pending => self.wait_for_cut(cx),
        }
    }

    /// Nothing came: be woken when the right ends, or the drain begins.
    fn wait_for_cut(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.revoked.poll(cx).is_ready() {
            return self.end_with(BodyError::Revoked);
        }
        if let Some((drain, boundary)) = &mut self.drained
            && boundary.is_whole()
            && drain.poll(cx).is_ready()
        {
            return self.end_at_boundary();
        }
        Poll::Pending
    }

    fn end_with(&mut self, error: BodyError) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.ended = true;
        self.entry.end(Outcome::CutShort(error.reason()));
        Poll::Ready(Some(Err(error)))
    }

    fn end_at_boundary(&mut self) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.ended = true;
        self.entry.end(Outcome::Drained);
        Poll::Ready(None)
    }
}

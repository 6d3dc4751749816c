//! The two halves of a stream over HTTP/2.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{Error, RecvStream};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::codes;
use super::ending::{Ending, Lifeline};
use super::ends::{Ends, Side};
use super::limits::SEND_BUFFER;
use crate::stream::{ReadHalf, StreamReset, WriteHalf};
use crate::wire::AbortCode;

/// What is known to both halves of the session's control stream: its reset ends the session, and only the
/// session's driver resets it.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Caller,
    Control(Ending),
}

/// Where bytes come from.
pub(super) enum Incoming {
    /// The relay has asked; the agent's answer has not come.
    Awaited(ResponseFuture),
    Flowing(RecvStream),
    /// Nobody reads any more; what comes is thrown away.
    Left,
}

/// The receiving half.
pub(super) struct Http2Reader {
    incoming: Incoming,
    ends: Arc<Ends>,
    kind: Kind,
    /// Of a chunk that was read in part.
    rest: Bytes,
    _lifeline: Arc<Lifeline>,
}

/// The sending half.
pub(super) struct Http2Writer {
    ends: Arc<Ends>,
    kind: Kind,
    ended: bool,
    _lifeline: Arc<Lifeline>,
}

impl Http2Reader {
    pub(super) const fn new(
        incoming: Incoming,
        ends: Arc<Ends>,
        kind: Kind,
        lifeline: Arc<Lifeline>,
    ) -> Self {
        Self {
            incoming,
            ends,
            kind,
            rest: Bytes::new(),
            _lifeline: lifeline,
        }
    }

    /// The next chunk as it came; none at the end.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let received = loop {
            match &mut self.incoming {
                Incoming::Awaited(answer) => match ready!(Pin::new(answer).poll(cx)) {
                    Ok(answer) if answer.status() == StatusCode::OK => {
                        self.incoming = Incoming::Flowing(answer.into_body());
                    }
                    Ok(_refused) => return Poll::Ready(Err(reset(AbortCode::ProtocolViolation))),
                    Err(error) => return Poll::Ready(Err(broken(&error, &self.kind))),
                },
                Incoming::Flowing(received) => break received,
                Incoming::Left => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            }
        };
        match ready!(received.poll_data(cx)) {
            Some(Ok(chunk)) => {
                // It counts as read: the peer may send as much again.
                let released = received.flow_control().release_capacity(chunk.len());
                released.map_err(|error| broken(&error, &self.kind))?;
                Poll::Ready(Ok(Some(chunk)))
            }
            Some(Err(error)) => Poll::Ready(Err(broken(&error, &self.kind))),
            None => Poll::Ready(Ok(None)),
        }
    }

    /// The next chunk that holds anything.
    fn poll_filled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.rest))));
        }
        loop {
            match ready!(self.poll_chunk(cx))? {
                Some(empty) if empty.is_empty() => {}
                chunk => return Poll::Ready(Ok(chunk)),
            }
        }
    }
}

impl ReadHalf for Http2Reader {
    fn poll_read_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<io::Result<usize>> {
        let mut filled = 0;
        for chunk in chunks {
            match self.poll_filled(cx) {
                Poll::Ready(Ok(Some(bytes))) => *chunk = bytes,
                // An end or an obstacle is met again at the next call.
                _ if filled > 0 => break,
                Poll::Ready(Ok(None)) => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            filled += 1;
        }
        Poll::Ready(Ok(filled))
    }

    fn stop(&mut self, code: AbortCode) {
        self.incoming = Incoming::Left;
        match (&self.kind, code) {
            (Kind::Control(_), _) => {}
            // While the other direction goes on there is no way to say so; what comes is thrown away.
            (Kind::Caller, AbortCode::NotReading) => self.ends.leave(),
            (Kind::Caller, code) => self.ends.reset(codes::of_stream(code)),
        }
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<AbortCode> {
        let reset = ready!(self.ends.poll_reset(Side::Reader, cx));
        Poll::Ready(reset.map_or(AbortCode::SessionLost, codes::stream_code))
    }
}

impl AsyncRead for Http2Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut chunk) = ready!(self.poll_filled(cx))? {
            let length = chunk.len().min(buf.remaining());
            buf.put_slice(chunk.get(..length).unwrap_or_default());
            chunk.advance(length);
            self.rest = chunk;
        }
        Poll::Ready(Ok(()))
    }
}

impl Http2Writer {
    pub(super) const fn new(ends: Arc<Ends>, kind: Kind, lifeline: Arc<Lifeline>) -> Self {
        Self {
            ends,
            kind,
            ended: false,
            _lifeline: lifeline,
        }
    }

    /// Why nothing can be sent any more.
    fn obstacle(&self, cx: &Context<'_>) -> io::Error {
        match self.ends.poll_reset(Side::Writer, cx) {
            Poll::Ready(Ok(reason)) => reset(codes::stream_code(reason)),
            Poll::Ready(Err(error)) => broken(&error, &self.kind),
            Poll::Pending => io::ErrorKind::NotConnected.into(),
        }
    }
}

impl WriteHalf for Http2Writer {
    fn reset(&mut self, code: AbortCode) {
        self.ended = true;
        if matches!(self.kind, Kind::Caller) {
            self.ends.reset(codes::of_stream(code));
        }
    }

    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<AbortCode> {
        if self.ended {
            return Poll::Pending;
        }
        let reset = ready!(self.ends.poll_reset(Side::Writer, cx));
        Poll::Ready(reset.map_or(AbortCode::SessionLost, codes::stream_code))
    }

    /// At once: nothing is handed to HTTP/2 that the peer has not given room for, TCP loses nothing, and a
    /// session that closes lets everything leave before its last words.
    fn poll_delivered(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl AsyncWrite for Http2Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    /// Everything in one frame, as far as there is room.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(self.ends.poll_room(wanted.min(SEND_BUFFER), cx));
        let Some(Ok(room)) = room else {
            return Poll::Ready(Err(self.obstacle(cx)));
        };
        let mut taken = BytesMut::with_capacity(room);
        for buf in bufs {
            let length = buf.len().min(room - taken.len());
            taken.extend_from_slice(buf.get(..length).unwrap_or_default());
        }
        let length = taken.len();
        if !self.ends.send(taken.freeze()) {
            return Poll::Ready(Err(self.obstacle(cx)));
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended = self.ends.finish();
        if !self.ended {
            return Poll::Ready(Err(self.obstacle(cx)));
        }
        Poll::Ready(Ok(()))
    }
}

fn reset(code: AbortCode) -> io::Error {
    StreamReset { code }.into()
}

/// An error of HTTP/2 in our words. What breaks a control stream may be the peer's word on the session.
fn broken(error: &Error, kind: &Kind) -> io::Error {
    let by_peer = error
        .reason()
        .filter(|_| error.is_reset() && error.is_remote());
    match (by_peer, kind) {
        (Some(reason), Kind::Caller) => {
            // Complete in the other direction, it says; this one was not.
            reset(match codes::stream_code(reason) {
                AbortCode::NotReading => AbortCode::Dropped,
                code => code,
            })
        }
        (Some(reason), Kind::Control(ending)) => {
            if let Some(code) = codes::session_code(reason) {
                ending.ended(codes::closed_by_peer(code));
            }
            io::Error::new(io::ErrorKind::ConnectionAborted, error.to_string())
        }
        (None, _) => io::Error::new(io::ErrorKind::ConnectionAborted, error.to_string()),
    }
}

//! The two halves of a QUIC stream.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use quinn::{ReadError, RecvStream, SendStream, StoppedError, VarInt, WriteError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::precedence::Place;
use crate::stream::{ReadHalf, StreamReset, WriteHalf};
use crate::wire::AbortCode;

/// The receiving half.
pub(super) struct QuicReader(pub(super) RecvStream);

impl ReadHalf for QuicReader {
    fn poll_read_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<io::Result<usize>> {
        // The future keeps nothing between polls.
        let polled = pin!(self.0.read_chunks(chunks)).poll(cx);
        polled.map_ok(Option::unwrap_or_default).map_err(read_error)
    }

    fn stop(&mut self, code: AbortCode) {
        if self.0.stop(code.number().into()).is_err() {
            tracing::trace!("the stream had ended before it was stopped");
        }
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<AbortCode> {
        // The future keeps nothing between polls.
        match ready!(pin!(self.0.received_reset()).poll(cx)) {
            Ok(Some(code)) => Poll::Ready(abort_code(code)),
            Ok(None) => Poll::Pending,
            Err(_lost) => Poll::Ready(AbortCode::SessionLost),
        }
    }
}

impl AsyncRead for QuicReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_read_buf(cx, buf).map_err(read_error)
    }
}

/// Resolves when the peer has stopped a stream, or cannot any more.
type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send + Sync>>;

/// Whether the peer still reads.
enum Interest {
    /// Nobody has asked yet.
    Unasked,
    Watched(Stopped),
    Stopped(AbortCode),
    /// Everything was delivered.
    Settled,
}

/// The sending half.
pub(super) struct QuicWriter {
    pub(super) stream: SendStream,
    interest: Interest,
    place: Place,
}

impl QuicWriter {
    pub(super) const fn new(stream: SendStream, place: Place) -> Self {
        Self {
            stream,
            interest: Interest::Unasked,
            place,
        }
    }

    /// The stream's priority as it is to be for what is written now.
    fn take_place(&mut self) {
        if let Some(priority) = self.place.changed()
            && self.stream.set_priority(priority).is_err()
        {
            tracing::trace!("the stream had ended before it was given a priority");
        }
    }
}

impl WriteHalf for QuicWriter {
    fn reset(&mut self, code: AbortCode) {
        if self.stream.reset(code.number().into()).is_err() {
            tracing::trace!("the stream had ended before it was reset");
        }
    }

    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<AbortCode> {
        if matches!(self.interest, Interest::Unasked) {
            self.interest = Interest::Watched(Box::pin(self.stream.stopped()));
        }
        if let Interest::Watched(stopped) = &mut self.interest {
            self.interest = match ready!(stopped.as_mut().poll(cx)) {
                Ok(Some(code)) => Interest::Stopped(abort_code(code)),
                Ok(None) => Interest::Settled,
                Err(_lost) => Interest::Stopped(AbortCode::SessionLost),
            };
        }
        match self.interest {
            Interest::Stopped(code) => Poll::Ready(code),
            Interest::Unasked | Interest::Watched(_) | Interest::Settled => Poll::Pending,
        }
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let stopped = self.poll_stopped(cx);
        if stopped.is_ready() || matches!(self.interest, Interest::Settled) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl AsyncWrite for QuicWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take_place();
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        let written = written.map_err(write_error)?;
        self.place.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.take_place();
        let mut written = 0;
        for buf in bufs.iter().filter(|buf| !buf.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(cx, buf) {
                Poll::Ready(Ok(taken)) => {
                    written += taken;
                    if taken < buf.len() {
                        break;
                    }
                }
                // What was taken before counts; the next call meets the obstacle again.
                Poll::Ready(Err(_)) | Poll::Pending if written > 0 => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(write_error(error))),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.place.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(
            self.stream
                .finish()
                .map_err(|error| io::Error::new(io::ErrorKind::NotConnected, error)),
        )
    }
}

fn abort_code(code: VarInt) -> AbortCode {
    AbortCode::from_number(u32::try_from(code.into_inner()).unwrap_or(u32::MAX))
}

fn read_error(error: ReadError) -> io::Error {
    let kind = match &error {
        ReadError::Reset(code) => {
            return StreamReset {
                code: abort_code(*code),
            }
            .into();
        }
        ReadError::ConnectionLost(_) => io::ErrorKind::ConnectionAborted,
        ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => {
            io::ErrorKind::NotConnected
        }
    };
    io::Error::new(kind, error)
}

fn write_error(error: WriteError) -> io::Error {
    let kind = match &error {
        WriteError::Stopped(code) => {
            return StreamReset {
                code: abort_code(*code),
            }
            .into();
        }
        WriteError::ConnectionLost(_) => io::ErrorKind::ConnectionAborted,
        WriteError::ClosedStream | WriteError::ZeroRttRejected => io::ErrorKind::NotConnected,
    };
    io::Error::new(kind, error)
}

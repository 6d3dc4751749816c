//! Streams in memory: two pipes, each with its own end, which the session's end breaks.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use gangplank_tunnel::wire::AbortCode;
use gangplank_tunnel::{OpenStreams, ReadHalf, Stream, WriteHalf};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How a direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    InOrder,
    BrokenOff,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    bytes: VecDeque<u8>,
    end: Option<End>,
    reader: Option<Waker>,
}

impl Pipe {
    pub(super) fn break_off(&mut self) {
        self.finish(End::BrokenOff);
    }

    fn finish(&mut self, end: End) {
        if self.end != Some(End::BrokenOff) {
            self.end = Some(end);
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// What is dropped together with the writing half of a stream.
pub(super) type Ballast = Box<dyn Send + Sync>;

/// Both ends of a stream, and the pipes between them. `ballast` goes with the first end.
pub(super) fn stream(ballast: Option<Ballast>) -> (Stream, Stream, [Weak<Mutex<Pipe>>; 2]) {
    let (there, back) = (Arc::<Mutex<Pipe>>::default(), Arc::<Mutex<Pipe>>::default());
    let pipes = [Arc::downgrade(&there), Arc::downgrade(&back)];
    let end = |from: &Arc<Mutex<Pipe>>, to: &Arc<Mutex<Pipe>>, ballast| {
        let (from, to) = (Arc::clone(from), Arc::clone(to));
        let writer = Writer {
            pipe: to,
            _ballast: ballast,
        };
        Stream::new(
            Box::new(Reader(from)),
            Box::new(writer),
            &OpenStreams::default(),
        )
    };
    (end(&back, &there, ballast), end(&there, &back, None), pipes)
}

struct Reader(Arc<Mutex<Pipe>>);

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut pipe = self.0.lock();
        if pipe.end == Some(End::BrokenOff) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.bytes.is_empty() && pipe.end.is_none() {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let read = buffer.remaining().min(pipe.bytes.len());
        let bytes: Vec<u8> = pipe.bytes.drain(..read).collect();
        drop(pipe);
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl ReadHalf for Reader {
    fn stop(&mut self, _code: AbortCode) {
        self.0.lock().break_off();
    }

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<AbortCode> {
        Poll::Pending
    }
}

struct Writer {
    pipe: Arc<Mutex<Pipe>>,
    _ballast: Option<Ballast>,
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.pipe.lock();
        if pipe.end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        pipe.bytes.extend(bytes);
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
        drop(pipe);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.lock().finish(End::InOrder);
        Poll::Ready(Ok(()))
    }
}

impl WriteHalf for Writer {
    fn reset(&mut self, _code: AbortCode) {
        self.pipe.lock().break_off();
    }

    fn poll_stopped(&mut self, _cx: &mut Context<'_>) -> Poll<AbortCode> {
        Poll::Pending
    }

    fn poll_delivered(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

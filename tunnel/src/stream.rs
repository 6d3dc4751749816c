//! One caller's connection inside a session: bytes both ways, each way with its own end.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::AbortCode;

/// What a transport without chunks of its own reads at a time: a TLS record.
const COPIED: usize = 16 << 10;

/// The peer broke a stream off: the inside of an [`io::ErrorKind::ConnectionReset`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other side broke the stream off: {code}")]
pub struct StreamReset {
    /// Why.
    pub code: AbortCode,
}

impl StreamReset {
    /// The code within an error of a stream, if the peer broke it off.
    pub fn within(error: &io::Error) -> Option<AbortCode> {
        let reset: &Self = error.get_ref()?.downcast_ref()?;
        Some(reset.code)
    }
}

impl From<StreamReset> for io::Error {
    fn from(reset: StreamReset) -> Self {
        Self::new(io::ErrorKind::ConnectionReset, reset)
    }
}

/// The receiving half that a transport gives to a [`Stream`].
///
/// A reset by the peer is a [`StreamReset`], the end of the session
/// [`io::ErrorKind::ConnectionAborted`]. Neither ever looks like an end of file.
pub trait ReadHalf: AsyncRead + Send + Sync + Unpin {
    /// Reads what is there into the front of `chunks` and says how many were filled; none is the end
    /// of file. What was read counts as taken: the peer may send as much again. A transport that
    /// keeps what arrives in chunks gives them away as they are; this one copies into the first.
    fn poll_read_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<io::Result<usize>> {
        let mut room = [MaybeUninit::uninit(); COPIED];
        let mut room = ReadBuf::uninit(&mut room);
        ready!(Pin::new(self).poll_read(cx, &mut room))?;
        let read = Bytes::copy_from_slice(room.filled());
        let filled = usize::from(!read.is_empty());
        if let Some(first) = chunks.first_mut() {
            *first = read;
        }
        Poll::Ready(Ok(filled))
    }

    /// Tells the peer that nothing more is read. Without effect after the end was read.
    fn stop(&mut self, code: AbortCode);

    /// Ready when the peer has reset the stream, although bytes may wait to be read. Pending for
    /// ever when that cannot happen any more.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<AbortCode>;
}

/// The sending half that a transport gives to a [`Stream`].
///
/// `poll_shutdown` ends this direction in good order and does not wait for the peer.
pub trait WriteHalf: AsyncWrite + Send + Sync + Unpin {
    /// Tells the peer that this direction broke off.
    fn reset(&mut self, code: AbortCode);

    /// Ready when the peer has said that it reads no more. Pending for ever once this direction
    /// has ended in good order.
    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<AbortCode>;

    /// Of a direction that was shut down: ready when the peer has all of it, or never will.
    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// How many streams of a session are open.
#[derive(Debug, Clone, Default)]
pub struct OpenStreams(Arc<AtomicUsize>);

impl OpenStreams {
    /// Streams open now.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(&self) -> OpenStream {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenStream {
            streams: self.clone(),
            counted: AtomicBool::new(true),
        }
    }
}

/// A stream's place in the count, given back on drop.
#[derive(Debug)]
struct OpenStream {
    streams: OpenStreams,
    counted: AtomicBool,
}

impl OpenStream {
    fn leave(&self) {
        if self.counted.swap(false, Ordering::Relaxed) {
            self.streams.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What the two halves of a stream share.
#[derive(Debug)]
struct Shared {
    /// The code with which the reader says goodbye when it is dropped before the end.
    farewell: AtomicU32,
    /// Both halves are gone when this is.
    open: OpenStream,
}

/// One caller's connection inside a session.
///
/// `poll_shutdown` ends our direction while the other goes on. A stream that is dropped without
/// having been shut down is aborted: the peer sees a reset, never an end of file.
#[derive(Debug)]
pub struct Stream {
    // Dropped in this order: the writer decides what the reader says.
    writer: StreamWriter,
    reader: StreamReader,
}

impl Stream {
    /// A stream over a transport's halves, counted in `open` while either half lives.
    pub fn new(read: Box<dyn ReadHalf>, write: Box<dyn WriteHalf>, open: &OpenStreams) -> Self {
        let farewell = AtomicU32::new(AbortCode::NotReading.number());
        let shared = Arc::new(Shared {
            farewell,
            open: open.enter(),
        });
        Self {
            writer: StreamWriter {
                half: write,
                ended: false,
                shared: Arc::clone(&shared),
            },
            reader: StreamReader {
                half: read,
                ended: false,
                shared,
            },
        }
    }

    /// Takes the stream out of its session's count: it is the control stream.
    pub(crate) fn into_uncounted(self) -> Self {
        self.writer.shared.open.leave();
        self
    }

    /// Breaks both directions off. The peer sees a reset with this code.
    pub fn abort(mut self, code: AbortCode) {
        self.writer.reset(code);
        self.reader.stop(code);
    }

    /// The two directions, for two tasks or two loops.
    pub fn into_split(self) -> (StreamReader, StreamWriter) {
        (self.reader, self.writer)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.writer.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}

/// The receiving half of a [`Stream`]. Dropped before its end, it tells the peer to stop sending.
pub struct StreamReader {
    half: Box<dyn ReadHalf>,
    ended: bool,
    shared: Arc<Shared>,
}

impl StreamReader {
    /// Tells the peer that nothing more is read, with this code.
    pub fn stop(&mut self, code: AbortCode) {
        if !self.ended {
            self.ended = true;
            self.half.stop(code);
        }
    }

    /// Reads what is there into the front of `chunks`, without copying it, and says how many were
    /// filled; none is the end of file. `chunks` must not be empty.
    ///
    /// # Errors
    ///
    /// When the stream or the session broke off.
    pub fn poll_read_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<io::Result<usize>> {
        let polled = self.half.poll_read_chunks(cx, chunks);
        if matches!(polled, Poll::Ready(Ok(0) | Err(_))) {
            self.ended = true;
        }
        polled
    }

    /// Ready when the peer has reset the stream, although bytes may wait to be read.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<AbortCode> {
        if self.ended {
            Poll::Pending
        } else {
            self.half.poll_reset(cx)
        }
    }
}

impl AsyncRead for StreamReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut *self.half).poll_read(cx, buf);
        let at_end = buf.remaining() > 0 && buf.filled().len() == before;
        match &polled {
            Poll::Ready(Ok(())) if at_end => self.ended = true,
            Poll::Ready(Err(_)) => self.ended = true,
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        polled
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        let code = AbortCode::from_number(self.shared.farewell.load(Ordering::Relaxed));
        self.stop(code);
    }
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamReader")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// The sending half of a [`Stream`]. Dropped without a shutdown, it resets its direction.
pub struct StreamWriter {
    half: Box<dyn WriteHalf>,
    ended: bool,
    shared: Arc<Shared>,
}

impl StreamWriter {
    /// Breaks this direction off, with this code.
    pub fn reset(&mut self, code: AbortCode) {
        // Bytes of a direction that ended in good order may still be under way: a reset takes them
        // back, which is what an abort means.
        self.ended = true;
        self.shared.farewell.store(code.number(), Ordering::Relaxed);
        self.half.reset(code);
    }

    /// Ready when the peer has said that it reads no more.
    pub fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<AbortCode> {
        self.half.poll_stopped(cx)
    }

    /// After a shutdown: waits until the peer has all of this direction, or never will. Closing the
    /// session any earlier takes back what is still under way.
    pub async fn delivered(&mut self) {
        poll_fn(|cx| self.half.poll_delivered(cx)).await;
    }
}

impl AsyncWrite for StreamWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.half).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.half).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.half.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.half).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut *self.half).poll_shutdown(cx);
        if polled.is_ready() {
            self.ended = true;
        }
        polled
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if !self.ended {
            self.reset(AbortCode::Dropped);
        }
    }
}

impl std::fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamWriter")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A transport that keeps no chunks.
    struct Plain(DuplexStream);

    impl AsyncRead for Plain {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl ReadHalf for Plain {
        fn stop(&mut self, _code: AbortCode) {}

        fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<AbortCode> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_transport_without_chunks_reads_into_one() {
        let (near, mut far) = duplex(64);
        let mut near = Plain(near);
        far.write_all(b"said").await.expect("written");
        drop(far);
        let mut chunks = [const { Bytes::new() }; 2];
        let filled = poll_fn(|cx| near.poll_read_chunks(cx, &mut chunks)).await;
        assert_eq!(filled.expect("read"), 1);
        assert_eq!(chunks, [Bytes::from_static(b"said"), Bytes::new()]);
        let filled = poll_fn(|cx| near.poll_read_chunks(cx, &mut chunks)).await;
        assert_eq!(filled.expect("read"), 0, "the end of file");
    }
}

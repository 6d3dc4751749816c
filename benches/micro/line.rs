//! The relay's copy loop with its two ends in hand: a TCP connection, and a tunnel's stream in memory.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use gangplank_tunnel::wire::AbortCode;
use gangplank_tunnel::{BoxFuture, OpenStreams, ReadHalf, Stream, WriteHalf, splice};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

/// A caller, a splice between, and the exit's end.
pub(crate) struct Line {
    /// What the caller writes to and reads from.
    pub(crate) caller: TcpStream,
    /// What arrives at the exit, and goes back.
    pub(crate) exit: DuplexStream,
}

impl Line {
    /// Joins the two.
    ///
    /// # Errors
    ///
    /// When there is no port.
    pub(crate) async fn lay() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (caller, accepted) = tokio::join!(
            TcpStream::connect(listener.local_addr()?),
            listener.accept()
        );
        let (caller, (accepted, _)) = (caller?, accepted?);
        caller.set_nodelay(true)?;
        accepted.set_nodelay(true)?;
        let (exit, relay) = tokio::io::duplex(256 * 1024);
        let (read, write) = tokio::io::split(relay);
        let stream = Stream::new(
            Box::new(Memory(read)),
            Box::new(Memory(write)),
            &OpenStreams::default(),
        );
        drop(TaskTracker::new().spawn(async {
            let endless = || -> BoxFuture<'static, ()> { Box::pin(pending()) };
            splice(accepted, stream, &endless, pending()).await
        }));
        Ok(Self { caller, exit })
    }

    /// A byte there and back.
    ///
    /// # Errors
    ///
    /// When the line is cut.
    pub(crate) async fn round_trip(&mut self) -> io::Result<u8> {
        self.caller.write_all(b"?").await?;
        let asked = self.exit.read_u8().await?;
        self.exit.write_all(&[asked]).await?;
        self.caller.read_u8().await
    }
}

/// A half of a stream that never breaks.
struct Memory<H>(H);

impl<H: AsyncRead + Unpin> AsyncRead for Memory<H> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<H: AsyncWrite + Unpin> AsyncWrite for Memory<H> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<H: AsyncRead + Send + Sync + Unpin> ReadHalf for Memory<H> {
    fn stop(&mut self, _code: AbortCode) {}

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<AbortCode> {
        Poll::Pending
    }
}

impl<H: AsyncWrite + Send + Sync + Unpin> WriteHalf for Memory<H> {
    fn reset(&mut self, _code: AbortCode) {}

    fn poll_stopped(&mut self, _cx: &mut Context<'_>) -> Poll<AbortCode> {
        Poll::Pending
    }

    fn poll_delivered(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

//! When a member was last heard of: whatever comes from it counts, the answers to HTTP/2's pings too, of which
//! hyper tells nobody.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

#[derive(Debug, Clone)]
pub(super) struct Heard(Arc<Mutex<Instant>>);

impl Heard {
    pub(super) fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    pub(super) fn last(&self) -> Instant {
        *self.0.lock()
    }

    /// Listens to what is read from `io`.
    pub(super) fn over<S>(&self, io: S) -> Overheard<S> {
        let heard = self.clone();
        Overheard { io, heard }
    }
}

/// A stream that is listened to.
#[derive(Debug)]
pub(super) struct Overheard<S> {
    io: S,
    heard: Heard,
}

impl<S: AsyncRead + Unpin> AsyncRead for Overheard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buffer));
        if read.is_ok() {
            // Its end too: somebody there has said it.
            *self.heard.0.lock() = Instant::now();
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overheard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_counts_and_what_goes_does_not() {
        let (near, mut far) = tokio::io::duplex(16);
        let heard = Heard::now();
        let (begun, mut near) = (heard.last(), heard.over(near));
        advance(Duration::from_secs(6)).await;
        near.write_all(b"ping").await.unwrap();
        assert_eq!(heard.last(), begun);
        far.write_all(b"pong").await.unwrap();
        near.read_exact(&mut [0; 4]).await.unwrap();
        assert_eq!(heard.last(), begun + Duration::from_secs(6));
    }
}

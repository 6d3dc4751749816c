//! Closing so that the last answer, or the alert of a failed handshake, is read.
//!
//! A socket that is closed while bytes of the caller are unread resets the connection, and a reset can
//! overtake the answer. So after we have said everything and closed our half, what still comes is read
//! and thrown away, for a while.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

/// A caller who sends a large body learns of an early answer within a few round trips; one that goes
/// on sending for two seconds is not listening.
const LINGER: Duration = Duration::from_secs(2);

/// What is read at a time, and thrown away. It lies in the connection's own memory.
const SCRAP: usize = 512;

/// Reads what still comes until the caller closes too, or [`LINGER`] is over.
///
/// Our half is closed here once more: after a request that asked for an upgrade and did not get it,
/// hyper gives the connection up without closing it.
pub(crate) async fn linger<IO: AsyncRead + AsyncWrite + Unpin>(io: Option<IO>) {
    let Some(mut io) = io else { return };
    let discard = async {
        if io.shutdown().await.is_err() {
            return;
        }
        let mut scrap = [0; SCRAP];
        while matches!(io.read(&mut scrap).await, Ok(read) if read > 0) {}
    };
    // Late or not: it is over.
    drop(timeout(LINGER, discard).await);
}

/// A connection that comes back when HTTP is done with it, which drops it in the end.
pub(super) struct Returning<IO> {
    io: Option<IO>,
    to: Weak<Mutex<Option<IO>>>,
}

/// Where it comes back to.
pub(super) struct Returned<IO>(Arc<Mutex<Option<IO>>>);

impl<IO> Returning<IO> {
    pub(super) fn new(io: IO) -> (Self, Returned<IO>) {
        let place = Arc::new(Mutex::new(None));
        (
            Self {
                io: Some(io),
                to: Arc::downgrade(&place),
            },
            Returned(place),
        )
    }
}

impl<IO> Returned<IO> {
    pub(super) fn take(&self) -> Option<IO> {
        self.0.lock().take()
    }
}

impl<IO> Drop for Returning<IO> {
    fn drop(&mut self) {
        if let Some(place) = self.to.upgrade() {
            *place.lock() = self.io.take();
        }
    }
}

impl<IO: Unpin> Returning<IO> {
    fn io(&mut self) -> io::Result<Pin<&mut IO>> {
        self.io
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Returning<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().io()?.poll_read(cx, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Returning<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().io()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().io()?.poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().io()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().io()?.poll_shutdown(cx)
    }
}

//! A TCP socket below TLS: metered, and still there when TLS is gone.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::limits;
use super::meter::Meter;

/// A metered socket, of which a first part may have been read already.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: Arc<TcpStream>,
    first: Bytes,
    meter: Meter,
    /// Read since there was a pause.
    taken: usize,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream, first: Bytes, meter: Meter) -> Self {
        let tuned = gangplank_tcp::tune(&tcp)
            .and_then(|()| SockRef::from(&tcp).set_tcp_notsent_lowat(limits::UNSENT));
        if let Err(error) = tuned {
            tracing::debug!(%error, "a tunnel's socket is as the kernel gave it");
        }
        Self {
            tcp: Arc::new(tcp),
            first,
            meter,
            taken: 0,
        }
    }

    /// What is left of it when TLS is gone.
    pub(super) fn remains(&self) -> Remains {
        Remains(Arc::clone(&self.tcp))
    }

    fn poll_taken(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let Poll::Ready(ready) = self.tcp.poll_write_ready(cx) else {
                self.meter.blocked();
                return Poll::Pending;
            };
            ready?;
            match write(&self.tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    self.meter.sent(*written.as_ref().unwrap_or(&0));
                    return Poll::Ready(written);
                }
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let length = self.first.len().min(buf.remaining());
            buf.put_slice(self.first.get(..length).unwrap_or_default());
            self.first.advance(length);
            self.meter.received(length);
            return Poll::Ready(Ok(()));
        }
        if self.taken >= limits::TURN {
            // A peer that always has more to say goes to the end of the line.
            self.taken = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let Poll::Ready(ready) = self.tcp.poll_read_ready(cx) else {
                self.taken = 0;
                return Poll::Pending;
            };
            ready?;
            match self.tcp.try_read_buf(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    let read = read?;
                    self.taken += read;
                    self.meter.received(read);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_taken(cx, |tcp| tcp.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_taken(cx, |tcp| tcp.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.tcp).shutdown(Shutdown::Write))
    }
}

/// A socket on which nothing is to be said any more.
#[derive(Debug)]
pub(super) struct Remains(Arc<TcpStream>);

impl Remains {
    /// Lets the last words arrive: closes after the peer has, or after a moment.
    pub(super) async fn linger(self) {
        if SockRef::from(&*self.0).shutdown(Shutdown::Write).is_err() {
            return; // the peer was faster
        }
        let mut thrown_away = vec![0; 16 << 10];
        let reading = async {
            loop {
                self.0.readable().await?;
                match self.0.try_read(&mut thrown_away) {
                    Ok(0) => return Ok::<_, io::Error>(()),
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    Ok(_) | Err(_) => {}
                }
            }
        };
        let ended = timeout(limits::LINGER, reading).await;
        tracing::trace!(?ended, "a tunnel's socket is closed");
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt as _;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::fixture::{soon, tcp_pair};

    #[tokio::test]
    async fn a_peer_that_always_has_more_to_say_gives_way_and_comes_again() {
        let (mut peer, near) = tcp_pair().await;
        let roomy = SockRef::from(&near).set_recv_buffer_size(8 * limits::TURN);
        roomy.expect("a larger buffer");
        let whole = vec![7; 4 * limits::TURN];
        let writing = TaskTracker::new().spawn(async move {
            peer.write_all(&whole).await.expect("written");
            peer
        });
        // More is there than one turn takes.
        soon(async {
            let mut ahead = vec![0; limits::TURN + limits::TURN / 2];
            while near.peek(&mut ahead).await.expect("it stands") < ahead.len() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let mut socket = Socket::new(near, Bytes::new(), Meter::new());
        let mut heard = 0;
        while heard < 4 * limits::TURN {
            let at_once = soon(poll_fn(|cx| {
                let mut at_once = 0;
                loop {
                    let mut space = [0; 4096];
                    let mut buffer = ReadBuf::new(&mut space);
                    match Pin::new(&mut socket).poll_read(cx, &mut buffer) {
                        Poll::Ready(read) => read.expect("read"),
                        Poll::Pending if at_once == 0 => return Poll::Pending,
                        Poll::Pending => return Poll::Ready(at_once),
                    }
                    at_once += buffer.filled().len();
                }
            }))
            .await;
            assert!(at_once <= limits::TURN, "{at_once} bytes without a pause");
            heard += at_once;
        }
        writing.await.expect("no panic");
    }
}

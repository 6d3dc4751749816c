//! Taking turns with a caller who always has more to say.
//!
//! HTTP/2 is taken in for as long as there is something to take. Frames that cost nothing but an answer (SETTINGS, PING)
//! would so keep a thread, and with it everybody else's requests, until nothing of the caller's is left: a window of the
//! tunnel has a hundred thousand of them, which took two seconds beside four such callers. So whoever has been read
//! so much without a pause goes to the end of the line.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::talk::Talk;

/// What is read of a caller at a time: one TLS record, half a millisecond of the cheapest frames. An upload's turn
/// costs a poll of its connection for each.
const TURN: usize = 16 * 1024;

/// A caller's connection that is read in turns, and only as long as it does not talk too much ([`Talk`]).
pub(super) struct InTurns<IO> {
    io: IO,
    /// Read since there was a pause.
    taken: usize,
    talk: Talk,
    /// Set when it was too much.
    too_much: Arc<AtomicBool>,
}

impl<IO> InTurns<IO> {
    /// Sets `too_much` before it ends a connection that talks too much.
    pub(super) fn new(io: IO, too_much: Arc<AtomicBool>) -> Self {
        Self {
            io,
            taken: 0,
            talk: Talk::new(),
            too_much,
        }
    }
}

impl<IO> InTurns<IO> {
    fn note(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.talk.wrote(*bytes);
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for InTurns<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.taken >= TURN {
            me.taken = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut me.io).poll_read(cx, buffer);
        let new = buffer.filled().get(before..).unwrap_or_default();
        me.taken = match read {
            Poll::Pending => 0,
            Poll::Ready(_) => me.taken + new.len(),
        };
        if let Err(fault) = me.talk.read(new) {
            me.too_much.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(io::Error::other(fault)));
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for InTurns<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let written = Pin::new(&mut me.io).poll_write(cx, bytes);
        me.note(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let written = Pin::new(&mut me.io).poll_write_vectored(cx, pieces);
        me.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads until there is a pause; answers how much that was.
    fn read_a_turn(io: &mut InTurns<tokio::io::Repeat>, cx: &mut Context<'_>) -> usize {
        let (mut read, mut room) = (0, [0; 1000]);
        loop {
            let mut buffer = ReadBuf::new(&mut room);
            if Pin::new(&mut *io).poll_read(cx, &mut buffer).is_pending() {
                return read;
            }
            read += buffer.filled().len();
            assert!(read < 2 * TURN, "it must give way");
        }
    }

    #[tokio::test]
    async fn who_always_has_more_to_say_gives_way_and_comes_again() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        // Frames of 460,551 bytes each, of a type that carries something.
        let mut io = InTurns::new(tokio::io::repeat(7), Arc::default());
        for turn in 1..=3 {
            assert!(read_a_turn(&mut io, &mut cx) >= TURN);
            assert_eq!(
                woken.0.load(Ordering::Relaxed),
                turn,
                "its turn comes again"
            );
        }
    }
}

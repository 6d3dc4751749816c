//! Hearing that a caller has left while hyper is not listening.
//!
//! While an HTTP/1.1 request is being answered, hyper would notice the caller's end only as long as
//! nothing lies unread behind the request, and keep a buffer of 8 KiB for it. One further byte, and a
//! watch whose caller is gone would keep its descriptors and its place at the API server until the API
//! server ends it. So hyper is told not to look (`half_close`), and whenever it flushes, which it does
//! each time it is woken, what it has not asked for is read ahead here, a little of it, and the end that
//! stands behind it is told to whoever drives the connection.
//!
//! What hyper has instead of two time limits is one, for waiting and for the head together. So the one for a
//! head that has begun is kept here, too.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::limits::HEAD;
use super::underway::Underway;

/// Most bytes read ahead of hyper: one TLS record. No client of Kubernetes sends a request before the
/// last one is answered, and what an upgrade's caller says ahead of its 101 is a few hundred bytes.
const AHEAD: usize = 16 * 1024;

/// How long more than [`AHEAD`] may wait behind what runs. The end of a caller cannot be seen behind so
/// much, so it counts as gone then. It takes an API server that takes nothing of a body for as long:
/// kube-apiserver itself gives up any request that is not a watch or a stream after one minute.
const UNHEARD: Duration = Duration::from_secs(300);

/// A caller's connection that is listened to even while nobody reads it.
pub(super) struct Attentive<IO> {
    io: IO,
    /// Told when the caller has left; nobody reads ahead any more once it was dropped.
    listener: std::sync::Weak<Told>,
    ahead: Vec<u8>,
    taken: usize,
    end: Option<io::Result<()>>,
    /// Hyper asked for more and got nothing: it must be woken when there is something.
    hungry: bool,
    unheard: Option<Pin<Box<Sleep>>>,
    underway: Arc<Underway>,
    head: Head,
}

/// The head of a request that is being read.
#[derive(Default)]
struct Head {
    /// How many requests there had been when its first bytes came.
    behind: Option<u64>,
    /// Until when it must be whole. Most are read at once, and need no timer.
    due: Option<Pin<Box<Sleep>>>,
}

impl Head {
    /// Bytes come that belong to one, if no request is under way.
    fn note_bytes(&mut self, underway: &Underway) {
        let between = underway.between();
        if self.behind != between {
            *self = Self {
                behind: between,
                due: None,
            };
        }
    }

    /// Has it begun, and is not whole in time?
    fn is_late(&mut self, underway: &Underway, cx: &mut Context<'_>) -> bool {
        if self.behind.is_none() || self.behind != underway.between() {
            self.due = None;
            return false;
        }
        self.due
            .get_or_insert_with(|| Box::pin(sleep(HEAD)))
            .as_mut()
            .poll(cx)
            .is_ready()
    }
}

#[derive(Default)]
struct Told {
    left: CancellationToken,
    something_ahead: AtomicBool,
}

/// What a caller who has left had sent last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The request that is being answered, if any: nobody waits for the answer any more.
    NothingAhead,
    /// More than that, which was not looked at yet.
    SomethingAhead,
}

/// Where it is told that the caller has left.
pub(super) struct Listener(Arc<Told>);

impl Listener {
    /// Resolves once the caller is gone while a request is being answered.
    pub(super) async fn caller_left(&self) -> Left {
        self.0.left.cancelled().await;
        if self.0.something_ahead.load(Ordering::Relaxed) {
            Left::SomethingAhead
        } else {
            Left::NothingAhead
        }
    }
}

impl<IO> Attentive<IO> {
    pub(super) fn new(io: IO, underway: Arc<Underway>) -> (Self, Listener) {
        let told = Arc::new(Told::default());
        let attentive = Self {
            io,
            listener: Arc::downgrade(&told),
            ahead: Vec::new(),
            taken: 0,
            end: None,
            hungry: false,
            unheard: None,
            underway,
            head: Head::default(),
        };
        (attentive, Listener(told))
    }

    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let waiting = self.ahead.get(self.taken..).unwrap_or_default();
        let given = waiting.len().min(buffer.remaining());
        buffer.put_slice(waiting.get(..given).unwrap_or_default());
        self.taken += given;
        if self.taken >= self.ahead.len() {
            self.ahead = Vec::new();
            self.taken = 0;
        }
        self.unheard = None;
    }
}

impl<IO: AsyncRead + Unpin> Attentive<IO> {
    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        let Some(told) = self.listener.upgrade() else {
            return;
        };
        while self.end.is_none() && self.ahead.len() < AHEAD {
            let mut scrap = [0; 2048];
            let room = scrap.len().min(AHEAD - self.ahead.len());
            let mut buffer = ReadBuf::new(scrap.get_mut(..room).unwrap_or_default());
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.end = Some(Ok(())),
                Poll::Ready(Ok(())) => self.ahead.extend_from_slice(buffer.filled()),
                Poll::Ready(Err(error)) => self.end = Some(Err(error)),
            }
            if std::mem::take(&mut self.hungry) {
                cx.waker().wake_by_ref();
            }
        }
        if self.end.is_some() || self.is_unheard(cx) {
            told.something_ahead
                .store(self.taken < self.ahead.len(), Ordering::Relaxed);
            told.left.cancel();
        }
    }

    fn is_unheard(&mut self, cx: &mut Context<'_>) -> bool {
        self.unheard
            .get_or_insert_with(|| Box::pin(sleep(UNHEARD)))
            .as_mut()
            .poll(cx)
            .is_ready()
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Attentive<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.taken < me.ahead.len() {
            me.head.note_bytes(&me.underway);
            me.give(buffer);
            return Poll::Ready(Ok(()));
        }
        // An error is told once; behind it there is nothing.
        if let Some(end) = me.end.as_mut() {
            return Poll::Ready(std::mem::replace(end, Ok(())));
        }
        if me.head.is_late(&me.underway, cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        me.hungry = true;
        let read = ready!(Pin::new(&mut me.io).poll_read(cx, buffer));
        me.hungry = false;
        me.head.note_bytes(&me.underway);
        Poll::Ready(read)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Attentive<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let flushed = Pin::new(&mut me.io).poll_flush(cx);
        me.read_ahead(cx);
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{Instant, timeout};

    use super::*;

    const MOMENT: Duration = Duration::from_secs(1);

    /// Flushes whenever it is woken, as hyper does, until the caller has left.
    async fn flush_until_left<IO: AsyncRead + AsyncWrite + Unpin>(
        io: &mut Attentive<IO>,
        listener: &Listener,
    ) {
        let flushing = poll_fn(|cx| match Pin::new(&mut *io).poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::<io::Error>::Pending,
        });
        tokio::select! {
            error = flushing => panic!("{error}"),
            _how = listener.caller_left() => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_behind_unread_bytes_is_told_and_the_bytes_are_read_first() {
        let (mut caller, ours) = duplex(1024);
        let (mut io, listener) = Attentive::new(ours, Arc::default());
        caller.write_all(b"ahead").await.unwrap();
        let waiting = timeout(MOMENT, flush_until_left(&mut io, &listener)).await;
        assert!(waiting.is_err(), "a caller who is there has not left");
        drop(caller);
        flush_until_left(&mut io, &listener).await;
        let mut read = Vec::new();
        io.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"ahead");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_floods_what_nobody_reads_counts_as_gone_after_a_while() {
        let (mut caller, ours) = duplex(4 * AHEAD);
        let (mut io, listener) = Attentive::new(ours, Arc::default());
        caller.write_all(&[7; 2 * AHEAD]).await.unwrap();
        let began = Instant::now();
        flush_until_left(&mut io, &listener).await;
        assert!(began.elapsed() >= UNHEARD);
        assert_eq!(io.ahead.len(), AHEAD, "no more than that is kept");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_gets_everything_once_and_in_order() {
        let (mut caller, ours) = duplex(8 * AHEAD);
        let (mut io, listener) = Attentive::new(ours, Arc::default());
        let sent: Vec<u8> = (0..=u8::MAX).cycle().take(5 * AHEAD).collect();
        caller.write_all(&sent).await.unwrap();
        let mut read = Vec::new();
        let mut piece = [0; 3000];
        while read.len() < sent.len() {
            let waiting = timeout(MOMENT, flush_until_left(&mut io, &listener)).await;
            assert!(waiting.is_err(), "it is read, and has not left");
            let count = io.read(&mut piece).await.unwrap();
            read.extend_from_slice(piece.get(..count).unwrap());
        }
        assert_eq!(read, sent);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_waits_is_woken_by_what_was_read_ahead() {
        let (mut caller, ours) = duplex(1024);
        let (mut io, _listener) = Attentive::new(ours, Arc::default());
        let mut first = true;
        let read = poll_fn(|cx| {
            let mut room = [0; 16];
            let mut buffer = ReadBuf::new(&mut room);
            let polled = Pin::new(&mut io).poll_read(cx, &mut buffer);
            if std::mem::take(&mut first) {
                // The bytes come between the read and the flush.
                assert!(polled.is_pending());
                let written = Pin::new(&mut caller).poll_write(cx, b"late");
                assert!(matches!(written, Poll::Ready(Ok(4))));
                assert!(matches!(
                    Pin::new(&mut io).poll_flush(cx),
                    Poll::Ready(Ok(()))
                ));
                return Poll::Pending;
            }
            polled.map(|done| done.map(|()| buffer.filled().to_vec()))
        });
        assert_eq!(timeout(MOMENT, read).await.unwrap().unwrap(), b"late");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_read_ahead_once_nobody_listens() {
        let (mut caller, ours) = duplex(1024);
        let (mut io, listener) = Attentive::new(ours, Arc::default());
        drop(listener);
        caller.write_all(b"ahead").await.unwrap();
        io.flush().await.unwrap();
        assert!(io.ahead.is_empty());
    }

    /// What is read until the connection ends, and after how long that is.
    async fn read_all(mut io: Attentive<tokio::io::DuplexStream>) -> (io::Result<usize>, Duration) {
        let began = Instant::now();
        let mut read = Vec::new();
        (io.read_to_end(&mut read).await, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_in_is_late_however_often_something_comes() {
        let (mut caller, ours) = duplex(1024);
        let (io, _listener) = Attentive::new(ours, Arc::default());
        let drip = async {
            loop {
                caller.write_all(b"x").await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
        };
        let (end, after) = tokio::select! {
            end = read_all(io) => end,
            () = drip => unreachable!(),
        };
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(after, HEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn neither_silence_nor_a_body_is_a_late_head() {
        let (mut caller, ours) = duplex(1024);
        let underway = Arc::new(Underway::default());
        let (mut io, _listener) = Attentive::new(ours, Arc::clone(&underway));
        let mut room = [0; 64];
        let silence = timeout(3 * HEAD, io.read(&mut room)).await;
        assert!(silence.is_err(), "hyper's limit, not this one");
        for _ in 0..3 {
            caller.write_all(b"head").await.unwrap();
            assert_eq!(io.read(&mut room).await.unwrap(), 4);
            underway.one_begun();
            for _ in 0..50 {
                caller.write_all(b"body").await.unwrap();
                assert_eq!(io.read(&mut room).await.unwrap(), 4);
                assert!(timeout(MOMENT, io.read(&mut room)).await.is_err());
            }
            underway.one_over();
            let silence = timeout(2 * HEAD, io.read(&mut room)).await;
            assert!(silence.is_err(), "between two requests");
        }
        caller.write_all(b"head that stops").await.unwrap();
        let (end, after) = read_all(io).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(after, HEAD);
    }
}

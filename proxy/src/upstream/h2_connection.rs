//! One HTTP/2 connection to the API server, from the end of its TLS handshake.
//!
//! hyper speaks the protocol. Added here: a connection counts as open only once the server has said how
//! many streams it allows, that number stays known, and every window and limit is set with a reason.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use gangplank_apiserver::Secured;
use http_body::{Body, Frame, SizeHint};
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::limits::{
    CANCELLED_STREAMS, CONNECTION_WINDOW, HEADER_LIST, Pace, SEND_BUFFER, STREAM_WINDOW,
    STREAMS_PER_CONNECTION,
};
use super::pool::Http2Place;
use crate::body::{BodyError, RequestBody};

/// The half that requests are sent with; a clone shares the connection.
pub(super) type Sender = SendRequest<SentBody>;

/// A connection that is ready for requests.
pub(super) struct Http2Connection {
    pub(super) sender: Sender,
    pub(super) limit: StreamLimit,
    running: Connection<TokioIo<Listened>, SentBody, Tracked>,
}

/// How many streams of a connection may be used now.
#[derive(Clone, Debug)]
pub(super) struct StreamLimit(Arc<AtomicUsize>);

impl StreamLimit {
    pub(super) fn new(allowed: usize) -> Self {
        let limit = Self(Arc::default());
        limit.learn(allowed);
        limit
    }

    pub(super) fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn learn(&self, allowed: usize) {
        self.0
            .store(allowed.min(STREAMS_PER_CONNECTION), Ordering::Relaxed);
    }
}

impl Http2Connection {
    /// Begins HTTP/2 on `io` and waits for the server's SETTINGS. The deadline is the caller's affair.
    ///
    /// # Errors
    /// What TLS or the server said instead. A server that does not like our certificate says so only
    /// now: in TLS 1.3 the client's handshake is done before the server has looked at it.
    pub(super) async fn open(io: Secured, tasks: &TaskTracker, pace: &Pace) -> io::Result<Self> {
        let beginning = Arc::new(Beginning::default());
        let io = TokioIo::new(Listened {
            io,
            beginning: Arc::clone(&beginning),
        });
        let (sender, mut running) = builder(tasks, pace)
            .handshake(io)
            .await
            .map_err(io::Error::other)?;
        loop {
            let allowed = running.current_max_send_streams();
            if allowed > 0 {
                beginning.over.store(true, Ordering::Relaxed);
                return Ok(Self {
                    sender,
                    limit: StreamLimit::new(allowed),
                    running,
                });
            }
            tokio::select! {
                ended = &mut running => return Err(beginning.fault(ended.err())),
                () = beginning.news.notified() => {}
            }
        }
    }

    /// Splits the half that requests are sent with from the one that must be run.
    pub(super) fn into_halves(self) -> (Sender, StreamLimit, Running) {
        let running = Running {
            connection: self.running,
            limit: self.limit.clone(),
        };
        (self.sender, self.limit, running)
    }
}

/// The half that takes requests in, and has to be run for that.
pub(super) struct Running {
    connection: Connection<TokioIo<Listened>, SentBody, Tracked>,
    limit: StreamLimit,
}

impl Running {
    /// Runs until the connection takes no more requests: the server said GOAWAY, it broke, or every
    /// [`Sender`] is gone. Streams that are open then go on by themselves until their end.
    pub(super) async fn until_retired(&mut self) -> hyper::Result<()> {
        poll_fn(|cx| {
            let retired = Pin::new(&mut self.connection).poll(cx);
            self.limit.learn(self.connection.current_max_send_streams());
            retired
        })
        .await
    }
}

fn builder(tasks: &TaskTracker, pace: &Pace) -> Builder<Tracked> {
    let mut builder = Builder::new(Tracked(tasks.clone()));
    builder
        .timer(TokioTimer::new())
        // None until the server has spoken; see `open`.
        .initial_max_send_streams(0)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST)
        .max_send_buf_size(SEND_BUFFER)
        .max_concurrent_reset_streams(CANCELLED_STREAMS)
        // h2 counts what the server had under way on streams that we cancelled as errors of the
        // server's, over the connection's whole life, and after 1,024 of them ends the connection with
        // everyone on it. That count protects servers; a client's server is one it chose to trust.
        .max_local_error_reset_streams(None)
        .keep_alive_interval(pace.ping_interval)
        .keep_alive_timeout(pace.ping_timeout)
        .keep_alive_while_idle(true);
    builder
}

/// Runs hyper's tasks where shutdown waits for them.
#[derive(Clone, Debug)]
pub(super) struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// A request's body together with the stream that it occupies.
///
/// A stream is free again when both its directions have ended, so the place is held by this body and
/// by the answer's.
#[derive(Debug)]
pub(super) struct SentBody {
    pub(super) body: RequestBody,
    pub(super) _place: Arc<Http2Place>,
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What is heard of the server before its SETTINGS.
#[derive(Debug, Default)]
struct Beginning {
    over: AtomicBool,
    news: Notify,
    fault: Mutex<Option<io::Error>>,
}

impl Beginning {
    fn hear(&self, fault: io::Error) {
        *self.fault.lock() = Some(fault);
    }

    /// hyper keeps to itself why a connection ended; the socket's word is more to the point anyway.
    fn fault(&self, ended: Option<hyper::Error>) -> io::Error {
        let heard = self.fault.lock().take();
        heard
            .or_else(|| ended.map(io::Error::other))
            .unwrap_or_else(|| {
                io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "closed before the first SETTINGS frame",
                )
            })
    }
}

/// The socket, telling until the beginning is over whenever everything received has been looked at.
#[derive(Debug)]
struct Listened {
    io: Secured,
    beginning: Arc<Beginning>,
}

impl AsyncRead for Listened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if self.beginning.over.load(Ordering::Relaxed) {
            return polled;
        }
        match polled {
            // h2 acts on each frame before it reads on: when it has to wait, all before is in force.
            Poll::Pending => {
                self.beginning.news.notify_one();
                Poll::Pending
            }
            Poll::Ready(Err(error)) => {
                let told = io::Error::new(error.kind(), error.to_string());
                self.beginning.hear(error);
                Poll::Ready(Err(told))
            }
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Listened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

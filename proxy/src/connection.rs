//! One caller's connection: HTTP/1.1 or HTTP/2 as agreed in the handshake, until it ends.
//!
//! Four things end it: the caller, an answer that closes (a 401), a drain, and the end of the
//! caller's right. The first three let what runs finish, as far as there is someone to read it; the
//! last cuts everything off.

mod attentive;
mod limits;
pub(crate) mod linger;
mod resets;
mod talk;
mod turns;
mod underway;

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gangplank_pki::WithCauses;
use gangplank_tcp::LastInLine;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::attentive::{Attentive, Left};
use self::limits::{FLOODING_LIFE, GOAWAY_AFTER_ANSWER, LEFT_LIFE, REFUSED_LIFE, REVOKED_LIFE};
use self::linger::{Returning, linger};
use self::resets::Resets;
use self::turns::InTurns;
pub(crate) use self::underway::Underway;
use crate::audit::{Accepted, Who};
use crate::authenticate::Papers;
use crate::body::AnswerBody;
use crate::exit::{Caller, Shared};
use crate::live::until_right_ends;
use crate::request;
use crate::shares::Standing;
use crate::upgrade::Splice;

/// A connection and what its requests need.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) exit: Arc<Shared>,
    pub(crate) papers: Papers,
    pub(crate) who: Arc<Who>,
    pub(crate) standing: Standing,
    /// Cancelled when the caller's right has ended, and with the connection.
    pub(crate) revoked: CancellationToken,
    /// Cancelled when this exit or the tunnel ends.
    pub(crate) drain: CancellationToken,
    /// Cancelled when an answer was given after which no request is taken.
    closing: CancellationToken,
    resets: Resets,
    /// What an upgraded HTTP/1.1 connection goes on as.
    splice: Mutex<Option<Splice>>,
}

impl Connection {
    pub(crate) fn new(
        exit: Arc<Shared>,
        papers: Papers,
        caller: Caller,
        drain: CancellationToken,
        standing: Standing,
    ) -> Arc<Self> {
        let accepted = papers.began_as().map(|admitted| Accepted {
            username: admitted.identity.username().to_owned(),
            provider: admitted.identity.provider().to_string(),
            certificate: admitted.identity.certificate().to_string(),
            serial: admitted.identity.serial().to_string(),
        });
        let trail = exit.audit.clone();
        Arc::new(Self {
            exit,
            papers,
            who: Arc::new(Who::new(caller, accepted, trail)),
            standing,
            revoked: CancellationToken::new(),
            drain,
            closing: CancellationToken::new(),
            resets: Resets::none(),
            splice: Mutex::new(None),
        })
    }

    /// Takes no further request after those that are there.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Notices when a request, which begins now, is dropped before it was answered.
    pub(crate) fn unanswered(&self) -> Unanswered<'_> {
        self.who.underway.one_begun();
        Unanswered(Some(self))
    }

    /// Whether its caller has taken back too many requests: it is about to end.
    pub(crate) fn is_flooding(&self) -> bool {
        self.resets.are_too_many()
    }

    fn is_flooded(&self, how: &'static str) {
        self.exit.metrics.flooding.inc();
        tracing::debug!(
            client.addr = %self.who.caller.address,
            conn.id = %self.who.caller.connection_text(),
            "connection ended: {how}",
        );
    }

    /// Whether its caller was let in.
    pub(crate) const fn is_of_a_member(&self) -> bool {
        matches!(self.standing, Standing::Member { .. })
    }

    /// Leaves behind what the connection goes on as once its 101 is out.
    pub(crate) fn go_on_as(&self, splice: Splice) {
        *self.splice.lock() = Some(splice);
    }

    fn take_splice(&self) -> Option<Splice> {
        self.splice.lock().take()
    }

    /// Serves HTTP/1.1, and what it may be upgraded to.
    ///
    /// What only HTTP needs is moved to the heap before the future begins: a future has room for its
    /// arguments and for each local that was moved away, for as long as the connection lives.
    pub(crate) fn serve_http1<IO>(self: Arc<Self>, io: IO) -> impl Future<Output = ()> + Send
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (io, listener) = Attentive::new(io, Arc::clone(&self.who.underway));
        let (io, returned) = Returning::new(io);
        let http =
            limits::http1().serve_connection(TokioIo::new(io), Self::service(Arc::clone(&self)));
        let http = Box::pin(http.with_upgrades());
        async move {
            let _revoked_with_us = self.revoked.clone().drop_guard();
            let end = self.drive(http, listener.caller_left()).await;
            drop(listener);
            if let Some(splice) = self.take_splice() {
                self.run_splice(splice).await;
            } else if end == End::Finished {
                linger(returned.take()).await;
            }
        }
    }

    /// Serves HTTP/2.
    pub(crate) fn serve_http2<IO>(self: Arc<Self>, io: IO) -> impl Future<Output = ()> + Send
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (io, returned) = Returning::new(io);
        let streams = Streams(self.exit.tasks.clone());
        let too_much = Arc::<AtomicBool>::default();
        let http = limits::http2(streams).serve_connection(
            TokioIo::new(InTurns::new(io, Arc::clone(&too_much))),
            Self::service(Arc::clone(&self)),
        );
        let http = Box::pin(http);
        LastInLine::new(Box::pin(async move {
            let _revoked_with_us = self.revoked.clone().drop_guard();
            // HTTP/2 is read whatever its streams do, so it hears of the caller's end by itself.
            let end = self.drive(http, pending()).await;
            if too_much.load(Ordering::Relaxed) {
                self.is_flooded("its caller sends frames that ask for nothing, one after another");
            } else if end == End::Finished {
                linger(returned.take()).await;
            }
        }))
    }

    fn service(
        connection: Arc<Self>,
    ) -> impl HttpService<
        Incoming,
        ResBody = AnswerBody,
        Error = Infallible,
        Future = impl Future<Output = Result<Response<AnswerBody>, Infallible>> + Send + 'static,
    > + Unpin {
        service_fn(move |request: Request<Incoming>| {
            request::answer(Arc::clone(&connection), request)
        })
    }

    /// Lets HTTP run until it has ended, and tells it when it should.
    async fn drive<G: Gentle>(
        &self,
        mut http: Pin<Box<G>>,
        caller_left: impl Future<Output = Left>,
    ) -> End {
        let mut caller_left = pin!(caller_left);
        let admitted = self.is_of_a_member();
        let mut right_ends = pin!(until_right_ends(&self.papers));
        // A caller who was refused has this long to hear why.
        let mut cut = (!admitted).then(|| Instant::now() + REFUSED_LIFE);
        let (mut right, mut told, mut left) = (admitted, false, false);
        loop {
            tokio::select! {
                biased;
                result = http.as_mut() => return self.ended(result),
                class = &mut right_ends, if right => {
                    right = false;
                    told = true;
                    cut = Some(Instant::now() + REVOKED_LIFE);
                    self.revoke(class);
                    http.as_mut().finish();
                }
                () = self.until_told_to_close(G::AFTER_ANSWER), if !told => {
                    told = true;
                    if self.resets.are_too_many() {
                        cut = Some(Instant::now() + FLOODING_LIFE);
                    }
                    http.as_mut().finish();
                }
                how = &mut caller_left, if !left => {
                    left = true;
                    if how == Left::NothingAhead {
                        return End::Cut;
                    }
                    let end = Instant::now() + LEFT_LIFE;
                    cut = Some(cut.map_or(end, |cut| cut.min(end)));
                }
                () = until(cut), if cut.is_some() => return End::Cut,
            }
        }
    }

    async fn until_told_to_close(&self, after_answer: Duration) {
        tokio::select! {
            () = self.closing.cancelled() => sleep(after_answer).await,
            () = self.drain.cancelled() => {}
        }
    }

    async fn run_splice(&self, mut splice: Splice) {
        tokio::select! {
            () = splice.run() => {}
            class = until_right_ends(&self.papers) => {
                splice.revoked();
                self.revoke(class);
            }
        }
    }

    fn revoke(&self, class: &'static str) {
        self.revoked.cancel();
        self.exit.metrics.revoked.inc();
        tracing::info!(
            client.addr = %self.who.caller.address,
            conn.id = %self.who.caller.connection_text(),
            user = self.who.accepted.as_ref().map(|it| it.username.as_str()),
            class,
            "connection ended: its certificate is no longer accepted",
        );
    }

    fn ended(&self, result: hyper::Result<()>) -> End {
        match result {
            Ok(()) => End::Finished,
            Err(error) => {
                tracing::debug!(
                    client.addr = %self.who.caller.address,
                    conn.id = %self.who.caller.connection_text(),
                    error = %WithCauses(&error),
                    "connection broke off",
                );
                // What was malformed was answered, and the answer should be read.
                if error.is_parse() {
                    End::Finished
                } else {
                    End::Cut
                }
            }
        }
    }
}

/// A request that has not been answered yet.
pub(crate) struct Unanswered<'c>(Option<&'c Connection>);

impl Unanswered<'_> {
    pub(crate) fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.0 else { return };
        if connection.resets.note() {
            connection.is_flooded("its caller takes back one request after another");
            connection.close();
        }
    }
}

/// How HTTP on a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With everything said: the caller may still be reading, or sending what nobody wants.
    Finished,
    /// In the middle.
    Cut,
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// HTTP of either version that can be asked to come to an end.
trait Gentle: Future<Output = hyper::Result<()>> {
    /// How long after an answer that closes the end is announced.
    const AFTER_ANSWER: Duration;

    /// Takes nothing new: GOAWAY, or no keep-alive.
    fn finish(self: Pin<&mut Self>);
}

impl<IO, S> Gentle for http1::UpgradeableConnection<IO, S>
where
    S: HttpService<Incoming, ResBody = AnswerBody, Error = Infallible>,
    IO: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    /// The answer itself says `Connection: close`, and nothing behind it must be taken for a request.
    const AFTER_ANSWER: Duration = Duration::ZERO;

    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<IO, S> Gentle for http2::Connection<IO, S, Streams>
where
    S: HttpService<Incoming, ResBody = AnswerBody, Error = Infallible>,
    S::Future: Send + 'static,
    IO: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    const AFTER_ANSWER: Duration = GOAWAY_AFTER_ANSWER;

    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Runs HTTP/2 streams as tasks that shutdown can wait for.
#[derive(Clone, Debug)]
pub(crate) struct Streams(TaskTracker);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}

//! HTTP/1.1 connections to the API server: for plain reads, for servers that speak nothing newer, and for
//! upgrades.
//!
//! A connection of the pool has no task of its own. Whoever has a request on it runs it, in the same
//! task: a request then costs no hand-over between tasks, and an idle connection no wake-up.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use gangplank_apiserver::Secured;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use prometheus_client::metrics::gauge::Gauge;

use super::limits::HTTP1_HEADERS;
use crate::body::RequestBody;

/// A connection for ordinary requests, one after the other.
pub(super) struct Http1Connection {
    sender: SendRequest<RequestBody>,
    /// `None` once the connection has ended.
    running: Option<Box<Connection<TokioIo<Secured>, RequestBody>>>,
    /// The number of the client certificate that it was made with.
    certificate: u64,
    used: bool,
    _open: Open,
}

impl Http1Connection {
    pub(super) async fn open(io: Secured, certificate: u64, open: Open) -> hyper::Result<Self> {
        let (sender, running) = builder().handshake(TokioIo::new(io)).await?;
        Ok(Self {
            sender,
            running: Some(Box::new(running)),
            certificate,
            used: false,
            _open: open,
        })
    }

    pub(super) const fn certificate(&self) -> u64 {
        self.certificate
    }

    /// Whether a request was answered on it before.
    pub(super) const fn was_used(&self) -> bool {
        self.used
    }

    /// Whether the next request may be sent: the last answer was read to its end, and the server has not
    /// closed the connection since, as far as can be heard now.
    pub(super) fn is_vacant(&mut self) -> bool {
        // Reading an answer's end and turning to the next request are two steps of hyper's.
        for _step in 0..2 {
            self.run(&mut Context::from_waker(Waker::noop()));
        }
        self.running.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the answer's head.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let running = &mut self.running;
        let answer = poll_fn(|cx| {
            run(running, cx);
            // Nothing but running the connection brings the answer, so nobody needs to be woken for it.
            answer
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        })
        .await;
        self.used = true;
        answer
    }

    /// Lets the connection do what it can, and wake `cx` when it can do more.
    pub(super) fn run(&mut self, cx: &mut Context<'_>) {
        run(&mut self.running, cx);
    }
}

fn run(running: &mut Option<Box<Connection<TokioIo<Secured>, RequestBody>>>, cx: &mut Context<'_>) {
    if let Some(connection) = running
        && let Poll::Ready(ended) = Pin::new(&mut **connection).poll(cx)
    {
        if let Err(error) = ended {
            tracing::debug!(%error, "upstream connection ended");
        }
        *running = None;
    }
}

/// Counts one connection as open until it is dropped.
pub(super) struct Open {
    number: Arc<AtomicUsize>,
    gauge: Gauge,
}

impl Open {
    pub(super) fn counted(number: &Arc<AtomicUsize>, gauge: Gauge) -> Self {
        number.fetch_add(1, Ordering::Relaxed);
        gauge.inc();
        Self {
            number: Arc::clone(number),
            gauge,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.number.fetch_sub(1, Ordering::Relaxed);
        self.gauge.dec();
    }
}

/// A connection for one request without a body, which asks for an upgrade.
pub(super) async fn open_for_upgrade(
    io: Secured,
) -> hyper::Result<(
    SendRequest<Empty<Bytes>>,
    Connection<TokioIo<Secured>, Empty<Bytes>>,
)> {
    builder().handshake(TokioIo::new(io)).await
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.max_headers(HTTP1_HEADERS);
    builder
}

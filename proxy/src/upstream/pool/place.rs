//! A place of one request, which gives itself back.

use std::fmt;
use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::Shared;
use super::roster::MemberId;
use crate::upstream::h1_connection::Http1Sender;
use crate::upstream::h2_connection::Sender;
use crate::upstream::limits::{HTTP1_REUSE_DEADLINE, IDLE_HTTP1};

/// Where one request may go.
pub(in crate::upstream) enum Place {
    /// A stream of a shared connection.
    Http2(Sender, Arc<Http2Place>),
    /// A connection of its own.
    Http1(Http1Place),
}

/// One stream of an HTTP/2 connection: taken until this is dropped.
pub(in crate::upstream) struct Http2Place {
    shared: Arc<Shared>,
    member: MemberId,
}

impl Http2Place {
    pub(super) fn new(shared: Arc<Shared>, member: MemberId) -> Self {
        shared.metrics.streams.inc();
        Self { shared, member }
    }

    /// The connection turned out not to take requests any more.
    pub(in crate::upstream) fn retire_connection(&self) {
        self.shared.lock().http2.retire(self.member);
    }
}

impl Drop for Http2Place {
    fn drop(&mut self) {
        self.shared.metrics.streams.dec();
        self.shared.change(|state| state.http2.release(self.member));
    }
}

impl fmt::Debug for Http2Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Place")
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}

/// An HTTP/1.1 connection for one request at a time.
pub(in crate::upstream) struct Http1Place {
    shared: Arc<Shared>,
    sender: Option<Http1Sender>,
}

impl Http1Place {
    pub(super) const fn new(shared: Arc<Shared>, sender: Http1Sender) -> Self {
        Self {
            shared,
            sender: Some(sender),
        }
    }

    /// The connection, to send the request on; there until this is dropped.
    pub(in crate::upstream) const fn sender(&mut self) -> Option<&mut Http1Sender> {
        self.sender.as_mut()
    }
}

impl Drop for Http1Place {
    fn drop(&mut self) {
        let Some(mut sender) = self.sender.take() else {
            return;
        };
        if sender.is_closed() {
            return;
        }
        if sender.is_ready() {
            self.shared.park(sender);
            return;
        }
        // The answer's end may still be on its way through hyper; an answer that nobody read to its end
        // closes the connection instead.
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            if matches!(
                timeout(HTTP1_REUSE_DEADLINE, sender.ready()).await,
                Ok(Ok(()))
            ) {
                shared.park(sender);
            }
        });
    }
}

impl fmt::Debug for Http1Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http1Place").finish_non_exhaustive()
    }
}

impl Shared {
    /// Keeps a connection for the next request, or gives it to the one that waits.
    pub(super) fn park(self: &Arc<Self>, sender: Http1Sender) {
        if self.stop.is_cancelled() {
            return;
        }
        self.change(|state| {
            if state.idle_http1.len() < IDLE_HTTP1 {
                state.idle_http1.push((sender, Instant::now()));
            }
        });
    }
}

//! A place of one request, which gives itself back.

use std::fmt;
use std::sync::Arc;
use std::task::Context;

use tokio::time::Instant;

use super::Shared;
use super::roster::MemberId;
use crate::body::OwnConnection;
use crate::upstream::h1_connection::Http1Connection;
use crate::upstream::h2_connection::Sender;

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
    connection: Option<Http1Connection>,
}

impl Http1Place {
    pub(super) const fn new(shared: Arc<Shared>, connection: Http1Connection) -> Self {
        Self {
            shared,
            connection: Some(connection),
        }
    }

    /// The connection, to send the request on; there until this is dropped.
    pub(in crate::upstream) const fn connection(&mut self) -> Option<&mut Http1Connection> {
        self.connection.as_mut()
    }
}

impl OwnConnection for Http1Place {
    fn run(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection {
            connection.run(cx);
        }
    }
}

impl Drop for Http1Place {
    fn drop(&mut self) {
        // An answer that nobody read to its end closes the connection.
        if let Some(mut connection) = self.connection.take()
            && connection.is_vacant()
        {
            self.shared.park(connection);
        }
    }
}

impl fmt::Debug for Http1Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http1Place").finish_non_exhaustive()
    }
}

impl Shared {
    /// Keeps a connection for the next request, or gives it to the one that waits.
    pub(super) fn park(self: &Arc<Self>, connection: Http1Connection) {
        if self.stop.is_cancelled() {
            return;
        }
        self.change(|state| {
            state.idle_http1.push((connection, Instant::now()));
            self.sweep_idle(state);
        });
    }
}

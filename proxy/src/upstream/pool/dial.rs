//! Opening the pool's connections.

use std::io;
use std::sync::Arc;

use gangplank_apiserver::{DialError, Offer, chose_http2};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::upkeep::{Membership, attend_http2};
use super::{Shared, State};
use crate::upstream::h1_connection::{Http1Connection, Open};
use crate::upstream::h2_connection::Http2Connection;
use crate::upstream::limits::READING_UNACKNOWLEDGED;
use crate::upstream::metrics::{OutcomeLabels, ProtocolLabels};

enum Dialled {
    /// With the number of the client certificate that it was made with.
    Http2(Box<Http2Connection>, u64),
    Http1(Box<Http1Connection>),
}

impl Dialled {
    /// What came of a dial, for the metric.
    const fn outcome(dialled: &Result<Self, DialError>) -> &'static str {
        match dialled {
            Ok(Self::Http2(..)) => ProtocolLabels::HTTP2.protocol,
            Ok(Self::Http1(_)) => ProtocolLabels::HTTP1.protocol,
            Err(error) => error.reason(),
        }
    }
}

impl Shared {
    pub(super) fn start_dial(self: &Arc<Self>, state: &mut State) {
        state.dialling += 1;
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            // Made only now: a runtime that is ending drops the task here and now, under the lock.
            let dialling = Dialling(shared);
            let shared = &dialling.0;
            let outcome = tokio::select! {
                () = shared.stop.cancelled() => return,
                outcome = shared.dial(Offer::Newest) => outcome,
            };
            match outcome {
                Ok(Dialled::Http2(connection, certificate)) => {
                    shared.admit_http2(*connection, certificate);
                }
                Ok(Dialled::Http1(connection)) => shared.admit_http1(*connection),
                Err(error) => shared.answer_waiting(&error),
            }
        });
    }

    /// Opens a connection for plain reads. A failure concerns nobody: they go over HTTP/2.
    pub(super) fn start_dial_for_read(self: &Arc<Self>, state: &mut State) {
        state.dialling_for_reads += 1;
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            let dialling = DiallingForRead(shared);
            let shared = &dialling.0;
            let outcome = tokio::select! {
                () = shared.stop.cancelled() => return,
                outcome = shared.dial(Offer::Http1) => outcome,
            };
            match outcome {
                Ok(Dialled::Http1(connection)) => shared.park(*connection),
                // It cannot choose what was not offered.
                Ok(Dialled::Http2(..)) => {}
                Err(error) => {
                    tracing::debug!(%error, reason = error.reason(), "dial for reads failed");
                    shared.lock().last_failure = Some(Instant::now());
                }
            }
        });
    }

    async fn dial(&self, offer: Offer) -> Result<Dialled, DialError> {
        let dialled = self.dial_uncounted(offer).await;
        let outcome = Dialled::outcome(&dialled);
        let labels = OutcomeLabels { outcome };
        self.metrics.dials.get_or_create(&labels).inc();
        dialled
    }

    async fn dial_uncounted(&self, offer: Offer) -> Result<Dialled, DialError> {
        let tcp = self.connector.reach().await?;
        if offer == Offer::Http1 {
            limit_unacknowledged(&tcp);
        }
        let deadline = self.connector.deadlines().handshake;
        let opening = async {
            let (io, certificate) = self.connector.secure(tcp, offer).await?;
            let opened = if chose_http2(&io) {
                let opened = Http2Connection::open(io, &self.tasks, &self.pace).await;
                opened.map(|connection| Dialled::Http2(Box::new(connection), certificate))
            } else {
                let gauge = &self.metrics.connections;
                let gauge = gauge.get_or_create_owned(&ProtocolLabels::HTTP1);
                let open = Open::counted(&self.http1_open, gauge);
                let opened = Http1Connection::open(io, certificate, open).await;
                let opened = opened.map_err(io::Error::other);
                opened.map(|connection| Dialled::Http1(Box::new(connection)))
            };
            opened.map_err(|error| self.connector.tls_fault(error))
        };
        match timeout(deadline, opening).await {
            Ok(result) => result,
            Err(_late) => {
                let authority = self.connector.authority().to_owned();
                Err(DialError::HandshakeLate {
                    authority,
                    deadline,
                })
            }
        }
    }

    fn admit_http2(self: &Arc<Self>, connection: Http2Connection, certificate: u64) {
        let (sender, limit, running) = connection.into_halves();
        self.change(|state| {
            state.places_expected = limit.now().max(1);
            state.speaks_http2 = true;
            state.last_failure = None;
            let member = state.http2.admit(sender, limit);
            let membership = Membership {
                member,
                certificate,
            };
            self.tasks
                .spawn(attend_http2(Arc::downgrade(self), membership, running));
        });
    }

    fn admit_http1(self: &Arc<Self>, connection: Http1Connection) {
        {
            let mut state = self.lock();
            state.places_expected = 1;
            state.last_failure = None;
            state.speaks_http2 = false;
        }
        self.park(connection);
    }

    /// A dial failed: everyone who waits learns it now rather than after a dial of their own.
    fn answer_waiting(&self, error: &DialError) {
        let waiting = {
            let mut state = self.lock();
            state.last_failure = Some(Instant::now());
            std::mem::take(&mut state.waiting)
        };
        tracing::debug!(%error, reason = error.reason(), waiting = waiting.len(), "dial failed");
        for waiter in waiting {
            drop(waiter.send(Err(error.clone())));
        }
    }
}

/// An HTTP/1.1 connection has no PINGs: the kernel notices a far end that is gone.
fn limit_unacknowledged(tcp: &TcpStream) {
    let limited = SockRef::from(tcp).set_tcp_user_timeout(Some(READING_UNACKNOWLEDGED));
    if let Err(error) = limited {
        tracing::debug!(%error, "a socket's user timeout could not be set");
    }
}

/// Counts one dial for reads as under way, however it ends.
struct DiallingForRead(Arc<Shared>);

impl Drop for DiallingForRead {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.dialling_for_reads = state.dialling_for_reads.saturating_sub(1);
    }
}

/// Counts one dial as under way, however it ends.
struct Dialling(Arc<Shared>);

impl Drop for Dialling {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.dialling = state.dialling.saturating_sub(1);
        if !self.0.stop.is_cancelled() {
            self.0.dial_for_waiting(&mut state);
            self.0.dial_in_advance(&mut state);
        }
        if state.dialling == 0 {
            // No connection will come for those who are left. Unanswered is answered, too.
            state.waiting.clear();
        }
    }
}

//! Opening the pool's connections.

use std::io;
use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::upkeep::{Membership, attend_http1, attend_http2};
use super::{Shared, State};
use crate::upstream::connect::{Offer, chose_http2};
use crate::upstream::error::DialError;
use crate::upstream::h1_connection::{self, Http1Running, Http1Sender};
use crate::upstream::h2_connection::Http2Connection;
use crate::upstream::metrics::{OutcomeLabels, ProtocolLabels};

enum Dialled {
    /// With the number of the client certificate that it was made with.
    Http2(Box<Http2Connection>, u64),
    Http1(Http1Sender, Box<Http1Running>),
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
                outcome = shared.dial() => outcome,
            };
            let word = match &outcome {
                Ok(Dialled::Http2(..)) => ProtocolLabels::HTTP2.protocol,
                Ok(Dialled::Http1(..)) => ProtocolLabels::HTTP1.protocol,
                Err(error) => error.reason(),
            };
            shared
                .metrics
                .dials
                .get_or_create(&OutcomeLabels { outcome: word })
                .inc();
            match outcome {
                Ok(Dialled::Http2(connection, certificate)) => {
                    shared.admit_http2(*connection, certificate);
                }
                Ok(Dialled::Http1(sender, running)) => shared.admit_http1(sender, running),
                Err(error) => shared.answer_waiting(&error),
            }
        });
    }

    async fn dial(&self) -> Result<Dialled, DialError> {
        let tcp = self.connector.reach().await?;
        let deadline = self.connector.pace().handshake;
        let opening = async {
            let io = self.connector.secure(tcp, Offer::Newest).await?;
            let certificate = self.connector.certificate();
            let opened = if chose_http2(&io) {
                let opened = Http2Connection::open(io, &self.tasks, self.connector.pace()).await;
                opened.map(|connection| Dialled::Http2(Box::new(connection), certificate))
            } else {
                let opened = h1_connection::open(io).await.map_err(io::Error::other);
                opened.map(|(sender, running)| Dialled::Http1(sender, Box::new(running)))
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

    fn admit_http1(self: &Arc<Self>, sender: Http1Sender, running: Box<Http1Running>) {
        {
            let mut state = self.lock();
            state.places_expected = 1;
            state.last_failure = None;
            state.http1_open += 1;
        }
        self.tasks
            .spawn(attend_http1(Arc::downgrade(self), running));
        self.park(sender);
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

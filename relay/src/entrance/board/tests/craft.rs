//! Sessions in memory, with both ends in one process.

use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gangplank_tunnel::wire::{CloseCode, Message};
use gangplank_tunnel::{BoxFuture, Closed, Session, SessionError, Stream, Traffic};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::model::{Attempt, Model, Reception};
use super::pipe::{self, Pipe};

tokio::task_local! {
    /// Who boards in this task: a session is not told for whom a stream is opened.
    pub(super) static PASSENGER: usize;
}

/// How long an open takes that waits for credit.
const CREDIT: Duration = Duration::from_millis(700);

/// Streams that one side has opened and the other not accepted yet.
#[derive(Debug, Default)]
struct Arrivals {
    streams: Mutex<VecDeque<Stream>>,
    more: Notify,
}

impl Arrivals {
    fn add(&self, stream: Stream) {
        self.streams.lock().push_back(stream);
        self.more.notify_one();
    }

    async fn next(&self) -> Stream {
        loop {
            let next = self.streams.lock().pop_front();
            match next {
                Some(stream) => return stream,
                None => self.more.notified().await,
            }
        }
    }
}

/// What both ends of a session share.
#[derive(Debug, Default)]
struct Between {
    to_relay: Arrivals,
    to_agent: Arrivals,
    pipes: Mutex<Vec<Weak<Mutex<Pipe>>>>,
    over: CancellationToken,
    /// How it ended, as the relay and as the agent has it.
    how: Mutex<Option<[Closed; 2]>>,
}

impl Between {
    fn end(&self, at_relay: Closed, at_agent: Closed) -> bool {
        let mut how = self.how.lock();
        if how.is_some() {
            return false;
        }
        *how = Some([at_relay, at_agent]);
        drop(how);
        for pipe in self.pipes.lock().iter().filter_map(Weak::upgrade) {
            pipe.lock().break_off();
        }
        self.over.cancel();
        true
    }
}

/// One end of a session.
#[derive(Debug)]
pub(super) struct End {
    between: Arc<Between>,
    chain: Vec<CertificateDer<'static>>,
    /// At the relay: who writes down what it does, and the number of this tunnel there.
    noted: Option<(Model, usize)>,
}

/// Both ends of a new session: the relay's, which shows this chain as the agent's, and the agent's.
pub(super) fn session(
    chain: Vec<CertificateDer<'static>>,
    model: &Model,
    tunnel: usize,
) -> (Arc<End>, Arc<End>) {
    let between = Arc::<Between>::default();
    let at_relay = End {
        between: Arc::clone(&between),
        chain,
        noted: Some((model.clone(), tunnel)),
    };
    let at_agent = End {
        between,
        chain: Vec::new(),
        noted: None,
    };
    (Arc::new(at_relay), Arc::new(at_agent))
}

impl End {
    /// The agent vanishes: its host is gone, or the way to it.
    pub(super) fn vanish(&self) {
        self.between.end(Closed::Silent, Closed::Silent);
    }

    fn ended(&self) -> Option<Closed> {
        let side = usize::from(self.noted.is_none());
        let how = self.between.how.lock();
        how.as_ref().and_then(|how| how.get(side)).cloned()
    }

    /// `None` when the session has ended.
    fn stream(&self, attempt: Option<Attempt>) -> Result<Stream, SessionError> {
        if let Some(closed) = self.ended() {
            return Err(SessionError(closed));
        }
        let opened_by_relay = attempt.is_some();
        let ballast = attempt.map(|attempt| -> pipe::Ballast { Box::new(attempt) });
        let (near, far, pipes) = pipe::stream(ballast);
        self.between.pipes.lock().extend(pipes);
        if opened_by_relay {
            self.between.to_agent.add(far);
        } else {
            self.between.to_relay.add(far);
        }
        Ok(near)
    }
}

impl Session for End {
    fn open(&self) -> BoxFuture<'_, Result<Stream, SessionError>> {
        // Written down at the first poll, which is in the same step as the choice of this tunnel.
        Box::pin(async {
            let Some((model, tunnel)) = &self.noted else {
                return self.stream(None);
            };
            let attempt = model.begin(PASSENGER.get(), *tunnel);
            match attempt.meets() {
                Reception::NoCredit => self.between.over.cancelled().await,
                Reception::SlowCredit => {
                    let waiting = self.between.over.run_until_cancelled(sleep(CREDIT));
                    waiting.await.unwrap_or_default();
                }
                _ => {}
            }
            self.stream(Some(attempt))
        })
    }

    fn accept(&self) -> BoxFuture<'_, Result<Stream, SessionError>> {
        Box::pin(async {
            let arrivals = match self.noted {
                Some(_) => &self.between.to_relay,
                None => &self.between.to_agent,
            };
            let arrived = self.between.over.run_until_cancelled(arrivals.next()).await;
            match (arrived, self.ended()) {
                (Some(stream), _) => Ok(stream),
                (None, Some(closed)) => Err(SessionError(closed)),
                (None, None) => pending().await,
            }
        })
    }

    fn closed(&self) -> BoxFuture<'_, Closed> {
        Box::pin(async {
            self.between.over.cancelled().await;
            match self.ended() {
                Some(closed) => closed,
                None => pending().await,
            }
        })
    }

    fn close(&self, code: CloseCode, reason: &str) {
        let message = Message::fitting(reason);
        let by_peer = Closed::ByPeer { code, message };
        let (at_relay, at_agent) = match self.noted {
            Some(_) => (Closed::Here, by_peer),
            None => (by_peer, Closed::Here),
        };
        let ended = self.between.end(at_relay, at_agent);
        if let (true, Some((model, tunnel))) = (ended, &self.noted) {
            model.closed_by_relay(*tunnel, code);
        }
    }

    fn remote_address(&self) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 4433))
    }

    fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    fn round_trip_time(&self) -> Duration {
        Duration::ZERO
    }

    fn transport(&self) -> &'static str {
        "memory"
    }

    fn grow_stream_credit(&self, _streams: u32) {}

    fn open_streams(&self) -> usize {
        0
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

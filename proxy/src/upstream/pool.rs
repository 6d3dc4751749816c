//! The connections to the API server that ordinary requests share.
//!
//! Over HTTP/2 a request takes a *place*: one of the streams that the server allows on a connection. When
//! places run short the next connection is opened before anyone has to wait for it, so that no number of
//! watches stops a request. With servers that know nothing newer than HTTP/1.1, a request takes a whole
//! connection and gives it back.
//!
//! A plain read takes a whole HTTP/1.1 connection in any case, if there is one: without streams to
//! account for, that costs both sides about a third less (docs/performance.md). Such connections are
//! opened beside the others as reads find none; until then, and beyond their number, reads share HTTP/2.
//!
//! There is one pool a credential and one credential a pool. Who waits for a connection gets the first
//! place that becomes free, or the error of the dial that failed; nobody dials on their own.

mod dial;
mod place;
mod roster;
mod spell;
mod upkeep;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gangplank_apiserver::{Connector, DialError};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::place::Http1Place;
pub(super) use self::place::{Http2Place, Place};
use self::roster::Roster;
use self::spell::Spell;
use super::error::UpstreamError;
use super::h1_connection::Http1Connection;
use super::h2_connection::Sender;
use super::limits::{
    CONNECTIONS, DIALS, HTTP1_CONNECTIONS, Pace, READING_CONNECTIONS, READING_DIALS, RESERVE_PAUSE,
    STREAMS_PER_CONNECTION, WAITING,
};
use super::metrics::Metrics;

/// The pool; a clone is the same one.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

/// What the pool, its connections' tasks and the places share.
struct Shared {
    state: Mutex<State>,
    http1_open: Arc<AtomicUsize>,
    connector: Arc<Connector>,
    pace: Pace,
    tasks: TaskTracker,
    stop: CancellationToken,
    metrics: Metrics,
}

struct State {
    http2: Roster<Sender>,
    /// Connections without a request, the one used last at the end.
    idle_http1: Vec<(Http1Connection, Instant)>,
    /// Someone looks after the idle ones.
    swept: bool,
    /// What the server chose when it was last asked; then HTTP/1.1 is for plain reads only.
    speaks_http2: bool,
    dialling_for_reads: usize,
    dialled_for_reads: Spell,
    /// At most [`WAITING`]; a request that finds it full is refused.
    waiting: VecDeque<Waiter>,
    dialling: usize,
    /// How many places the next connection will bring, going by the last one.
    places_expected: usize,
    last_failure: Option<Instant>,
}

/// Someone who waits for a place; dropped unanswered when there will be none.
type Waiter = oneshot::Sender<Result<Place, DialError>>;

impl Pool {
    /// A pool without a connection. It opens none once `stop` is cancelled, and lets go of those it has
    /// as soon as their streams have ended.
    pub(super) fn new(
        connector: Arc<Connector>,
        pace: Pace,
        tasks: TaskTracker,
        stop: CancellationToken,
        metrics: Metrics,
    ) -> Self {
        let state = State {
            http2: Roster::new(),
            idle_http1: Vec::new(),
            swept: false,
            speaks_http2: false,
            dialling_for_reads: 0,
            dialled_for_reads: Spell::default(),
            waiting: VecDeque::new(),
            dialling: 0,
            places_expected: STREAMS_PER_CONNECTION,
            last_failure: None,
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            http1_open: Arc::default(),
            connector,
            pace,
            tasks,
            stop,
            metrics,
        }))
    }

    /// A place for a plain read, if it can have a connection of its own now.
    pub(super) fn place_for_read(&self) -> Option<Place> {
        let mut state = self.0.lock();
        if !state.speaks_http2 || self.0.stop.is_cancelled() {
            return None;
        }
        let place = self.0.idle_http1(&mut state);
        if place.is_none() {
            self.0.dial_for_read(&mut state);
        }
        drop(state);
        place
    }

    /// A place for one request, at once where one is free.
    ///
    /// # Errors
    /// Why the connection that was waited for did not come about, or that there is no room for more.
    pub(super) async fn place(&self) -> Result<Place, UpstreamError> {
        let answer = match self.0.place_or_turn()? {
            Turn::Now(place) => return Ok(place),
            Turn::Later(answer) => answer,
        };
        let waiting = Waiting::counted(&self.0.metrics);
        let answer = answer.await;
        drop(waiting);
        match answer {
            Ok(place) => Ok(place?),
            Err(_unanswered) if self.0.stop.is_cancelled() => Err(UpstreamError::Stopping),
            Err(_unanswered) => Err(UpstreamError::Crowded),
        }
    }

    #[cfg(test)]
    pub(super) fn dialling_for_reads(&self) -> usize {
        self.0.lock().dialling_for_reads
    }

    /// Whether a connection is open; otherwise opens one, for the next request to use.
    ///
    /// # Errors
    /// Why none could be opened.
    pub(super) async fn ensure_connected(&self) -> Result<(), UpstreamError> {
        if self.0.lock().http2.any_usable() {
            return Ok(());
        }
        self.place().await.map(drop)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("server", &self.0.connector.authority())
            .finish_non_exhaustive()
    }
}

/// What someone who asks for a place gets.
enum Turn {
    Now(Place),
    Later(oneshot::Receiver<Result<Place, DialError>>),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn place_or_turn(self: &Arc<Self>) -> Result<Turn, UpstreamError> {
        if self.stop.is_cancelled() {
            return Err(UpstreamError::Stopping);
        }
        self.turn(&mut self.lock())
    }

    fn turn(self: &Arc<Self>, state: &mut State) -> Result<Turn, UpstreamError> {
        if let Some(place) = self.free_place(state) {
            self.dial_in_advance(state);
            return Ok(Turn::Now(place));
        }
        if state.waiting.len() >= WAITING {
            state.waiting.retain(|waiter| !waiter.is_closed());
        }
        if state.waiting.len() >= WAITING {
            return Err(UpstreamError::Crowded);
        }
        let (waiter, answer) = oneshot::channel();
        state.waiting.push_back(waiter);
        self.dial_for_waiting(state);
        if state.dialling == 0 {
            // No room for another connection: nobody knows when a place becomes free.
            state.waiting.pop_back();
            return Err(UpstreamError::Crowded);
        }
        Ok(Turn::Later(answer))
    }

    fn free_place(self: &Arc<Self>, state: &mut State) -> Option<Place> {
        if let Some((member, sender)) = state.http2.take() {
            return Some(Place::Http2(
                sender,
                Arc::new(Http2Place::new(Arc::clone(self), member)),
            ));
        }
        if state.speaks_http2 {
            return None;
        }
        self.idle_http1(state)
    }

    fn idle_http1(self: &Arc<Self>, state: &mut State) -> Option<Place> {
        let certificate = self.connector.certificate();
        while let Some((mut connection, _since)) = state.idle_http1.pop() {
            if connection.certificate() == certificate && connection.is_vacant() {
                let place = Http1Place::new(Arc::clone(self), connection);
                return Some(Place::Http1(place));
            }
        }
        None
    }

    /// Changes the state and gives what is free then to those who wait.
    ///
    /// They get it once the lock is released: a place that its waiter no longer wants takes the lock to
    /// give itself back, and then goes to the next.
    fn change(self: &Arc<Self>, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let pairs = self.pair_waiting(&mut state);
        drop(state);
        for (waiter, place) in pairs {
            drop(waiter.send(Ok(place)));
        }
    }

    fn pair_waiting(self: &Arc<Self>, state: &mut State) -> Vec<(Waiter, Place)> {
        let mut pairs = Vec::new();
        while let Some(waiter) = state.waiting.pop_front() {
            if waiter.is_closed() {
                continue;
            }
            let Some(place) = self.free_place(state) else {
                state.waiting.push_front(waiter);
                break;
            };
            pairs.push((waiter, place));
        }
        pairs
    }

    fn dial_for_waiting(self: &Arc<Self>, state: &mut State) {
        let wanted = state
            .waiting
            .len()
            .div_ceil(state.places_expected)
            .min(DIALS);
        while state.dialling < wanted && self.has_room(state) {
            self.start_dial(state);
        }
    }

    fn dial_in_advance(self: &Arc<Self>, state: &mut State) {
        if state.dialling == 0
            && state.http2.runs_short()
            && !state.failed_lately()
            && self.has_room(state)
        {
            self.start_dial(state);
        }
    }

    fn dial_for_read(self: &Arc<Self>, state: &mut State) {
        let open = self.http1_open.load(Ordering::Relaxed) + state.dialling_for_reads;
        if open < READING_CONNECTIONS
            && state.dialling_for_reads < READING_DIALS
            && !state.failed_lately()
            && state.dialled_for_reads.take(self.pace.reading_spell)
        {
            self.start_dial_for_read(state);
        }
    }

    fn has_room(&self, state: &State) -> bool {
        let http1_open = self.http1_open.load(Ordering::Relaxed);
        state.http2.len() + state.dialling < CONNECTIONS
            && http1_open + state.dialling < HTTP1_CONNECTIONS
    }
}

impl State {
    fn failed_lately(&self) -> bool {
        self.last_failure
            .is_some_and(|at| at.elapsed() < RESERVE_PAUSE)
    }
}

/// Counts one request as waiting for as long as it does.
struct Waiting(Metrics);

impl Waiting {
    fn counted(metrics: &Metrics) -> Self {
        metrics.waiting.inc();
        Self(metrics.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.dec();
    }
}

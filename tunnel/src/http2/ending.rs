//! How a session ends: said once, heard by all that have a part in it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::session::Closed;
use crate::wire::CloseCode;

#[derive(Debug, Default)]
struct State {
    closed: Option<Closed>,
    /// What is still to be told to the peer.
    farewell: Option<CloseCode>,
}

/// A session's end. Cheap to clone; the first word counts.
#[derive(Debug, Clone)]
pub(super) struct Ending(watch::Sender<State>);

impl Ending {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    /// Ends it from this side, with a word to the peer.
    pub(super) fn close(&self, code: CloseCode) {
        self.settle(Closed::Here, Some(code));
    }

    /// It has ended.
    pub(super) fn ended(&self, closed: Closed) {
        self.settle(closed, None);
    }

    fn settle(&self, closed: Closed, farewell: Option<CloseCode>) {
        self.0.send_if_modified(|state| {
            let open = state.closed.is_none();
            if open {
                *state = State {
                    closed: Some(closed),
                    farewell,
                };
            }
            open
        });
    }

    /// Resolves when it has ended, with the reason.
    pub(super) async fn closed(&self) -> Closed {
        let mut state = self.0.subscribe();
        // The sender lives as long as this borrow of it.
        let settled = state
            .wait_for(|state| state.closed.is_some())
            .await
            .ok()
            .and_then(|state| state.closed.clone());
        settled.unwrap_or(Closed::Here)
    }

    /// What is to be told to the peer, if anything.
    pub(super) fn farewell(&self) -> Option<CloseCode> {
        self.0.borrow().farewell
    }
}

/// Held by a session and each of its streams: when all are gone, nobody wants the connection any more.
#[derive(Debug)]
pub(super) struct Lifeline(Ending);

impl Lifeline {
    pub(super) fn new(ending: &Ending) -> Arc<Self> {
        Arc::new(Self(ending.clone()))
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.0.close(CloseCode::Done);
    }
}

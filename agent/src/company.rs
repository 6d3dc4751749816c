//! The sessions that stand beside the first while it goes over TCP.
//!
//! Over TCP a lost packet stops all streams of a connection until it was sent again. With four connections
//! that is a quarter of the callers. They are let go when the first session is over QUIC again: they get no
//! new callers, and those on board stay to their own end.

use std::sync::Arc;

use gangplank_config::role::agent::Transport;
use gangplank_pki::WithCauses;
use gangplank_tunnel::http2::limits::CONNECTIONS;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::aboard::Turn;
use crate::backoff::{self, GOOD_SESSION};
use crate::dial::HEAD_START;
use crate::dialler::Dialler;

/// The company of a first session; let go when dropped.
#[derive(Debug)]
pub(crate) struct Company {
    _let_go: DropGuard,
}

impl Company {
    /// Begins to hold the other sessions.
    pub(crate) fn gather(dialler: &Arc<Dialler>) -> Self {
        let let_go = CancellationToken::new();
        for slot in 1..CONNECTIONS {
            let companion = Companion {
                dialler: Arc::clone(dialler),
                slot,
                let_go: let_go.clone(),
            };
            dialler.crew.tasks.spawn(companion.run());
        }
        Self {
            _let_go: let_go.drop_guard(),
        }
    }
}

/// One of the others.
struct Companion {
    dialler: Arc<Dialler>,
    slot: u16,
    let_go: CancellationToken,
}

impl Companion {
    /// Dials, and dials again, until it is let go or the agent ends.
    async fn run(self) {
        let (let_go, shutdown) = (self.let_go.clone(), self.dialler.crew.shutdown.clone());
        tokio::select! {
            () = let_go.cancelled() => {}
            () = shutdown.cancelled() => {}
            () = self.hold_sessions() => {}
        }
    }

    async fn hold_sessions(self) {
        let mut attempt = 0;
        loop {
            let calm = self.hold_session().await;
            attempt = if calm { 0 } else { attempt };
            sleep(backoff::delay(attempt, (self.dialler.crew.random)())).await;
            attempt = attempt.saturating_add(1);
        }
    }

    /// Dials once, and returns when it is time to dial again; true as with the first session.
    async fn hold_session(&self) -> bool {
        let dialler = &self.dialler;
        match dialler.dial(self.slot, Transport::Tcp, HEAD_START).await {
            Ok(aboard) => {
                let begun = Instant::now();
                let newest = dialler.begin(aboard, &self.let_go);
                let turn = dialler.next_turn(newest).await;
                matches!(turn, Turn::Renewed) || begun.elapsed() >= GOOD_SESSION
            }
            Err(error) => {
                // The first session's dialler tells what a person must know.
                let (relay, reason, slot) = (&dialler.name, error.reason(), self.slot);
                tracing::debug!(%relay, slot, reason, error = %WithCauses(&error), "no further tunnel yet");
                false
            }
        }
    }
}

//! One welcomed session, from its first stream to its end.

use std::sync::Arc;
use std::time::Duration;

use gangplank_pki::WithCauses;
use gangplank_tunnel::wire::CloseCode;
use gangplank_tunnel::{Closed, ControlReader, ControlWriter, Notice, Session};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::boarding::Exit;

/// One welcomed session.
pub(crate) struct Tunnel {
    pub(crate) session: Arc<dyn Session>,
    pub(crate) exit: Exit,
    /// Where streams run.
    pub(crate) tasks: TaskTracker,
    /// The agent is going away.
    pub(crate) shutdown: CancellationToken,
    /// How long what runs may take then.
    pub(crate) limit: Duration,
    /// This session is not needed any more: no new callers, and those on board stay as long as they like.
    pub(crate) let_go: CancellationToken,
}

/// How long those on board may stay on a session that was let go: longer than clients keep a request open.
const LONGEST_FAREWELL: Duration = Duration::from_secs(24 * 60 * 60);

impl Tunnel {
    /// Serves the session to its end and tells how it ended. The exit's drain token is cancelled
    /// when the relay, or this agent, is going away.
    pub(crate) async fn serve(self, reader: ControlReader, writer: ControlWriter) -> Closed {
        tokio::select! {
            closed = self.take_callers() => closed,
            closed = self.heed_relay(reader) => closed,
            closed = self.leave_at_shutdown(writer) => closed,
        }
    }

    async fn take_callers(&self) -> Closed {
        loop {
            match self.session.accept().await {
                Ok(stream) => {
                    self.tasks.spawn(self.exit.clone().board(stream));
                }
                Err(ended) => return ended.0,
            }
        }
    }

    /// Does what the relay says until the session ends.
    async fn heed_relay(&self, mut reader: ControlReader) -> Closed {
        loop {
            match reader.next().await {
                Ok(Some(Notice::Drain { limit })) => {
                    // Once: a relay may say it without end, and each time would be a line in the log.
                    if !self.exit.drain.is_cancelled() {
                        tracing::info!(relay = %self.exit.relay, ?limit, "the relay is going away");
                    }
                    self.exit.drain.cancel();
                }
                Ok(Some(_later)) => {}
                // The relay has nothing more to say; it closes the session when it wants to.
                Ok(None) => return self.session.closed().await,
                Err(error) => {
                    tracing::debug!(relay = %self.exit.relay, error = %WithCauses(&error), "control");
                    self.session
                        .close(CloseCode::ProtocolViolation, &error.to_string());
                    return self.session.closed().await;
                }
            }
        }
    }

    /// At this agent's end: asks the relay for no new callers, lets the running ones finish, and
    /// closes. The relay closes earlier when nobody is left.
    async fn leave_at_shutdown(&self, mut writer: ControlWriter) -> Closed {
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            () = self.let_go.cancelled() => {
                if let Err(error) = writer.drain(LONGEST_FAREWELL).await {
                    tracing::debug!(relay = %self.exit.relay, error = %WithCauses(&error), "not let go");
                }
                self.shutdown.cancelled().await;
            }
        }
        self.exit.drain.cancel();
        if let Err(error) = writer.drain(self.limit).await {
            tracing::debug!(relay = %self.exit.relay, error = %WithCauses(&error), "no word of the drain");
        }
        match timeout(self.limit, self.session.closed()).await {
            Ok(closed) => closed,
            Err(_elapsed) => {
                let aborted = self.session.open_streams();
                tracing::info!(relay = %self.exit.relay, aborted, "the drain's limit has passed");
                self.session
                    .close(CloseCode::GoingAway, "the agent is going away");
                self.session.closed().await
            }
        }
    }
}

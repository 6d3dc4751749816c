//! A caller's stream, from its header to the handoff.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gangplank_pki::WithCauses;
use gangplank_tunnel::wire::{
    AbortCode, RefusalCode, StreamHeader, StreamStatus, TRACEPARENT_LENGTH,
};
use gangplank_tunnel::{BoardingError, BoxFuture, Stream, answer, receive_header};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// From the stream's first byte to its whole header. The relay sends it in one piece: a second would
/// do, ten allow for a bad network.
const HEADER_LIMIT: Duration = Duration::from_secs(10);

/// A caller who was told that the exit takes it.
#[derive(Debug)]
pub struct Boarding {
    /// The caller's bytes, from the ClientHello on.
    pub stream: Stream,
    /// The caller's address, by the relay's word: for audit only.
    pub caller: SocketAddr,
    /// The server name that the caller asked for, by the relay's word.
    pub sni: String,
    /// The caller's connection, as the relay's log calls it.
    pub connection: u128,
    /// The trace this connection belongs to.
    pub traceparent: Option<[u8; TRACEPARENT_LENGTH]>,
    /// The relay it came through, as `host:port`.
    pub relay: Arc<str>,
    /// Cancelled when what runs should come to an end: this agent or the relay is going away.
    pub drain: CancellationToken,
}

/// Why the exit takes nobody now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For the relay.
    pub code: RefusalCode,
    /// For whoever reads the relay's log.
    pub message: String,
}

/// What is behind the tunnel. The binary implements it with the proxy.
pub trait Handoff: Send + Sync {
    /// Why nobody can be taken now, if so. Asked for every caller, before it is answered.
    fn refusal(&self) -> Option<Refusal> {
        None
    }

    /// Serves one caller to its end. Runs in a task of its own; a stream that is dropped without a
    /// shutdown is aborted.
    fn board(&self, boarding: Boarding) -> BoxFuture<'static, ()>;
}

/// What a stream finds at this exit.
#[derive(Clone)]
pub(crate) struct Exit {
    pub(crate) handoff: Arc<dyn Handoff>,
    pub(crate) relay: Arc<str>,
    /// Cancelled when the relay or this agent is going away: what runs should end.
    pub(crate) drain: CancellationToken,
    /// Cancelled when this agent is going away: nobody new is taken.
    pub(crate) leaving: CancellationToken,
    pub(crate) metrics: Metrics,
}

impl Exit {
    /// Reads the header, answers it, and hands the caller on.
    pub(crate) async fn board(self, stream: Stream) {
        // On the heap for as long as it takes: the caller may stay for hours.
        let taken = Box::pin(self.take(stream)).await;
        if let Some(caller) = taken {
            caller.await;
        }
    }

    async fn take(self, mut stream: Stream) -> Option<BoxFuture<'static, ()>> {
        let header = match receive_header(&mut stream, Instant::now() + HEADER_LIMIT).await {
            Ok(header) => header,
            Err(error) => {
                self.metrics.stream(error.reason());
                tracing::debug!(relay = %self.relay, error = %WithCauses(&error), "no header came");
                refuse_header(stream, &error).await;
                return None;
            }
        };
        if let Some(Refusal { code, message }) = self.refusal() {
            self.metrics.stream(code.reason());
            refuse(stream, &StreamStatus::refused(code, &message)).await;
            return None;
        }
        if let Err(error) = answer(&mut stream, &StreamStatus::Accepted).await {
            self.metrics.stream(error.reason());
            tracing::debug!(relay = %self.relay, error = %WithCauses(&error), "the stream is gone");
            return None;
        }
        self.metrics.stream("Accepted");
        let StreamHeader {
            connection,
            sni,
            caller,
            traceparent,
        } = header;
        let sni = sni.as_str().to_owned();
        let Self {
            handoff,
            relay,
            drain,
            ..
        } = self;
        let boarding = Boarding {
            stream,
            caller,
            sni,
            connection,
            traceparent,
            relay,
            drain,
        };
        Some(handoff.board(boarding))
    }

    fn refusal(&self) -> Option<Refusal> {
        if self.leaving.is_cancelled() {
            let message = "this exit is going away".to_owned();
            return Some(Refusal {
                code: RefusalCode::Draining,
                message,
            });
        }
        self.handoff.refusal()
    }
}

/// A header that was not understood is answered, so that the relay's log says so; a stream that is
/// gone or silent is not.
async fn refuse_header(stream: Stream, error: &BoardingError) {
    match error {
        BoardingError::Wire(fault) => {
            refuse(
                stream,
                &StreamStatus::refused(RefusalCode::Malformed, &fault.to_string()),
            )
            .await;
        }
        BoardingError::TooLate => stream.abort(AbortCode::TimedOut),
        _ => stream.abort(AbortCode::ProtocolViolation),
    }
}

/// Says no and ends the stream in good order, so that no reset overtakes the answer.
async fn refuse(mut stream: Stream, status: &StreamStatus) {
    let deadline = Instant::now() + HEADER_LIMIT;
    let saying = async {
        answer(&mut stream, status).await?;
        Ok::<_, BoardingError>(stream.shutdown().await?)
    };
    match timeout_at(deadline, saying).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error = %WithCauses(&error), "a refusal was not taken"),
        Err(_elapsed) => stream.abort(AbortCode::TimedOut),
    }
}

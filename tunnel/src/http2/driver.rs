//! The task of a session: moves frames, asks for signs of life, and says the last words.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use gangplank_tcp::LastInLine;
use h2::ext::Protocol;
use h2::{Ping, PingPong, Reason, RecvStream, SendStream, client, server};
use http::{Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::ending::Ending;
use super::ends::{Ends, Side};
use super::meter::Meter;
use super::pulse::{Beat, Pulse};
use super::sessions::Sessions;
use super::socket::Remains;
use super::{PROTOCOL, closing, codes, limits};
use crate::session::Closed;
use crate::wire::{AbortCode, CloseCode, Message};

/// A connection of HTTP/2, from either side.
pub(super) enum Carrier<T> {
    Relay(client::Connection<T, Bytes>),
    Agent {
        connection: server::Connection<T, Bytes>,
        arrivals: mpsc::Sender<Arrived>,
    },
}

/// A caller's stream at the agent, answered.
pub(super) type Arrived = (SendStream<Bytes>, RecvStream);

/// How a connection's driving came to an end.
enum Halt {
    /// The connection is no more.
    Lost(Closed),
    /// The peer does not keep to the protocol.
    Violated,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Carrier<T> {
    pub(super) fn ping_pong(&mut self) -> Option<PingPong> {
        match self {
            Self::Relay(connection) => connection.ping_pong(),
            Self::Agent { connection, .. } => connection.ping_pong(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Halt> {
        match self {
            Self::Relay(connection) => {
                let ended = ready!(Future::poll(std::pin::Pin::new(connection), cx));
                Poll::Ready(Halt::Lost(lost(ended.err().as_ref())))
            }
            Self::Agent {
                connection,
                arrivals,
            } => loop {
                match ready!(connection.poll_accept(cx)) {
                    Some(Ok((request, answer))) => {
                        if !asks(&request, super::CALLER) {
                            return Poll::Ready(Halt::Violated);
                        }
                        admit(request, answer, arrivals);
                    }
                    Some(Err(error)) => return Poll::Ready(Halt::Lost(lost(Some(&error)))),
                    None => return Poll::Ready(Halt::Lost(lost(None))),
                }
            },
        }
    }
}

/// Whether a request is one of ours, for this target.
pub(super) fn asks(request: &Request<RecvStream>, target: &str) -> bool {
    let protocol = request.extensions().get::<Protocol>();
    *request.method() == Method::CONNECT
        && protocol.is_some_and(|protocol| protocol.as_str() == PROTOCOL)
        && request.uri().path() == target
}

fn admit(
    request: Request<RecvStream>,
    mut answer: server::SendResponse<Bytes>,
    arrivals: &mpsc::Sender<Arrived>,
) {
    match (
        arrivals.try_reserve(),
        answer.send_response(Response::new(()), false),
    ) {
        (Ok(place), Ok(send)) => place.send((send, request.into_body())),
        // As many as may be open wait already, or the session has ended here.
        (Err(_), Ok(mut send)) => send.send_reset(codes::of_stream(AbortCode::Refused)),
        (_, Err(error)) => tracing::trace!(%error, "a stream was gone before it was answered"),
    }
}

fn lost(error: Option<&h2::Error>) -> Closed {
    let without_a_word = || Closed::Transport {
        message: Message::fitting("the connection ended without a word"),
    };
    error.map_or_else(without_a_word, closing::ended)
}

/// What drives one session. Its end is the end of the session.
pub(super) struct Driver<T> {
    pub(super) carrier: Carrier<T>,
    pub(super) control: Arc<Ends>,
    pub(super) ending: Ending,
    pub(super) pings: PingPong,
    pub(super) pulse: Pulse,
    pub(super) meter: Meter,
    pub(super) remains: Remains,
    pub(super) leaving: CancellationToken,
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Driver<T> {
    pub(super) fn spawn(self, sessions: &Sessions) {
        // One write for all streams that have something to say.
        let driving = LastInLine::new(Box::pin(self.run()));
        drop(sessions.drivers.spawn(driving));
    }

    async fn run(mut self) {
        let closed = self.carry().await;
        self.ending.ended(closed);
        if let Some(code) = self.ending.farewell() {
            let told = timeout(limits::LAST_WORDS, self.take_leave(code)).await;
            if told.is_err() {
                tracing::debug!("the other side of a tunnel did not take the last words");
            }
            let Self {
                carrier, remains, ..
            } = self;
            // What streams are left learn of the end here.
            drop(carrier);
            remains.linger().await;
        }
    }

    /// Until the session ends, for whatever reason.
    async fn carry(&mut self) -> Closed {
        loop {
            let rest = match self.pulse.beat(Instant::now(), self.meter.heard()) {
                Beat::Silent => return Closed::Silent,
                Beat::Ask => {
                    // Fails when one is under way, which will do.
                    drop(self.pings.send_ping(Ping::opaque()));
                    continue;
                }
                Beat::Rest(until) => until,
            };
            let (carrier, control, pings) = (&mut self.carrier, &self.control, &mut self.pings);
            let halt = tokio::select! {
                biased;
                closed = self.ending.closed() => return closed,
                () = self.leaving.cancelled() => {
                    self.ending.close(CloseCode::GoingAway);
                    return Closed::Here;
                }
                reset = poll_fn(|cx| control.poll_reset(Side::Driver, cx)) => return ended_by(reset),
                halt = poll_fn(|cx| carrier.poll(cx)) => halt,
                pong = poll_fn(|cx| pings.poll_pong(cx)) => {
                    if pong.is_ok() {
                        self.meter.measured(self.pulse.answered(Instant::now()));
                    }
                    continue;
                }
                () = sleep_until(rest) => continue,
            };
            return match halt {
                Halt::Lost(closed) => last_heard(&self.control).await.unwrap_or(closed),
                Halt::Violated => {
                    self.ending.close(CloseCode::ProtocolViolation);
                    Closed::Here
                }
            };
        }
    }

    /// Lets leave what was written, then the reason, and nothing behind it.
    async fn take_leave(&mut self, code: CloseCode) {
        self.flush().await;
        self.control.reset(codes::of_session(code));
        self.flush().await;
    }

    /// Until the kernel has all that HTTP/2 may send now.
    async fn flush(&mut self) {
        let (carrier, meter) = (&mut self.carrier, &self.meter);
        poll_fn(|cx| {
            if carrier.poll(cx).is_pending() && meter.is_blocked() {
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

/// What the peer said of the session before the connection ended, if it did.
async fn last_heard(control: &Ends) -> Option<Closed> {
    poll_fn(|cx| {
        Poll::Ready(match control.poll_reset(Side::Driver, cx) {
            Poll::Ready(Ok(reason)) => Some(ended_by(Ok(reason))),
            Poll::Ready(Err(_)) | Poll::Pending => None,
        })
    })
    .await
}

/// What a reset of the control stream says of the session.
fn ended_by(reset: Result<Reason, h2::Error>) -> Closed {
    match reset {
        Ok(reason) => match codes::session_code(reason) {
            Some(code) => codes::closed_by_peer(code),
            None => Closed::Transport {
                message: Message::fitting("the control stream was broken off"),
            },
        },
        Err(error) => closing::ended(&error),
    }
}

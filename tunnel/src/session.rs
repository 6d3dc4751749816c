//! One agent's connection to one relay, whatever carries it.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use rustls_pki_types::CertificateDer;

use crate::stream::Stream;
use crate::wire::{CloseCode, Message};

/// A future behind a pointer, so that [`Session`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One agent's connection to one relay.
///
/// The relay opens streams, one a caller; the agent accepts them. The only stream that an agent
/// opens is the control stream, which [`greet`](crate::greet) and
/// [`await_hello`](crate::await_hello) see to.
pub trait Session: fmt::Debug + Send + Sync {
    /// Opens a stream. Waits while the peer's stream credit is used up: give it a deadline.
    fn open(&self) -> BoxFuture<'_, Result<Stream, SessionError>>;

    /// Waits for the next stream that the peer opens. Cancelling loses nothing.
    fn accept(&self) -> BoxFuture<'_, Result<Stream, SessionError>>;

    /// Resolves when the session has ended, with the reason; at once if it has.
    fn closed(&self) -> BoxFuture<'_, Closed>;

    /// Ends the session and with it every stream; without effect when it has ended already. `reason`
    /// is for a person and is cut to 256 bytes.
    fn close(&self, code: CloseCode, reason: &str);

    /// Where the peer is now. It can change while the session lives.
    fn remote_address(&self) -> SocketAddr;

    /// The peer's certificate chain, leaf first, as the TLS verifier accepted it.
    fn peer_certificates(&self) -> &[CertificateDer<'static>];

    /// The transport's present estimate.
    fn round_trip_time(&self) -> Duration;

    /// The transport's name for logs and metrics, such as `quic`.
    fn transport(&self) -> &'static str;

    /// Lets the peer have at least `streams` streams open at a time, within this side's own bound.
    /// Sessions raise it by themselves as streams are used; it is never lowered. A transport may
    /// keep a raise of less than an eighth to itself until there is more to tell.
    fn grow_stream_credit(&self, streams: u32);

    /// Callers' streams that are open now, in either direction. The control stream does not count.
    fn open_streams(&self) -> usize;

    /// What went over the network until now, with the transport's own overhead.
    fn traffic(&self) -> Traffic;
}

/// What a session has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Datagrams sent; several may have left in one call of the kernel.
    pub datagrams_sent: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Datagrams sent and lost on the way, as far as this side knows.
    pub datagrams_lost: u64,
}

impl Traffic {
    /// What both have moved together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            sent: self.sent.saturating_add(other.sent),
            received: self.received.saturating_add(other.received),
            datagrams_sent: self.datagrams_sent.saturating_add(other.datagrams_sent),
            datagrams_received: self
                .datagrams_received
                .saturating_add(other.datagrams_received),
            datagrams_lost: self.datagrams_lost.saturating_add(other.datagrams_lost),
        }
    }
}

/// Why a stream could not be had: the session has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tunnel has ended")]
pub struct SessionError(#[source] pub Closed);

impl SessionError {
    /// The cause as one word, for metrics and conditions.
    pub const fn reason(&self) -> &'static str {
        self.0.reason()
    }
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The peer closed it on purpose.
    #[error("closed by the other side: {code} ({message}); {}", .code.remedy())]
    ByPeer {
        /// Why.
        code: CloseCode,
        /// Why, in the peer's words.
        message: Message,
    },
    /// This side closed it.
    #[error("closed by this side")]
    Here,
    /// The peer did not like our side of the TLS handshake.
    #[error("the other side refused the TLS handshake with alert {alert} ({message}); {}", alert_remedy(*.alert))]
    RefusedByPeer {
        /// TLS alert number (RFC 8446 §6).
        alert: u8,
        /// The peer's words.
        message: Message,
    },
    /// This side did not like the peer's side of the TLS handshake.
    #[error("the TLS handshake was refused here: {message}; {}", own_alert_remedy(*.alert))]
    RefusedHere {
        /// TLS alert number (RFC 8446 §6).
        alert: u8,
        /// What the verifier said.
        message: Message,
    },
    /// Nothing was heard for the idle time.
    #[error("nothing was heard from the other side; look at the network between the two")]
    Silent,
    /// The peer no longer knows the session: it was restarted.
    #[error("the other side was restarted")]
    Forgotten,
    /// The peer takes no connections now.
    #[error("the other side takes no connections now")]
    Busy,
    /// The transport failed.
    #[error("the transport failed: {message}")]
    Transport {
        /// What it said.
        message: Message,
    },
}

impl Closed {
    /// The end as one word, for metrics and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ByPeer { code, .. } => code.reason(),
            Self::Here => "ClosedHere",
            Self::RefusedByPeer { .. } => "HandshakeRefusedByPeer",
            // certificate_revoked: no other refusal is to be told from the rest by whoever counts.
            Self::RefusedHere { alert: 44, .. } => "CertificateRevoked",
            Self::RefusedHere { .. } => "HandshakeRefusedHere",
            Self::Silent => "Silent",
            Self::Forgotten => "Forgotten",
            Self::Busy => "Busy",
            Self::Transport { .. } => "TransportFailed",
        }
    }
}

/// What to do about an alert that this side sent: its words about the peer's certificate.
const fn own_alert_remedy(alert: u8) -> &'static str {
    match alert {
        42 | 43 | 46 => {
            "the other side's certificate is not of the right kind or not for the name that was dialled: \
             compare `serverName` with it (`gangplank pki inspect`)"
        }
        44 => "the other side's certificate was revoked: it has to join again with a new token",
        45 => "the other side's certificate is not valid now: renew it, or look at the clocks",
        48 => {
            "the other side's certificate comes from a CA that is not trusted here: look at the CA file"
        }
        116 => "the other side sent no certificate",
        120 => "the other side does not speak this protocol: is it a relay?",
        _ => "look into the log of the other side",
    }
}

/// What to do about an alert that the peer sent.
const fn alert_remedy(alert: u8) -> &'static str {
    match alert {
        42 | 43 | 46 => {
            "look at this side's certificate: its kind (extended key usage) and its one DNS name"
        }
        44 => "this side's certificate was revoked: join again with a new token",
        45 => "this side's certificate has expired: renew it",
        48 => "this side's certificate comes from a CA that the other side does not trust",
        112 => "the other side does not know the server name that was asked for",
        116 => "this side sent no certificate: configure one",
        120 => "the other side does not speak this protocol: is it a relay?",
        _ => "look into the log of the other side",
    }
}

#[cfg(test)]
mod tests;

//! What the transport says of a connection's end, in our words.

use quinn::{ConnectionError, TransportErrorCode};

use crate::session::Closed;
use crate::wire::{CloseCode, Message};

/// Transport error codes from here on carry a TLS alert in their low byte (RFC 9001 §4.8).
const CRYPTO_ERRORS: u64 = 0x100;

/// Why a connection did not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The connection ended before it stood.
    #[error("the handshake failed")]
    Failed(#[source] Closed),
    /// The deadline passed.
    #[error(
        "the handshake was not over in time; is UDP blocked on the way, or does no relay run there?"
    )]
    TooLate,
    /// The connection could not be tried.
    #[error("the handshake could not begin: {message}")]
    NotBegun {
        /// What the transport said.
        message: Message,
    },
    /// The peer does not speak the tunnel's protocol.
    #[error("the other side agreed to no protocol that is spoken here; is it a relay?")]
    NoProtocol,
    /// The peer sent no certificate.
    #[error("the other side showed no certificate")]
    NoCertificate,
}

impl HandshakeError {
    /// The error as one word, for metrics and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Failed(closed) => closed.reason(),
            Self::TooLate => "HandshakeTimeout",
            Self::NotBegun { .. } => "HandshakeNotBegun",
            Self::NoProtocol => "NoProtocol",
            Self::NoCertificate => "NoCertificate",
        }
    }
}

impl From<ConnectionError> for HandshakeError {
    fn from(error: ConnectionError) -> Self {
        Self::Failed(closed(&error))
    }
}

/// A connection's end.
pub(super) fn closed(error: &ConnectionError) -> Closed {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let number = u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX);
            Closed::ByPeer {
                code: CloseCode::from_number(number),
                message: told(&close.reason),
            }
        }
        ConnectionError::ConnectionClosed(close) => {
            let message = told(&close.reason);
            match alert(close.error_code) {
                Some(alert) => Closed::RefusedByPeer { alert, message },
                None if close.error_code == TransportErrorCode::CONNECTION_REFUSED => Closed::Busy,
                None => Closed::Transport {
                    message: Message::fitting(&close.to_string()),
                },
            }
        }
        ConnectionError::TransportError(error) => match alert(error.code) {
            Some(alert) => Closed::RefusedHere {
                alert,
                message: Message::fitting(&error.reason),
            },
            None => Closed::Transport {
                message: Message::fitting(&error.to_string()),
            },
        },
        ConnectionError::Reset => Closed::Forgotten,
        ConnectionError::TimedOut => Closed::Silent,
        ConnectionError::LocallyClosed => Closed::Here,
        other @ (ConnectionError::VersionMismatch | ConnectionError::CidsExhausted) => {
            Closed::Transport {
                message: Message::fitting(&other.to_string()),
            }
        }
    }
}

/// The TLS alert within a transport error, if it is one.
fn alert(code: TransportErrorCode) -> Option<u8> {
    u64::from(code)
        .checked_sub(CRYPTO_ERRORS)
        .and_then(|alert| u8::try_from(alert).ok())
}

/// A peer's words, made safe to print.
fn told(reason: &[u8]) -> Message {
    Message::fitting(&String::from_utf8_lossy(reason))
}

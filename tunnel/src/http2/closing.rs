//! What TLS and HTTP/2 say of a connection's end, in our words.

use std::io;

use rustls::{AlertDescription, Error};

use crate::session::Closed;
use crate::wire::Message;

/// Why a connection did not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The connection ended before it stood.
    #[error("the handshake over TCP failed")]
    Failed(#[source] Closed),
    /// The deadline passed.
    #[error("the handshake over TCP was not over in time; does a relay run there?")]
    TooLate,
    /// The connection could not be tried.
    #[error("the handshake could not begin: {message}")]
    NotBegun {
        /// What is wrong.
        message: Message,
    },
    /// The peer does not speak the tunnel's protocol.
    #[error("the other side agreed to no protocol that is spoken here; is it a relay?")]
    NoProtocol,
    /// The peer sent no certificate.
    #[error("the other side showed no certificate")]
    NoCertificate,
    /// The peer did not begin as this protocol does.
    #[error("the other side did not begin the tunnel as it should; update the older")]
    NoBeginning,
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
            Self::NoBeginning => "NoBeginning",
        }
    }

    pub(super) fn not_begun(error: &impl ToString) -> Self {
        Self::NotBegun {
            message: Message::fitting(&error.to_string()),
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Failed(broken(&error))
    }
}

impl From<h2::Error> for HandshakeError {
    fn from(error: h2::Error) -> Self {
        Self::Failed(ended(&error))
    }
}

/// The end of the connection below HTTP/2.
pub(super) fn broken(error: &io::Error) -> Closed {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    let message = Message::fitting(&error.to_string());
    match tls {
        Some(Error::AlertReceived(alert)) => Closed::RefusedByPeer {
            alert: u8::from(*alert),
            message,
        },
        Some(tls) => match own_alert(tls) {
            Some(alert) => Closed::RefusedHere {
                alert: u8::from(alert),
                message,
            },
            None => Closed::Transport { message },
        },
        None => Closed::Transport { message },
    }
}

/// The end of a connection of HTTP/2.
pub(super) fn ended(error: &h2::Error) -> Closed {
    error.get_io().map_or_else(
        || Closed::Transport {
            message: Message::fitting(&error.to_string()),
        },
        broken,
    )
}

/// The alert with which rustls has told the peer of its error, where it is the peer's certificate or protocol.
fn own_alert(error: &Error) -> Option<AlertDescription> {
    match error {
        Error::InvalidCertificate(error) => Some(error.clone().into()),
        Error::NoCertificatesPresented => Some(AlertDescription::CertificateRequired),
        Error::NoApplicationProtocol => Some(AlertDescription::NoApplicationProtocol),
        _ => None,
    }
}

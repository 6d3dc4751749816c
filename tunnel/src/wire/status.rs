//! The exit's one answer to a stream, before any byte of it.

use std::fmt;

use super::fields::Fields;
use super::{Message, WireFault, record};

/// The largest body of a status, in bytes: kind, code and the longest message.
pub const MAX_STATUS: usize = 1 + 2 + 256;

const WHAT: &str = "stream status";
const ACCEPTED: u8 = 0;
const REFUSED: u8 = 1;

/// Whether the exit takes a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamStatus {
    /// It does: raw bytes follow.
    Accepted,
    /// It does not, and has executed nothing: the relay may try another tunnel of the cluster.
    Refused {
        /// Why.
        code: RefusalCode,
        /// Why, for a person.
        message: Message,
    },
}

/// Why an exit did not take a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalCode {
    /// The exit is going away.
    Draining,
    /// The exit has as many callers as it may have.
    Overloaded,
    /// The exit is not ready to serve: no trust bundle, or no certificate.
    NotReady,
    /// The header was not understood.
    Malformed,
    /// A number of a later version.
    Other(u16),
}

impl RefusalCode {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::Draining => 1,
            Self::Overloaded => 2,
            Self::NotReady => 3,
            Self::Malformed => 4,
            Self::Other(number) => number,
        }
    }

    /// What a number on the wire means.
    pub const fn from_number(number: u16) -> Self {
        match number {
            1 => Self::Draining,
            2 => Self::Overloaded,
            3 => Self::NotReady,
            4 => Self::Malformed,
            other => Self::Other(other),
        }
    }

    /// The code as one word, for metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Draining => "Draining",
            Self::Overloaded => "Overloaded",
            Self::NotReady => "NotReady",
            Self::Malformed => "Malformed",
            Self::Other(_) => "Other",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl StreamStatus {
    /// A refusal; the message is made to fit.
    pub fn refused(code: RefusalCode, message: &str) -> Self {
        Self::Refused {
            code,
            message: Message::fitting(message),
        }
    }

    /// The status as bytes, version and length included.
    ///
    /// # Errors
    ///
    /// Never with the bounds of today's fields.
    pub fn encode(&self) -> Result<Vec<u8>, WireFault> {
        let mut body = Vec::with_capacity(MAX_STATUS);
        match self {
            Self::Accepted => body.push(ACCEPTED),
            Self::Refused { code, message } => {
                body.push(REFUSED);
                body.extend_from_slice(&code.number().to_be_bytes());
                body.extend_from_slice(message.as_bytes());
            }
        }
        record(&body, WHAT, MAX_STATUS)
    }

    /// Reads a status' body.
    ///
    /// # Errors
    ///
    /// When the body is not a stream status.
    pub fn parse(body: &[u8]) -> Result<Self, WireFault> {
        let mut fields = Fields::of(body);
        match fields.byte("status.kind")? {
            ACCEPTED => {
                fields.end(WHAT)?;
                Ok(Self::Accepted)
            }
            REFUSED => Ok(Self::Refused {
                code: RefusalCode::from_number(fields.short("status.code")?),
                message: Message::parse(fields.remainder(), "status.message")?,
            }),
            _ => Err(WireFault::Meaningless {
                what: "status.kind",
            }),
        }
    }
}

//! Why a session or a stream was ended, as a number on the wire.

use std::fmt;

/// Why a session was closed. The numbers are part of the language: they are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseCode {
    /// Nothing is left to do.
    Done,
    /// The side that closes is going away, after its drain.
    GoingAway,
    /// A newer session of the same instance and slot took over and nothing runs here any more.
    Superseded,
    /// The other side speaks a version that is not spoken here.
    UnknownVersion,
    /// The other side broke the rules of the language.
    ProtocolViolation,
    /// The greeting did not come in time.
    GreetingTimeout,
    /// The certificate's tunnel name may not be served here.
    NameRefused,
    /// The agent's certificate has expired or was revoked while the session ran.
    CertificateEnded,
    /// Too many tunnels, or too many from one source.
    Overloaded,
    /// A number of a later version.
    Other(u32),
}

impl CloseCode {
    /// The number on the wire.
    pub const fn number(self) -> u32 {
        match self {
            Self::Done => 0x00,
            Self::GoingAway => 0x01,
            Self::Superseded => 0x02,
            Self::UnknownVersion => 0x03,
            Self::ProtocolViolation => 0x04,
            Self::GreetingTimeout => 0x05,
            Self::NameRefused => 0x06,
            Self::CertificateEnded => 0x07,
            Self::Overloaded => 0x08,
            Self::Other(number) => number,
        }
    }

    /// What a number on the wire means.
    pub const fn from_number(number: u32) -> Self {
        match number {
            0x00 => Self::Done,
            0x01 => Self::GoingAway,
            0x02 => Self::Superseded,
            0x03 => Self::UnknownVersion,
            0x04 => Self::ProtocolViolation,
            0x05 => Self::GreetingTimeout,
            0x06 => Self::NameRefused,
            0x07 => Self::CertificateEnded,
            0x08 => Self::Overloaded,
            other => Self::Other(other),
        }
    }

    /// The code as one word, for metrics and conditions.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::GoingAway => "GoingAway",
            Self::Superseded => "Superseded",
            Self::UnknownVersion => "UnknownVersion",
            Self::ProtocolViolation => "ProtocolViolation",
            Self::GreetingTimeout => "GreetingTimeout",
            Self::NameRefused => "NameRefused",
            Self::CertificateEnded => "CertificateEnded",
            Self::Overloaded => "Overloaded",
            Self::Other(_) => "Other",
        }
    }

    /// What the operator of the side that was closed can do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Done | Self::GoingAway => "nothing needs to be done: the relay is dialled again",
            Self::Superseded => {
                "nothing, if this agent reconnected; otherwise look for a second process with the \
                 same instance"
            }
            Self::UnknownVersion => "run versions of agent and relay that speak one language",
            Self::ProtocolViolation => "report this: one of the two programs is at fault",
            Self::GreetingTimeout => "look at the network between agent and relay: it is very slow",
            Self::NameRefused => {
                "issue an agent certificate for a tunnel name that this relay serves"
            }
            Self::CertificateEnded => "renew the agent's certificate",
            Self::Overloaded => "nothing at once; if it stays, give the relay more room",
            Self::Other(_) => "look into the log of the other side, which is newer than this one",
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(f, "Other({number:#x})"),
            known => f.write_str(known.reason()),
        }
    }
}

/// Why a stream was aborted: the code of its RESET_STREAM and STOP_SENDING.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AbortCode {
    /// Nobody reads here any more, and nothing is wrong: only ever in a STOP_SENDING.
    NotReading,
    /// The stream was dropped before its end.
    Dropped,
    /// The TCP connection behind it was reset.
    PeerReset,
    /// The exit refused the stream before any byte of it was read.
    Refused,
    /// A deadline passed.
    TimedOut,
    /// The header or the status was not understood.
    ProtocolViolation,
    /// The exit or the relay is going away and the drain's limit has passed.
    GoingAway,
    /// The session was lost: only ever said on this side of it.
    SessionLost,
    /// A number of a later version.
    Other(u32),
}

impl AbortCode {
    /// The number on the wire.
    pub const fn number(self) -> u32 {
        match self {
            Self::NotReading => 0x00,
            Self::Dropped => 0x01,
            Self::PeerReset => 0x02,
            Self::Refused => 0x03,
            Self::TimedOut => 0x04,
            Self::ProtocolViolation => 0x05,
            Self::GoingAway => 0x06,
            Self::SessionLost => 0x07,
            Self::Other(number) => number,
        }
    }

    /// What a number on the wire means.
    pub const fn from_number(number: u32) -> Self {
        match number {
            0x00 => Self::NotReading,
            0x01 => Self::Dropped,
            0x02 => Self::PeerReset,
            0x03 => Self::Refused,
            0x04 => Self::TimedOut,
            0x05 => Self::ProtocolViolation,
            0x06 => Self::GoingAway,
            0x07 => Self::SessionLost,
            other => Self::Other(other),
        }
    }

    /// The code as one word, for metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotReading => "NotReading",
            Self::Dropped => "Dropped",
            Self::PeerReset => "PeerReset",
            Self::Refused => "Refused",
            Self::TimedOut => "TimedOut",
            Self::ProtocolViolation => "ProtocolViolation",
            Self::GoingAway => "GoingAway",
            Self::SessionLost => "SessionLost",
            Self::Other(_) => "Other",
        }
    }
}

impl fmt::Display for AbortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(f, "Other({number:#x})"),
            known => f.write_str(known.reason()),
        }
    }
}

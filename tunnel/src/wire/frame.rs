//! Frames of the control stream.

use super::fields::Fields;
use super::{Hello, Welcome, WireFault, bounded_length};

/// Bytes before a frame's body: type and length.
pub const FRAME_PREFIX: usize = 3;

/// The largest body of a frame, in bytes. The largest today is a welcome with 269; the rest is room
/// for frames of later versions, which are read to be skipped.
pub const MAX_FRAME: usize = 4096;

const HELLO: u8 = 0x01;
const WELCOME: u8 = 0x02;
const DRAIN: u8 = 0x03;
/// Types from here on may be skipped by who does not know them.
const SKIPPABLE: u8 = 0x80;

/// What a frame's prefix announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameKind {
    kind: u8,
    /// Bytes of the body that follow.
    pub length: usize,
}

impl FrameKind {
    /// Reads type and length.
    ///
    /// # Errors
    ///
    /// When the type is unknown and may not be skipped, or the length exceeds [`MAX_FRAME`].
    pub fn parse(prefix: [u8; FRAME_PREFIX]) -> Result<Self, WireFault> {
        let [kind, high, low] = prefix;
        if !matches!(kind, HELLO | WELCOME | DRAIN) && kind < SKIPPABLE {
            return Err(WireFault::UnknownFrame { kind });
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > MAX_FRAME {
            return Err(WireFault::TooLong {
                what: "frame",
                length,
                limit: MAX_FRAME,
            });
        }
        Ok(Self { kind, length })
    }
}

/// One frame of the control stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlFrame {
    /// Agent to relay, first.
    Hello(Hello),
    /// Relay to agent, in answer.
    Welcome(Welcome),
    /// Either way: no new streams, please; the running ones have this many milliseconds.
    Drain {
        /// Milliseconds until what still runs is aborted.
        limit_ms: u32,
    },
}

impl ControlFrame {
    /// Reads a frame's body. `None`: a frame of a later version that may be skipped.
    ///
    /// # Errors
    ///
    /// When the body is not what its type demands.
    pub fn parse(kind: FrameKind, body: &[u8]) -> Result<Option<Self>, WireFault> {
        match kind.kind {
            HELLO => Hello::parse(body).map(Self::Hello).map(Some),
            WELCOME => Welcome::parse(body).map(Self::Welcome).map(Some),
            DRAIN => {
                let mut fields = Fields::of(body);
                let limit_ms = fields.array("drain.limit_ms").map(u32::from_be_bytes)?;
                fields.end("drain")?;
                Ok(Some(Self::Drain { limit_ms }))
            }
            kind if kind >= SKIPPABLE => Ok(None),
            kind => Err(WireFault::UnknownFrame { kind }),
        }
    }

    /// The frame as bytes, prefix included.
    ///
    /// # Errors
    ///
    /// When the body exceeds [`MAX_FRAME`].
    pub fn encode(&self) -> Result<Vec<u8>, WireFault> {
        let (kind, body) = match self {
            Self::Hello(hello) => (HELLO, hello.body()),
            Self::Welcome(welcome) => (WELCOME, welcome.body()),
            Self::Drain { limit_ms } => (DRAIN, limit_ms.to_be_bytes().to_vec()),
        };
        let length = bounded_length(&body, "frame", MAX_FRAME)?;
        let mut bytes = Vec::with_capacity(FRAME_PREFIX + body.len());
        bytes.push(kind);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }
}

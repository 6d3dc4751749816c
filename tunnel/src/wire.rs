//! The language between agent and relay: bytes and their meaning, without I/O.
//!
//! Every record is length-prefixed and bounded, every integer big-endian. A decoder is given the
//! whole body, refuses what it does not understand, never allocates more than the body's length and
//! never panics. Reading a body off a stream is the affair of the modules that own one.
//!
//! | record | layout |
//! |---|---|
//! | control stream | version `u8`, then frames: type `u8`, length `u16`, body |
//! | stream, relay to exit | version `u8`, length `u16`, [`StreamHeader`] body, then raw bytes |
//! | stream, exit to relay | version `u8`, length `u16`, [`StreamStatus`] body, then raw bytes |
//! | enrolment, agent to relay | version `u8`, length `u16`, [`EnrolmentQuestion`](enrolment::EnrolmentQuestion) body |
//! | enrolment, relay to agent | version `u8`, length `u16`, [`EnrolmentAnswer`](enrolment::EnrolmentAnswer) body |

mod close;
pub mod enrolment;
mod fault;
mod fields;
mod frame;
mod header;
mod hello;
mod status;
mod text;

pub use close::{AbortCode, CloseCode};
pub use fault::WireFault;
pub use frame::{ControlFrame, FRAME_PREFIX, FrameKind, MAX_FRAME};
pub use header::{MAX_HEADER, StreamHeader, TRACEPARENT_LENGTH};
pub use hello::{Hello, Welcome};
pub use status::{MAX_STATUS, RefusalCode, StreamStatus};
pub use text::{EntranceDomain, Message, ServerName, SoftwareName, Text};

/// The version of this language. A peer that speaks another is told so and refused.
pub const VERSION: u8 = 1;

/// Bytes before the body of a stream header or a stream status: version and length.
pub const RECORD_PREFIX: usize = 3;

/// Reads version and length off a record's prefix.
///
/// # Errors
///
/// When the version is not ours or the length exceeds `limit`.
pub fn record_length(
    prefix: [u8; RECORD_PREFIX],
    what: &'static str,
    limit: usize,
) -> Result<usize, WireFault> {
    let [version, high, low] = prefix;
    if version != VERSION {
        return Err(WireFault::UnknownVersion { version });
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > limit {
        return Err(WireFault::TooLong {
            what,
            length,
            limit,
        });
    }
    Ok(length)
}

/// Puts version and length before a record's body.
///
/// # Errors
///
/// When the body exceeds `limit`.
fn record(body: &[u8], what: &'static str, limit: usize) -> Result<Vec<u8>, WireFault> {
    let length = bounded_length(body, what, limit)?;
    let mut bytes = Vec::with_capacity(RECORD_PREFIX + body.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(body);
    Ok(bytes)
}

/// The length of a body as its two bytes on the wire.
fn bounded_length(body: &[u8], what: &'static str, limit: usize) -> Result<u16, WireFault> {
    u16::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= limit)
        .ok_or(WireFault::TooLong {
            what,
            length: body.len(),
            limit,
        })
}

#[cfg(test)]
mod tests;

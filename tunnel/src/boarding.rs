//! How a caller's stream begins: the relay announces the caller, the exit answers once.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::stream::Stream;
use crate::wire::{
    MAX_HEADER, MAX_STATUS, RECORD_PREFIX, StreamHeader, StreamStatus, WireFault, record_length,
};

/// Why a stream did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoardingError {
    /// The stream or the session broke off.
    #[error("the stream broke off before it began")]
    Io(#[from] io::Error),
    /// The peer's bytes were not understood.
    #[error("the beginning of the stream was not understood")]
    Wire(#[from] WireFault),
    /// The deadline passed.
    #[error("the other side said nothing in time")]
    TooLate,
}

impl BoardingError {
    /// The error as one word, for metrics and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Io(_) => "StreamBroken",
            Self::Wire(fault) => fault.reason(),
            Self::TooLate => "TimedOut",
        }
    }
}

/// The relay's part: sends the header and, behind it in one piece, what the caller has sent so far.
/// The relay keeps `first_bytes` until it has seen the status.
///
/// # Errors
///
/// When the stream or the session broke off.
pub async fn announce(
    stream: &mut Stream,
    header: &StreamHeader,
    first_bytes: &[u8],
) -> Result<(), BoardingError> {
    let mut bytes = header.encode()?;
    bytes.extend_from_slice(first_bytes);
    stream.write_all(&bytes).await?;
    Ok(())
}

/// The relay's part: waits until `deadline` for the exit's answer.
///
/// # Errors
///
/// When the stream broke off, the answer was none, or the deadline passed.
pub async fn await_status(
    stream: &mut Stream,
    deadline: Instant,
) -> Result<StreamStatus, BoardingError> {
    let body = body_until(stream, deadline, "stream status", MAX_STATUS).await?;
    Ok(StreamStatus::parse(&body)?)
}

/// The exit's part: reads the header until `deadline`.
///
/// # Errors
///
/// When the stream broke off, the header was none, or the deadline passed.
pub async fn receive_header(
    stream: &mut Stream,
    deadline: Instant,
) -> Result<StreamHeader, BoardingError> {
    let body = body_until(stream, deadline, "stream header", MAX_HEADER).await?;
    Ok(StreamHeader::parse(&body)?)
}

/// The exit's part: answers, once, before any byte of its own.
///
/// # Errors
///
/// When the stream or the session broke off.
pub async fn answer(stream: &mut Stream, status: &StreamStatus) -> Result<(), BoardingError> {
    stream.write_all(&status.encode()?).await?;
    Ok(())
}

async fn body_until(
    stream: &mut Stream,
    deadline: Instant,
    what: &'static str,
    limit: usize,
) -> Result<Vec<u8>, BoardingError> {
    let reading = async {
        let mut prefix = [0; RECORD_PREFIX];
        stream.read_exact(&mut prefix).await?;
        let mut body = vec![0; record_length(prefix, what, limit)?];
        stream.read_exact(&mut body).await?;
        Ok(body)
    };
    timeout_at(deadline, reading)
        .await
        .unwrap_or(Err(BoardingError::TooLate))
}

#[cfg(test)]
mod tests;

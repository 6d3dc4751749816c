//! The control stream after the greeting.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::coop::consume_budget;

use crate::stream::{StreamReader, StreamWriter};
use crate::wire::{ControlFrame, FRAME_PREFIX, FrameKind, WireFault};

/// What the peer says on the control stream once the greeting is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// It is going away: open no more streams; what still runs after `limit` is aborted.
    Drain {
        /// From now.
        limit: Duration,
    },
}

/// Why the control stream cannot be used any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The stream or the session broke off.
    #[error("the control stream broke off")]
    Io(#[from] io::Error),
    /// The peer's bytes were not understood.
    #[error("the control stream was not understood")]
    Wire(#[from] WireFault),
    /// A greeting came twice.
    #[error("the other side greeted twice")]
    GreetedTwice,
}

impl ControlError {
    /// The error as one word, for metrics and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Io(_) => "ControlStreamBroken",
            Self::Wire(fault) => fault.reason(),
            Self::GreetedTwice => "GreetedTwice",
        }
    }
}

/// What the peer says. One task owns it.
#[derive(Debug)]
pub struct ControlReader {
    stream: StreamReader,
}

impl ControlReader {
    pub(crate) const fn new(stream: StreamReader) -> Self {
        Self { stream }
    }

    /// Waits for the peer's next notice; `None` when it has ended the control stream in good order,
    /// which ends the session. Frames of later versions are skipped. Not cancel-safe: own it in a
    /// task, or stop reading for good after a cancellation.
    ///
    /// # Errors
    ///
    /// When the stream breaks off or the peer breaks the rules; close the session then.
    pub async fn next(&mut self) -> Result<Option<Notice>, ControlError> {
        loop {
            // A peer that always has another frame gives others their turn.
            consume_budget().await;
            let Some(frame) = self.next_frame().await? else {
                return Ok(None);
            };
            match frame {
                Known::Frame(ControlFrame::Drain { limit_ms }) => {
                    let limit = Duration::from_millis(limit_ms.into());
                    return Ok(Some(Notice::Drain { limit }));
                }
                Known::Frame(ControlFrame::Hello(_) | ControlFrame::Welcome(_)) => {
                    return Err(ControlError::GreetedTwice);
                }
                Known::Skipped => {}
            }
        }
    }

    /// The next frame as it is; `None` at the end of the stream.
    pub(crate) async fn next_frame(&mut self) -> Result<Option<Known>, ControlError> {
        let mut prefix = [0; FRAME_PREFIX];
        if self.stream.read(prefix.split_at_mut(1).0).await? == 0 {
            return Ok(None);
        }
        self.stream.read_exact(prefix.split_at_mut(1).1).await?;
        let kind = FrameKind::parse(prefix)?;
        let mut body = vec![0; kind.length];
        self.stream.read_exact(&mut body).await?;
        Ok(Some(
            ControlFrame::parse(kind, &body)?.map_or(Known::Skipped, Known::Frame),
        ))
    }

    /// One byte: the version before the first frame.
    pub(crate) async fn version(&mut self) -> Result<u8, io::Error> {
        self.stream.read_u8().await
    }
}

/// A frame, or the place of one that means nothing to this version.
#[derive(Debug)]
pub(crate) enum Known {
    Frame(ControlFrame),
    Skipped,
}

/// What this side says. Dropping it without [`finish`](Self::finish) resets the control stream.
#[derive(Debug)]
pub struct ControlWriter {
    stream: StreamWriter,
}

impl ControlWriter {
    pub(crate) const fn new(stream: StreamWriter) -> Self {
        Self { stream }
    }

    /// Asks the peer to open no more streams. What still runs after `limit` will be aborted;
    /// beyond 49 days it is cut to that.
    ///
    /// # Errors
    ///
    /// When the stream or the session broke off.
    pub async fn drain(&mut self, limit: Duration) -> Result<(), ControlError> {
        let limit_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        self.send(&ControlFrame::Drain { limit_ms }, &[]).await
    }

    /// Ends this side's direction in good order.
    ///
    /// # Errors
    ///
    /// When the stream or the session broke off.
    pub async fn finish(mut self) -> Result<(), ControlError> {
        Ok(self.stream.shutdown().await?)
    }

    pub(crate) async fn send(
        &mut self,
        frame: &ControlFrame,
        preamble: &[u8],
    ) -> Result<(), ControlError> {
        let mut bytes = preamble.to_vec();
        bytes.extend_from_slice(&frame.encode()?);
        self.stream.write_all(&bytes).await?;
        Ok(())
    }
}

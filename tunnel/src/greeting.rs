//! The first words of a session: the agent says who it is, the relay answers or closes.

use std::future::{Future, poll_fn};
use std::io;
use std::task::Poll;

use tokio::time::{Instant, timeout_at};

use crate::control::{ControlError, ControlReader, ControlWriter, Known};
use crate::session::{Closed, Session, SessionError};
use crate::wire::{ControlFrame, Hello, VERSION, Welcome, WireFault};

/// Why a session did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GreetError {
    /// The peer, or the network, ended the session: the cause says who and why.
    #[error("the tunnel ended before its greeting did")]
    Closed(#[source] Closed),
    /// The deadline passed.
    #[error("the other side did not greet in time")]
    TooLate,
    /// The peer speaks another version.
    #[error(
        "the other side speaks version {version} of the tunnel's language, this one {VERSION}; update the older"
    )]
    UnknownVersion {
        /// The peer's.
        version: u8,
    },
    /// The peer began with something else, or not at all.
    #[error("the other side did not begin with its greeting")]
    NoGreeting,
    /// The control stream broke off or was not understood.
    #[error("the greeting was not understood")]
    Control(#[source] ControlError),
}

impl GreetError {
    /// The error as one word, for metrics and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Closed(closed) => closed.reason(),
            Self::TooLate => "GreetingTimeout",
            Self::UnknownVersion { .. } => "UnknownVersion",
            Self::NoGreeting => "NoGreeting",
            Self::Control(error) => error.reason(),
        }
    }
}

impl From<SessionError> for GreetError {
    fn from(SessionError(closed): SessionError) -> Self {
        Self::Closed(closed)
    }
}

impl From<ControlError> for GreetError {
    fn from(error: ControlError) -> Self {
        Self::Control(error)
    }
}

impl From<io::Error> for GreetError {
    fn from(error: io::Error) -> Self {
        Self::Control(error.into())
    }
}

/// The agent's part: opens the control stream, says `hello`, waits for the welcome until `deadline`.
///
/// # Errors
///
/// When the relay closes the session ([`GreetError::Closed`] says why), does not answer in time or
/// answers something else. The session is of no use then; the caller closes it.
pub async fn greet(
    session: &dyn Session,
    hello: Hello,
    deadline: Instant,
) -> Result<(Welcome, ControlReader, ControlWriter), GreetError> {
    within(session, deadline, async {
        let (reader, writer) = session.open().await?.into_uncounted().into_split();
        let (mut reader, mut writer) = (ControlReader::new(reader), ControlWriter::new(writer));
        writer.send(&ControlFrame::Hello(hello), &[VERSION]).await?;
        match first_frame(&mut reader).await? {
            ControlFrame::Welcome(welcome) => Ok((welcome, reader, writer)),
            ControlFrame::Hello(_) | ControlFrame::Drain { .. } => Err(GreetError::NoGreeting),
        }
    })
    .await
}

/// The relay's part: waits until `deadline` for the agent's control stream and its hello. The relay
/// then registers the tunnel and answers with [`Greeting::welcome`], or closes the session with a
/// code that says why not.
///
/// # Errors
///
/// When the agent does not greet in time, or not in this language; the caller closes the session.
pub async fn await_hello(session: &dyn Session, deadline: Instant) -> Result<Greeting, GreetError> {
    within(session, deadline, async {
        let (reader, writer) = session.accept().await?.into_uncounted().into_split();
        let (mut reader, writer) = (ControlReader::new(reader), ControlWriter::new(writer));
        match first_frame(&mut reader).await? {
            ControlFrame::Hello(hello) => Ok(Greeting {
                hello,
                reader,
                writer,
            }),
            ControlFrame::Welcome(_) | ControlFrame::Drain { .. } => Err(GreetError::NoGreeting),
        }
    })
    .await
}

/// An agent's hello that waits for its answer.
#[derive(Debug)]
pub struct Greeting {
    hello: Hello,
    reader: ControlReader,
    writer: ControlWriter,
}

impl Greeting {
    /// Who dials, by its own account.
    pub const fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Takes the tunnel.
    ///
    /// # Errors
    ///
    /// When the session broke off meanwhile.
    pub async fn welcome(
        mut self,
        welcome: Welcome,
    ) -> Result<(ControlReader, ControlWriter), ControlError> {
        self.writer
            .send(&ControlFrame::Welcome(welcome), &[VERSION])
            .await?;
        Ok((self.reader, self.writer))
    }
}

async fn first_frame(reader: &mut ControlReader) -> Result<ControlFrame, GreetError> {
    let version = reader.version().await?;
    if version != VERSION {
        return Err(GreetError::UnknownVersion { version });
    }
    match reader.next_frame().await? {
        Some(Known::Frame(frame)) => Ok(frame),
        Some(Known::Skipped) | None => Err(GreetError::NoGreeting),
    }
}

/// Runs a greeting until `deadline`. What ends the session ends the greeting, and is the better
/// explanation of a stream that broke off.
async fn within<T>(
    session: &dyn Session,
    deadline: Instant,
    greeting: impl Future<Output = Result<T, GreetError>> + Send,
) -> Result<T, GreetError> {
    let greeted = timeout_at(deadline, greeting)
        .await
        .unwrap_or(Err(GreetError::TooLate));
    match greeted {
        Err(GreetError::Control(ControlError::Wire(WireFault::UnknownVersion { version }))) => {
            Err(GreetError::UnknownVersion { version })
        }
        Err(error) => match closed_already(session).await {
            Some(closed) => Err(GreetError::Closed(closed)),
            None => Err(error),
        },
        Ok(greeted) => Ok(greeted),
    }
}

/// How the session ended, if it has.
async fn closed_already(session: &dyn Session) -> Option<Closed> {
    let mut closed = session.closed();
    poll_fn(|cx| match closed.as_mut().poll(cx) {
        Poll::Ready(closed) => Poll::Ready(Some(closed)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests;

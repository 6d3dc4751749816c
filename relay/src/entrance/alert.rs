//! Refusals that a TLS client understands: plaintext alerts in place of a ServerHello (RFC 8446 §6).
//!
//! They are hints and no more. Nothing signs them, anyone on the way could have sent them, and
//! clients treat them as what they are: a reason to print.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// How long a refused caller may take to read the last words and close. A round trip around the world and
/// a lost packet fit; it holds a socket, so no longer than that.
const FAREWELL: Duration = Duration::from_secs(2);

/// Most bytes swallowed of a caller that was refused. Closing a socket with unread bytes resets it, and
/// the reset overtakes the last words; one full hello in flight is what an honest client may still send.
const MOST_SWALLOWED: usize = 64 * 1024;

/// How much is swallowed at a time: most refused callers send nothing more at all.
const SCRAPS: usize = 512;

/// The alert descriptions the relay sends, with their numbers of RFC 8446 §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alert {
    /// The bytes are TLS, the message is out of place.
    UnexpectedMessage,
    /// A record is longer than TLS allows.
    RecordOverflow,
    /// A field has a value that is forbidden.
    IllegalParameter,
    /// A length does not fit, or exceeds what the relay reads.
    DecodeError,
    /// The name is known, but nobody is at the other end, or does not answer.
    InternalError,
    /// The relay routes by server name and was given none.
    MissingExtension,
    /// No tunnel has this name.
    UnrecognizedName,
}

impl Alert {
    /// AlertDescription.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::UnexpectedMessage => 10,
            Self::RecordOverflow => 22,
            Self::IllegalParameter => 47,
            Self::DecodeError => 50,
            Self::InternalError => 80,
            Self::MissingExtension => 109,
            Self::UnrecognizedName => 112,
        }
    }

    /// The alert as a record: type 21, legacy version 3.3, length 2, level fatal, description.
    pub(crate) fn record(self) -> [u8; 7] {
        [21, 3, 3, 0, 2, 2, self.number()]
    }
}

/// Sends the last words, closes our half, and gives the caller a moment to close its own, so that they
/// are read before the socket goes.
pub(crate) async fn send_off<S>(mut caller: S, last_words: &[u8])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let farewell = async {
        caller.write_all(last_words).await?;
        caller.shutdown().await?;
        let mut scraps = vec![0; SCRAPS];
        let mut swallowed = 0;
        while swallowed < MOST_SWALLOWED {
            match caller.read(&mut scraps).await? {
                0 => break,
                read => swallowed += read,
            }
        }
        Ok::<(), std::io::Error>(())
    };
    // Whatever becomes of it, the connection is over: a caller that is gone needs no farewell.
    drop(timeout(FAREWELL, farewell).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn alert_is_a_fatal_plaintext_record_and_then_end_of_stream() {
        let (caller, relay) = tokio::io::duplex(64);
        let words = Alert::UnrecognizedName.record();
        let sending = send_off(relay, &words);
        let reading = async {
            let (mut reader, writer) = tokio::io::split(caller);
            let mut read = Vec::new();
            reader.read_to_end(&mut read).await.unwrap();
            drop((reader, writer));
            read
        };
        let ((), read) = tokio::join!(sending, reading);
        assert_eq!(read, [21, 3, 3, 0, 2, 2, 112]);
    }

    #[tokio::test(start_paused = true)]
    async fn caller_that_never_closes_is_left_after_the_farewell() {
        let (_caller, relay) = tokio::io::duplex(64);
        let words = Alert::InternalError.record();
        let started = tokio::time::Instant::now();
        send_off(relay, &words).await;
        assert_eq!(started.elapsed(), FAREWELL);
    }

    /// What is left unread when a socket is closed turns the close into a reset, and on many systems the
    /// reset takes the alert along.
    #[tokio::test]
    async fn what_the_caller_still_sends_is_swallowed_up_to_a_bound() {
        let (mut caller, relay) = tokio::io::duplex(64);
        let words = Alert::UnrecognizedName.record();
        let calling = async {
            caller.write_all(&[0; 60_000]).await.unwrap();
            caller.write_all(&[0; 10_000]).await.unwrap_err();
        };
        tokio::join!(calling, send_off(relay, &words));
    }

    #[test]
    fn numbers_are_those_of_the_standard() {
        use rustls::AlertDescription as Standard;
        for (ours, standard) in [
            (Alert::UnexpectedMessage, Standard::UnexpectedMessage),
            (Alert::RecordOverflow, Standard::RecordOverflow),
            (Alert::IllegalParameter, Standard::IllegalParameter),
            (Alert::DecodeError, Standard::DecodeError),
            (Alert::InternalError, Standard::InternalError),
            (Alert::MissingExtension, Standard::MissingExtension),
            (Alert::UnrecognizedName, Standard::UnrecognisedName),
        ] {
            assert_eq!(Standard::from(ours.number()), standard);
        }
    }
}

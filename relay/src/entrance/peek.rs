//! Reading the ClientHello off a caller's socket, under a deadline that no trickle extends.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

use crate::entrance::forwarded::ForwardFault;
use crate::entrance::hello::{HelloFault, HelloReader};

/// How long a caller has for its whole ClientHello, from `accept` on. TLS clients send it with the
/// first packet after the TCP handshake; ten seconds leave room for three retransmissions of it.
pub(crate) const PEEK_DEADLINE: Duration = Duration::from_secs(10);

/// What the caller said, and to whom.
#[derive(Debug)]
pub(crate) struct Peeked {
    /// The server name as sent, ASCII, not otherwise checked.
    pub(crate) server_name: String,
    /// Every byte read so far: the ClientHello and whatever came with it.
    pub(crate) raw: Vec<u8>,
}

/// Why no ClientHello could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeekError {
    /// The deadline passed; the caller may have been sending all the time, slowly.
    #[error("no whole ClientHello within {} s", PEEK_DEADLINE.as_secs())]
    TooSlow,
    /// The caller closed first. Port scans and TCP health checks do.
    #[error("the caller closed before its ClientHello was whole")]
    Closed,
    /// The socket failed.
    #[error("the caller's socket failed")]
    Socket(#[source] io::Error),
    /// What came is not what a TLS client sends.
    #[error(transparent)]
    Hello(#[from] HelloFault),
    /// What came is not what a load balancer sends first.
    #[error(transparent)]
    Forwarded(#[from] ForwardFault),
}

impl PeekError {
    /// The word for metrics and logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::TooSlow => "HelloTimeout",
            Self::Closed => "ClosedBeforeHello",
            Self::Socket(_) => "SocketFailed",
            Self::Hello(fault) => fault.reason(),
            Self::Forwarded(fault) => fault.reason(),
        }
    }
}

/// Reads until the server name is known. Bytes behind the hello are kept with it, once and in order.
/// `arrived` is when the caller was accepted: the deadline counts from there.
///
/// # Errors
///
/// See [`PeekError`]; the caller is to be refused.
pub(crate) async fn peek<R: AsyncRead + Unpin>(
    caller: &mut R,
    arrived: Instant,
) -> Result<Peeked, PeekError> {
    timeout_at(arrived + PEEK_DEADLINE, read_hello(caller))
        .await
        .unwrap_or(Err(PeekError::TooSlow))
}

/// The server name alone, if it is there; see the crate's root.
pub async fn peek_server_name<R: AsyncRead + Unpin>(caller: &mut R) -> Option<String> {
    let peeked = peek(caller, Instant::now()).await;
    peeked.ok().map(|peeked| peeked.server_name)
}

async fn read_hello<R: AsyncRead + Unpin>(caller: &mut R) -> Result<Peeked, PeekError> {
    let mut reader = HelloReader::default();
    loop {
        let read = caller
            .read_buf(&mut reader.buffer())
            .await
            .map_err(PeekError::Socket)?;
        if read == 0 {
            return Err(PeekError::Closed);
        }
        if let Some(server_name) = reader.advance()? {
            return Ok(Peeked {
                server_name,
                raw: reader.into_raw(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::time::interval;

    use super::*;
    use crate::entrance::hello::tests::client_hello;

    #[tokio::test(start_paused = true)]
    async fn trickle_of_one_byte_a_second_ends_at_the_absolute_deadline() {
        let (mut caller, mut relay) = tokio::io::duplex(64);
        let hello = client_hello("a.b.tunnels.example");
        let started = Instant::now();
        let trickle = async {
            let mut second = interval(Duration::from_secs(1));
            for byte in hello {
                second.tick().await;
                if caller.write_all(&[byte]).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = trickle => panic!("the hello must not be read to its end"),
            peeked = peek(&mut relay, started) => assert!(matches!(peeked, Err(PeekError::TooSlow))),
        }
        assert_eq!(started.elapsed(), PEEK_DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_at_the_deadline_and_an_early_close_at_once() {
        let (caller, mut relay) = tokio::io::duplex(64);
        let started = Instant::now();
        let silent = peek(&mut relay, started).await;
        assert!(matches!(silent, Err(PeekError::TooSlow)));
        assert_eq!(started.elapsed(), PEEK_DEADLINE);
        drop(caller);
        let closed = peek(&mut relay, Instant::now()).await;
        assert!(matches!(closed, Err(PeekError::Closed)));
        assert_eq!(started.elapsed(), PEEK_DEADLINE);
    }

    #[tokio::test]
    async fn bytes_behind_the_hello_come_along_once_and_in_order() {
        let (mut caller, mut relay) = tokio::io::duplex(64 * 1024);
        let mut sent = client_hello("a.b.tunnels.example");
        sent.extend_from_slice(b"\x14\x03\x03\x00\x01\x01early data");
        caller.write_all(&sent).await.unwrap();
        let peeked = peek(&mut relay, Instant::now()).await.unwrap();
        assert_eq!(peeked.server_name, "a.b.tunnels.example");
        caller.write_all(b"later").await.unwrap();
        drop(caller);
        let mut all = peeked.raw;
        relay.read_to_end(&mut all).await.unwrap();
        sent.extend_from_slice(b"later");
        assert_eq!(all, sent);
    }
}

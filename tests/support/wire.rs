//! HTTP/1.1 as bytes, for what no library would send or show.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::certificates::Papers;
use super::path::Site;
use super::{caller, wait};

/// One side of a connection, read and written by hand.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    unread: Vec<u8>,
}

impl Wire<TlsStream<TcpStream>> {
    /// A caller's connection, agreed to be HTTP/1.1.
    pub(crate) async fn open(site: &Site, papers: &Papers) -> Self {
        let stream = caller::board(site, Some(papers), &["http/1.1"]).await;
        Self::new(stream.expect("the handshake"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Over any stream.
    pub(crate) const fn new(stream: S) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// The stream, once everything that came has been read.
    pub(crate) fn into_stream(self) -> S {
        assert!(self.unread.is_empty(), "bytes were left: {:?}", self.unread);
        self.stream
    }

    /// Writes all of it at once.
    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]> + Send + Sync) {
        let said = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        };
        wait::within("bytes to leave", said)
            .await
            .expect("the other side still reads");
    }

    /// Reads a head up to its blank line; `None` when the other side ends before it began.
    pub(crate) async fn try_head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self
                .unread
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                let head = self.unread.drain(..end + 4).collect();
                return Some(String::from_utf8(head).expect("a head in UTF-8"));
            }
            if !self.more().await {
                assert!(
                    self.unread.is_empty(),
                    "the other side ended within a head: {:?}",
                    self.unread
                );
                return None;
            }
        }
    }

    /// Reads a head, which must come.
    pub(crate) async fn head(&mut self) -> String {
        wait::within("a head", self.try_head())
            .await
            .expect("a head before the end")
    }

    /// Reads exactly so many bytes.
    pub(crate) async fn take(&mut self, length: usize) -> Vec<u8> {
        let filled = async {
            while self.unread.len() < length {
                assert!(
                    self.more().await,
                    "the other side ended after {:?}",
                    self.unread
                );
            }
        };
        wait::within("bytes", filled).await;
        self.unread.drain(..length).collect()
    }

    /// Reads an answer's head and its body of the length that it states.
    pub(crate) async fn answer(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = values(&head, "content-length")
            .first()
            .map_or(0, |text| text.parse().expect("a length"));
        let body = self.take(length).await;
        (head, String::from_utf8(body).expect("a body in UTF-8"))
    }

    /// Reads until the other side ends, in whatever way it ends.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let ended = async { while self.more().await {} };
        wait::within("the end of a connection", ended).await;
        std::mem::take(&mut self.unread)
    }

    /// Whether nothing comes for a moment. It cannot fail when nothing was sent, however slow the machine.
    pub(crate) async fn is_silent(&mut self, moment: std::time::Duration) -> bool {
        self.unread.is_empty() && tokio::time::timeout(moment, self.more()).await.is_err()
    }

    /// Ends our half.
    pub(crate) async fn finish(&mut self) {
        // The other side may be gone already.
        drop(wait::within("our half to end", self.stream.shutdown()).await);
    }

    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.unread).await, Ok(1..))
    }
}

/// The status code of an answer's head.
pub(crate) fn status(head: &str) -> u16 {
    head.split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .expect("a status line")
}

/// All values of a header in a head, in order.
pub(crate) fn values<'head>(head: &'head str, name: &str) -> Vec<&'head str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}

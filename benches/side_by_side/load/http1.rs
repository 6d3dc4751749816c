//! A caller's HTTP/1.1 connection: one request at a time, bodies read and thrown away.

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::papers::ENTRANCE;
use crate::tls::Connector;
use crate::way::{Line, Way};

/// Room for reading where bodies are large.
const BULK: usize = 128 * 1024;
/// Room for reading otherwise.
const HEAD: usize = 4 * 1024;

/// A connection.
pub(super) struct Http1 {
    line: Line,
    buffer: BytesMut,
    room: usize,
}

/// What an answer's head says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// The status code.
    pub(super) status: u16,
    /// The body's length, `None` when it comes in chunks.
    pub(super) length: Option<u64>,
}

/// A request without a body, as kubectl's would look.
pub(super) fn request(target: &str, more: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {ENTRANCE}\r\nUser-Agent: kubectl/v1.35.0 (linux/amd64)\r\n\
         Accept: application/json\r\n{more}\r\n"
    )
    .into_bytes()
}

/// The head of a request with a body of that length.
pub(super) fn post(target: &str, length: u64) -> Vec<u8> {
    format!(
        "POST {target} HTTP/1.1\r\nHost: {ENTRANCE}\r\nUser-Agent: kubectl/v1.35.0 (linux/amd64)\r\n\
         Accept: application/json\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes()
}

impl Http1 {
    /// A new connection.
    pub(super) async fn connect(
        way: &Way,
        connector: &Connector,
        bulk: bool,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            line: way.connect(connector).await?,
            buffer: BytesMut::new(),
            room: if bulk { BULK } else { HEAD },
        })
    }

    /// Sends a request and reads the answer's head.
    pub(super) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Head> {
        self.line.write_all(request).await?;
        self.line.flush().await?;
        loop {
            let end = self
                .buffer
                .windows(4)
                .position(|found| found == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.buffer.split_to(end + 4);
                return parse(&head);
            }
            self.read().await.context("instead of an answer")?;
        }
    }

    /// Reads a request's whole answer, which must be a good one. Answers its body's length.
    pub(super) async fn get(&mut self, request: &[u8]) -> anyhow::Result<u64> {
        let head = self.ask(request).await?;
        ensure!(head.status == 200, "status {}", head.status);
        let Some(length) = head.length else {
            return self.skip_chunks().await;
        };
        let mut left = usize::try_from(length)?;
        loop {
            let part = left.min(self.buffer.len());
            self.buffer.advance(part);
            left -= part;
            if left == 0 {
                return Ok(length);
            }
            self.read().await.context("within a body")?;
        }
    }

    /// Sends a head and a body of that length.
    pub(super) async fn send(&mut self, head: &[u8], length: u64) -> anyhow::Result<()> {
        self.line.write_all(head).await?;
        let block = vec![b'.'; BULK];
        let mut left = usize::try_from(length)?;
        while left > 0 {
            let part = block.get(..left).unwrap_or(&block);
            self.line.write_all(part).await.context("within our body")?;
            left -= part.len();
        }
        Ok(self.line.flush().await?)
    }

    /// Reads a request's whole answer, which must be a good one, as text.
    pub(super) async fn read_text(&mut self, request: &[u8]) -> anyhow::Result<String> {
        let head = self.ask(request).await?;
        ensure!(head.status == 200, "status {}", head.status);
        let Some(length) = head.length else {
            return Ok(String::from_utf8(self.chunk().await?.to_vec())?);
        };
        let length = usize::try_from(length)?;
        while self.buffer.len() < length {
            self.read().await.context("within a body")?;
        }
        Ok(String::from_utf8(self.buffer.split_to(length).to_vec())?)
    }

    async fn skip_chunks(&mut self) -> anyhow::Result<u64> {
        let mut length = 0;
        loop {
            let chunk = self.chunk().await?;
            if chunk.is_empty() {
                return Ok(length);
            }
            length += u64::try_from(chunk.len())?;
        }
    }

    /// The next chunk of a body; empty at its end.
    pub(super) async fn chunk(&mut self) -> anyhow::Result<BytesMut> {
        loop {
            let end = self.buffer.windows(2).position(|found| found == b"\r\n");
            if let Some(end) = end {
                let line = self.buffer.split_to(end + 2);
                let size = std::str::from_utf8(&line)?.trim();
                let size = usize::from_str_radix(size, 16).context("a chunk's size")?;
                while self.buffer.len() < size + 2 {
                    self.read().await.context("within a chunk")?;
                }
                let chunk = self.buffer.split_to(size);
                self.buffer.advance(2);
                return Ok(chunk);
            }
            self.read().await.context("instead of a chunk")?;
        }
    }

    /// A byte there and back on an upgraded stream.
    pub(super) async fn echo(&mut self) -> anyhow::Result<()> {
        self.line.write_all(b"?").await?;
        self.line.flush().await?;
        while self.buffer.is_empty() {
            self.read().await?;
        }
        self.buffer.advance(1);
        Ok(())
    }

    /// Throws away what has come of a body. Answers how much it was.
    pub(super) fn skip(&mut self) -> u64 {
        let there = self.buffer.len();
        self.buffer.clear();
        u64::try_from(there).unwrap_or(u64::MAX)
    }

    /// Reads some more.
    pub(super) async fn read(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(self.room);
        let read = self.line.read_buf(&mut self.buffer).await?;
        ensure!(read > 0, "the connection was closed");
        Ok(())
    }

    /// Ends it in good order.
    pub(super) async fn close(mut self) {
        // The other side may have been first.
        drop(self.line.shutdown().await);
    }
}

fn parse(head: &[u8]) -> anyhow::Result<Head> {
    let head = std::str::from_utf8(head)?;
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Ok(Head {
        status: status.context("no status")?,
        length: length.and_then(|(_, value)| value.trim().parse().ok()),
    })
}

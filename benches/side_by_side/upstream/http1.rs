//! The upstream's HTTP/1.1: requests without a body, answered one after the other.

use std::fmt::Write as _;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::asked::{Asked, Rhythm, busy_event, event};
use super::{BLOCK, SMALL, note_written, written};

/// More than any head that a proxy makes of the generator's.
const HEAD: usize = 16 * 1024;

type Stream = TlsStream<TcpStream>;

/// Room for a body that is taken.
const ROOM: usize = 128 * 1024;

/// Answers until the other side closes.
pub(super) async fn serve(mut stream: Stream) -> anyhow::Result<()> {
    let mut buffer = Vec::with_capacity(HEAD);
    let small = small();
    loop {
        let Some(end) = read_head(&mut stream, &mut buffer).await? else {
            return Ok(());
        };
        let head: Vec<u8> = buffer.drain(..end).collect();
        let head = std::str::from_utf8(&head)?;
        let target = head.split(' ').nth(1).unwrap_or_default();
        match Asked::by(target) {
            Asked::Small => stream.write_all(&small).await?,
            Asked::Bytes(bytes) => write_bytes(&mut stream, bytes).await?,
            Asked::Taking => {
                let taken = take(&mut stream, &mut buffer, length(head)?).await?;
                stream.write_all(&text(&taken.to_string())).await?;
            }
            Asked::Written => stream.write_all(&text(&written())).await?,
            Asked::Busy => return busy(stream).await,
            Asked::Watch(rhythm) => return watch(stream, rhythm).await,
            Asked::Echo => return echo(stream, buffer, protocol(head)).await,
        }
        stream.flush().await?;
    }
}

/// The length of the next head in the buffer, `None` when the other side closed.
async fn read_head(stream: &mut Stream, buffer: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
    loop {
        if let Some(at) = buffer.windows(4).position(|found| found == b"\r\n\r\n") {
            return Ok(Some(at + 4));
        }
        anyhow::ensure!(buffer.len() < HEAD, "a head without an end");
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn small() -> Vec<u8> {
    let mut answer = head(SMALL);
    answer.extend(BLOCK.iter().take(SMALL));
    answer
}

fn text(body: &str) -> Vec<u8> {
    let mut answer = head(body.len());
    answer.extend_from_slice(body.as_bytes());
    answer
}

fn head(length: impl std::fmt::Display) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n")
        .into_bytes()
}

async fn write_bytes(stream: &mut Stream, bytes: u64) -> anyhow::Result<()> {
    stream.write_all(&head(bytes)).await?;
    let mut left = usize::try_from(bytes)?;
    while left > 0 {
        let block = BLOCK.get(..left).unwrap_or(&BLOCK);
        stream.write_all(block).await?;
        note_written(block.len());
        left -= block.len();
    }
    Ok(())
}

/// The length of a request's body. The generator states it, and whoever is between passes it on.
fn length(head: &str) -> anyhow::Result<usize> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let stated = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, stated) = stated.context("a body of unknown length")?;
    Ok(stated.trim().parse()?)
}

/// Reads a body and throws it away. Answers how much there was.
async fn take(stream: &mut Stream, early: &mut Vec<u8>, length: usize) -> anyhow::Result<usize> {
    let mut taken = early.len().min(length);
    early.drain(..taken);
    let mut bytes = vec![0; ROOM.min(length)];
    while taken < length {
        let room = bytes.len().min(length - taken);
        let read = stream
            .read(bytes.get_mut(..room).unwrap_or_default())
            .await?;
        anyhow::ensure!(read > 0, "a body cut off after {taken} bytes");
        taken += read;
    }
    Ok(taken)
}

async fn begin_chunks(stream: &mut Stream) -> anyhow::Result<()> {
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await?;
    Ok(stream.flush().await?)
}

/// Writes events as fast as they are taken. A caller who leaves is noticed by the next write.
async fn busy(mut stream: Stream) -> anyhow::Result<()> {
    begin_chunks(&mut stream).await?;
    loop {
        let event = busy_event();
        write_event(&mut stream, &event).await?;
        note_written(event.len());
    }
}

async fn watch(mut stream: Stream, rhythm: Rhythm) -> anyhow::Result<()> {
    begin_chunks(&mut stream).await?;
    if rhythm.first {
        write_event(&mut stream, &event()).await?;
    }
    let mut more = [0; 16];
    loop {
        tokio::select! {
            read = stream.read(&mut more) => {
                if read? == 0 {
                    return Ok(());
                }
            }
            () = rhythm.next() => write_event(&mut stream, &event()).await?,
        }
    }
}

async fn write_event(stream: &mut Stream, event: &str) -> anyhow::Result<()> {
    let mut chunk = String::with_capacity(event.len() + 16);
    write!(chunk, "{:x}\r\n{event}\r\n", event.len())?;
    stream.write_all(chunk.as_bytes()).await?;
    Ok(stream.flush().await?)
}

/// What the request wants to switch to.
fn protocol(head: &str) -> String {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let upgrade = lines.find(|(name, _)| name.eq_ignore_ascii_case("upgrade"));
    upgrade.map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

async fn echo(mut stream: Stream, early: Vec<u8>, protocol: String) -> anyhow::Result<()> {
    let switch = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
    );
    stream.write_all(switch.as_bytes()).await?;
    stream.write_all(&early).await?;
    stream.flush().await?;
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = stream.read(&mut bytes).await?;
        let Some(read) = bytes.get(..read).filter(|read| !read.is_empty()) else {
            return Ok(());
        };
        stream.write_all(read).await?;
        stream.flush().await?;
    }
}

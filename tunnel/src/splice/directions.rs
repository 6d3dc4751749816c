//! The two directions of a caller's connection.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::Shutdown;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::coop::consume_budget;
use tokio::time::sleep;

use super::Break;
use super::buffer::Buffer;
use crate::stream::{StreamReader, StreamReset, StreamWriter};
use crate::wire::AbortCode;

/// How long a caller that has its whole answer may go on sending what nobody reads. Closing the
/// socket earlier would make the kernel reset it, and the answer's last bytes could be lost on
/// their way (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(5);

/// Moves the caller's bytes into the tunnel until its end of file. `answered` is notified when the
/// other direction has ended.
pub(super) async fn caller_to_tunnel(
    caller: &TcpStream,
    writer: &mut StreamWriter,
    moved: &mut u64,
    answered: &Notify,
) -> Result<(), Break> {
    let mut buffer = Buffer::empty();
    loop {
        let count = match read_caller_unless_stopped(caller, writer, &mut buffer).await? {
            Heard::Bytes(count) => count,
            Heard::End => {
                return writer
                    .shutdown()
                    .await
                    .map_err(|error| stream_broken(&error));
            }
            Heard::NotReading => return discard_rest(caller, answered).await,
        };
        if let Err(error) = writer.write_all(buffer.filled()).await {
            return match stream_broken(&error) {
                Break::ByExit(AbortCode::NotReading) => discard_rest(caller, answered).await,
                broken => Err(broken),
            };
        }
        *moved += u64::try_from(count).unwrap_or(u64::MAX);
    }
}

/// What a caller's direction brought.
enum Heard {
    Bytes(usize),
    End,
    /// The exit reads no more, and nothing is wrong.
    NotReading,
}

async fn read_caller_unless_stopped(
    caller: &TcpStream,
    writer: &mut StreamWriter,
    buffer: &mut Buffer,
) -> Result<Heard, Break> {
    poll_fn(|cx| {
        loop {
            if caller
                .poll_read_ready(cx)
                .map_err(Break::ByCaller)?
                .is_pending()
            {
                buffer.release();
                return match ready!(writer.poll_stopped(cx)) {
                    AbortCode::NotReading => Poll::Ready(Ok(Heard::NotReading)),
                    AbortCode::SessionLost => Poll::Ready(Err(Break::TunnelLost)),
                    code => Poll::Ready(Err(Break::ByExit(code))),
                };
            }
            match read_caller(caller, buffer) {
                Ok(0) => return Poll::Ready(Ok(Heard::End)),
                Ok(count) => return Poll::Ready(Ok(Heard::Bytes(count))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(Break::ByCaller(error))),
            }
        }
    })
    .await
}

/// One read. A read that does not fill its room has emptied the socket: its readiness is taken back
/// at once, which saves the read that would only say so.
fn read_caller(caller: &TcpStream, buffer: &mut Buffer) -> io::Result<usize> {
    let vacant = buffer.vacant();
    let room = vacant.capacity();
    let mut short = None;
    let read = caller.try_io(Interest::READABLE, || {
        let count = caller.try_read_buf(vacant)?;
        if (1..room).contains(&count) {
            short = Some(count);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(count)
    });
    let count = short.map_or(read, Ok)?;
    buffer.grow_after(count);
    Ok(count)
}

/// Reads on and throws away until the caller's end of file, or until it has had time to take the
/// whole answer.
async fn discard_rest(caller: &TcpStream, answered: &Notify) -> Result<(), Break> {
    let discarding = async {
        let mut buffer = Buffer::empty();
        loop {
            caller.readable().await?;
            match read_caller(caller, &mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => buffer.release(),
                Err(error) => return Err(error),
            }
        }
    };
    let lingering = async {
        answered.notified().await;
        sleep(LINGER).await;
    };
    tokio::select! {
        ended = discarding => ended.map_err(Break::ByCaller),
        () = lingering => Ok(()),
    }
}

/// Moves the tunnel's bytes to the caller until their end.
pub(super) async fn tunnel_to_caller(
    reader: &mut StreamReader,
    caller: &TcpStream,
    moved: &mut u64,
) -> Result<(), Break> {
    let mut buffer = Buffer::empty();
    loop {
        // Neither the tunnel's stream nor a write that succeeds counts against the task's share of the
        // thread; without this one download could keep everyone else off it.
        consume_budget().await;
        let count = read_tunnel(reader, &mut buffer)
            .await
            .map_err(|error| stream_broken(&error))?;
        if count == 0 {
            return end_towards(caller).map_err(Break::ByCaller);
        }
        let mut rest = buffer.filled();
        while !rest.is_empty() {
            let written = write_caller_unless_reset(caller, reader, rest).await?;
            *moved += u64::try_from(written).unwrap_or(u64::MAX);
            rest = rest.split_at_checked(written).map_or(&[], |(_, rest)| rest);
        }
    }
}

async fn read_tunnel(reader: &mut StreamReader, buffer: &mut Buffer) -> io::Result<usize> {
    let count = poll_fn(|cx| {
        // The future keeps nothing between polls, so the buffer may go while it waits.
        let polled = pin!(reader.read_buf(buffer.vacant())).poll(cx);
        if polled.is_pending() {
            buffer.release();
        }
        polled
    })
    .await?;
    buffer.grow_after(count);
    Ok(count)
}

/// Writes what the caller's socket takes. A caller that reads nothing must not hide that the exit
/// broke off: that is watched meanwhile.
async fn write_caller_unless_reset(
    caller: &TcpStream,
    reader: &mut StreamReader,
    bytes: &[u8],
) -> Result<usize, Break> {
    poll_fn(|cx| {
        loop {
            match caller.try_write(bytes) {
                Ok(written) => return Poll::Ready(Ok(written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(Break::ByCaller(error))),
            }
            if let Poll::Ready(code) = reader.poll_reset(cx) {
                return Poll::Ready(Err(broken_with(code)));
            }
            ready!(caller.poll_write_ready(cx)).map_err(Break::ByCaller)?;
        }
    })
    .await
}

/// Sends FIN. A socket that is no longer connected has been told already.
fn end_towards(caller: &TcpStream) -> io::Result<()> {
    match SockRef::from(caller).shutdown(Shutdown::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        ended => ended,
    }
}

/// Resolves when the caller's connection was reset, even while nothing is read from or written to
/// it: a direction may have ended, or wait for the exit.
pub(super) async fn broken_caller(caller: &TcpStream) -> io::Error {
    if let Err(error) = caller.ready(Interest::ERROR).await {
        return error;
    }
    match caller.take_error() {
        Ok(Some(error)) | Err(error) => error,
        // Whoever reads or writes has met it already.
        Ok(None) => pending().await,
    }
}

/// What an error of the stream means.
fn stream_broken(error: &io::Error) -> Break {
    StreamReset::within(error).map_or(Break::TunnelLost, broken_with)
}

const fn broken_with(code: AbortCode) -> Break {
    match code {
        AbortCode::SessionLost => Break::TunnelLost,
        code => Break::ByExit(code),
    }
}

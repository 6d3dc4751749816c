//! The two directions of a caller's connection.

use std::future::{pending, poll_fn};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::coop::consume_budget;
use tokio::time::sleep;

use super::{Break, Patience};
use crate::stream::{StreamReader, StreamReset, StreamWriter};
use crate::wire::AbortCode;

/// Room for one read from a caller: an upload then pays one system call for 64 KiB. It is on the stack,
/// where only what a read fills is ever touched: a connection holds none of it, and the transport's
/// copy is of exactly what came.
const ROOM: usize = 64 << 10;

/// Pieces of the tunnel's stream that go to a caller in one system call. A piece is what one datagram
/// brought: 45 KiB a call on Ethernet, 200 KiB where datagrams are jumbo. The peer may send anew what was
/// taken out of the transport, so this is also what a caller that reads nothing costs beyond its
/// window; pieces that waited long were merged, and the worst is a second window
/// ([`STREAM_WINDOW`](crate::quic::limits::STREAM_WINDOW)). Sixteen cost more system calls, 48 save none.
const CHUNKS: usize = 32;

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
    match pass_all_to_tunnel(caller, writer, moved).await {
        // Nothing is wrong: the exit has its question and reads no more.
        Err(Break::ByExit(AbortCode::NotReading)) => discard_rest(caller, answered).await,
        ended => ended,
    }
}

async fn pass_all_to_tunnel(
    caller: &TcpStream,
    writer: &mut StreamWriter,
    moved: &mut u64,
) -> Result<(), Break> {
    loop {
        let Some((written, rest)) = pass_to_tunnel(caller, writer).await? else {
            let ended = writer.shutdown().await;
            return ended.map_err(|error| stream_broken(&error));
        };
        *moved += length(written);
        if !rest.is_empty() {
            let written = writer.write_all(&rest).await;
            written.map_err(|error| stream_broken(&error))?;
            *moved += length(rest.len());
        }
    }
}

/// Reads once from the caller and writes what came, as far as the tunnel takes it: so much was
/// written, and that is left. `None` at the caller's end of file.
async fn pass_to_tunnel(
    caller: &TcpStream,
    writer: &mut StreamWriter,
) -> Result<Option<(usize, Bytes)>, Break> {
    poll_fn(|cx| {
        loop {
            let ready = caller.poll_read_ready(cx);
            if ready.map_err(Break::ByCaller)?.is_pending() {
                return Poll::Ready(Err(broken_with(ready!(writer.poll_stopped(cx)))));
            }
            let mut room = [MaybeUninit::uninit(); ROOM];
            let mut room = ReadBuf::uninit(&mut room);
            match read_caller(caller, &mut room) {
                Ok(0) => return Poll::Ready(Ok(None)),
                Ok(_) => {
                    let passed = write_tunnel(writer, cx, room.filled());
                    return Poll::Ready(passed.map(Some));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(Break::ByCaller(error))),
            }
        }
    })
    .await
}

/// One write: so much was taken, and that is left.
fn write_tunnel(
    writer: &mut StreamWriter,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Result<(usize, Bytes), Break> {
    let written = match Pin::new(writer).poll_write(cx, bytes) {
        Poll::Ready(written) => written.map_err(|error| stream_broken(&error))?,
        Poll::Pending => 0,
    };
    let rest = bytes.get(written..).unwrap_or_default();
    Ok((written, Bytes::copy_from_slice(rest)))
}

/// One read. A read that does not fill its room has emptied the socket: its readiness is taken back
/// at once, which saves the read that would only say so.
fn read_caller(caller: &TcpStream, room: &mut ReadBuf<'_>) -> io::Result<usize> {
    unless_short(caller, Interest::READABLE, room.remaining(), || {
        caller.try_read_buf(room)
    })
}

/// Reads or writes once. What moves less than it could have, though something, leaves nothing more to
/// read or write: the readiness is taken back at once, which saves the call that would only say so.
fn unless_short(
    caller: &TcpStream,
    interest: Interest,
    room: usize,
    moving: impl FnOnce() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut short = None;
    let moved = caller.try_io(interest, || {
        let count = moving()?;
        if (1..room).contains(&count) {
            short = Some(count);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(count)
    });
    short.map_or(moved, Ok)
}

/// Reads on and throws away until the caller's end of file, or until it has had time to take the
/// whole answer.
async fn discard_rest(caller: &TcpStream, answered: &Notify) -> Result<(), Break> {
    let discarding = async {
        loop {
            caller.readable().await?;
            let mut room = [MaybeUninit::uninit(); ROOM];
            match read_caller(caller, &mut ReadBuf::uninit(&mut room)) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Ok(_) | Err(_) => {}
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
    patience: &Patience<'_>,
) -> Result<(), Break> {
    loop {
        // Neither the tunnel's stream nor a write that succeeds counts against the task's share of the
        // thread; without this one download could keep everyone else off it.
        consume_budget().await;
        let Some((written, mut rest)) = pass_to_caller(reader, caller).await? else {
            return end_towards(caller).map_err(Break::ByCaller);
        };
        *moved += length(written);
        while !rest.is_empty() {
            let written = tokio::select! {
                biased;
                written = write_caller_unless_reset(caller, reader, &rest) => written?,
                () = patience() => return Err(Break::MadeWay),
            };
            *moved += length(written);
            rest.advance(written);
        }
    }
}

/// Reads what the tunnel has and writes it to the caller, as far as its socket takes it: so much was
/// written, and that is left. `None` at the tunnel's end of file.
async fn pass_to_caller(
    reader: &mut StreamReader,
    caller: &TcpStream,
) -> Result<Option<(usize, Bytes)>, Break> {
    poll_fn(|cx| {
        let mut chunks = [const { Bytes::new() }; CHUNKS];
        let read = ready!(reader.poll_read_chunks(cx, &mut chunks));
        let count = read.map_err(|error| stream_broken(&error))?;
        let chunks = chunks.get(..count).unwrap_or_default();
        if chunks.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let written = match write_caller(caller, chunks) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            written => written.map_err(Break::ByCaller)?,
        };
        Poll::Ready(Ok(Some((written, rest_of(chunks, written)))))
    })
    .await
}

/// One write of as many pieces as the caller's socket takes.
fn write_caller(caller: &TcpStream, chunks: &[Bytes]) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); CHUNKS];
    let mut all = 0;
    for (slice, chunk) in slices.iter_mut().zip(chunks) {
        *slice = IoSlice::new(chunk);
        all += chunk.len();
    }
    let slices = slices.get(..chunks.len()).unwrap_or_default();
    unless_short(caller, Interest::WRITABLE, all, || {
        caller.try_write_vectored(slices)
    })
}

/// What is left behind the first `written` bytes, in one piece. A chunk keeps the whole batch of
/// datagrams alive with which it came; a caller that reads slowly is worth a copy, and then holds no
/// more than its own bytes.
pub(super) fn rest_of(chunks: &[Bytes], mut written: usize) -> Bytes {
    let all = chunks.iter().map(Bytes::len).sum::<usize>();
    let mut rest = BytesMut::with_capacity(all.saturating_sub(written));
    for chunk in chunks {
        let skipped = written.min(chunk.len());
        written -= skipped;
        rest.extend_from_slice(chunk.get(skipped..).unwrap_or_default());
    }
    rest.freeze()
}

/// Writes what the caller's socket takes. A caller that reads nothing must not hide that the exit
/// broke off: that is watched meanwhile.
async fn write_caller_unless_reset(
    caller: &TcpStream,
    reader: &mut StreamReader,
    bytes: &Bytes,
) -> Result<usize, Break> {
    poll_fn(|cx| {
        loop {
            match write_caller(caller, std::slice::from_ref(bytes)) {
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

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
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

//! The upstream's HTTP/2. Small answers are made where the request is read; the others have a task each.

use std::future::poll_fn;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::Response;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::server::TlsStream;

use super::asked::{Asked, Rhythm, busy_event, event};
use super::{BLOCK, SMALL, note_written, written};

/// Streams on a connection: what kube-apiserver allows.
const STREAMS: u32 = 100;

/// What of a request's body may be on its way: as kube-apiserver has it.
const STREAM_WINDOW: u32 = 256 * 1024;

/// What of an answer may wait for the connection.
const SEND_BUFFER: usize = 1 << 20;

/// Answers until the other side closes.
pub(super) async fn serve(stream: TlsStream<TcpStream>) -> anyhow::Result<()> {
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(STREAMS)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW * STREAMS)
        .handshake::<_, Bytes>(stream)
        .await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        let target = request.uri().path_and_query();
        match Asked::by(target.map_or("", http::uri::PathAndQuery::as_str)) {
            Asked::Bytes(bytes) => {
                let body = respond.send_response(answer(Some(bytes)), false)?;
                drop(Handle::current().spawn(write_bytes(body, bytes)));
            }
            Asked::Watch(rhythm) => {
                drop(Handle::current().spawn(watch(respond, rhythm)));
            }
            Asked::Busy => drop(Handle::current().spawn(busy(respond))),
            Asked::Taking => {
                drop(Handle::current().spawn(take(request.into_body(), respond)));
            }
            Asked::Written => tell(&mut respond, written())?,
            Asked::Small | Asked::Echo => {
                let length = u64::try_from(SMALL)?;
                let mut body = respond.send_response(answer(Some(length)), false)?;
                body.send_data(block(SMALL), true)?;
            }
        }
    }
    Ok(())
}

fn answer(length: Option<u64>) -> Response<()> {
    let mut answer = Response::new(());
    let json = http::HeaderValue::from_static("application/json");
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    if let Some(length) = length {
        answer
            .headers_mut()
            .insert(http::header::CONTENT_LENGTH, length.into());
    }
    answer
}

fn block(length: usize) -> Bytes {
    Bytes::from_static(BLOCK.get(..length).unwrap_or(&BLOCK))
}

async fn write_bytes(mut body: SendStream<Bytes>, bytes: u64) -> anyhow::Result<()> {
    let mut left = usize::try_from(bytes)?;
    while left > 0 {
        body.reserve_capacity(left.min(BLOCK.len()));
        let Some(granted) = poll_fn(|cx| body.poll_capacity(cx)).await else {
            return Ok(());
        };
        let part = block(granted?.min(left));
        left -= part.len();
        note_written(part.len());
        body.send_data(part, left == 0)?;
    }
    Ok(())
}

/// Reads a body and throws it away, then answers how much there was.
async fn take(mut body: RecvStream, mut respond: SendResponse<Bytes>) -> anyhow::Result<()> {
    let mut taken = 0;
    while let Some(part) = body.data().await {
        let part = part?.len();
        taken += part;
        body.flow_control().release_capacity(part)?;
    }
    tell(&mut respond, taken.to_string())
}

fn tell(respond: &mut SendResponse<Bytes>, text: String) -> anyhow::Result<()> {
    let length = u64::try_from(text.len())?;
    let mut body = respond.send_response(answer(Some(length)), false)?;
    Ok(body.send_data(text.into(), true)?)
}

/// Writes events as fast as they are taken.
async fn busy(mut respond: SendResponse<Bytes>) -> anyhow::Result<()> {
    let mut body = respond.send_response(answer(None), false)?;
    loop {
        let mut event = Bytes::from(busy_event());
        while !event.is_empty() {
            body.reserve_capacity(event.len());
            let Some(granted) = poll_fn(|cx| body.poll_capacity(cx)).await else {
                return Ok(());
            };
            let part = event.split_to(granted?.min(event.len()));
            note_written(part.len());
            body.send_data(part, false)?;
        }
    }
}

async fn watch(mut respond: SendResponse<Bytes>, rhythm: Rhythm) -> anyhow::Result<()> {
    let mut body = respond.send_response(answer(None), false)?;
    if rhythm.first {
        body.send_data(Bytes::from(event()), false)?;
    }
    loop {
        tokio::select! {
            _reset = poll_fn(|cx| body.poll_reset(cx)) => return Ok(()),
            () = rhythm.next() => body.send_data(Bytes::from(event()), false)?,
        }
    }
}

//! HTTP/2 as frames, for what no library would send.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::wait;

/// What opens a connection: RFC 9113 §3.4, and settings that change nothing.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// Types of frames, RFC 9113 §6.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const GOAWAY: u8 = 7;

/// Flags of HEADERS and DATA.
pub(crate) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A field as it is sent: name and value, any bytes.
pub(crate) type Field<'field> = (&'field [u8], &'field [u8]);

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Its type.
    pub(crate) kind: u8,
    /// The stream it is about; 0: the connection.
    pub(crate) stream: u32,
}

/// A connection of a caller.
pub(crate) struct Frames(TlsStream<TcpStream>);

impl Frames {
    /// On a TLS connection where HTTP/2 was agreed.
    pub(crate) async fn over(mut stream: TlsStream<TcpStream>) -> Self {
        stream.write_all(PREFACE).await.expect("it reads");
        Self(stream)
    }

    /// Sends HEADERS with these fields as they are, and `flags` besides that they are all.
    pub(crate) async fn send_headers(&mut self, stream: u32, flags: u8, fields: &[Field<'_>]) {
        let block: Vec<u8> = fields.iter().flat_map(literal).collect();
        self.send(HEADERS, flags | END_HEADERS, stream, &block)
            .await;
    }

    /// Sends a frame. The other side may have ended already.
    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("it fits").to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        let sent = async {
            self.0.write_all(&[&head[..], payload].concat()).await?;
            self.0.flush().await
        };
        drop(wait::within("a frame to leave", sent).await);
    }

    /// The next frame; `None` at the end, in whatever way it ends.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let [high, middle, low, kind, _flags, stream @ ..] = head;
            let length = u32::from_be_bytes([0, high, middle, low]);
            let mut payload = vec![0; usize::try_from(length).expect("it fits")];
            self.0.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes(stream);
            Some(Frame { kind, stream })
        };
        wait::within("a frame", read).await
    }

    /// Waits for what becomes of a stream: its first HEADERS, its reset, or `None` with the connection's end.
    pub(crate) async fn outcome(&mut self, stream: u32) -> Option<u8> {
        loop {
            let frame = self.next().await?;
            match frame.kind {
                GOAWAY => return None,
                HEADERS | RST_STREAM if frame.stream == stream => return Some(frame.kind),
                _ => {}
            }
        }
    }
}

/// HPACK without its table and without Huffman's code (RFC 7541 §6.2.2).
fn literal((name, value): &Field<'_>) -> Vec<u8> {
    [&[0], &text(name)[..], &text(value)].concat()
}

fn text(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("short");
    assert!(length < 127, "longer lengths have another form");
    [&[length], bytes].concat()
}

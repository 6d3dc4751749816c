//! HTTP/2 as frames, for what no library would send (RFC 9113, RFC 7541).

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::caller;
use super::certificates::Papers;
use super::path::Site;
use super::wait;

/// What a client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types.
pub(crate) const DATA: u8 = 0;
/// See [`DATA`].
pub(crate) const HEADERS: u8 = 1;
/// See [`DATA`].
pub(crate) const RST_STREAM: u8 = 3;
/// See [`DATA`].
pub(crate) const SETTINGS: u8 = 4;
/// See [`DATA`].
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
/// See [`DATA`].
pub(crate) const WINDOW_UPDATE: u8 = 8;
/// See [`DATA`].
pub(crate) const CONTINUATION: u8 = 9;

/// Flags of frames.
pub(crate) const END_STREAM: u8 = 1;
/// See [`END_STREAM`].
pub(crate) const END_HEADERS: u8 = 4;

/// The setting of a stream's first window.
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// What a server calls an attack.
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame's length");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A literal without Huffman coding, its length in the form of RFC 7541 §5.1.
pub(crate) fn literal(text: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    match u8::try_from(text.len()) {
        Ok(short) if short < 127 => written.push(short),
        _ => {
            written.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                written.push(u8::try_from(rest % 128 + 128).expect("seven bits and a flag"));
                rest /= 128;
            }
            written.push(u8::try_from(rest).expect("seven bits"));
        }
    }
    written.extend(text);
    written
}

/// The header block of a GET, from the static table but for path and authority.
pub(crate) fn get(path: &str) -> Vec<u8> {
    request(0x82, path)
}

/// The header block of a POST.
pub(crate) fn post(path: &str) -> Vec<u8> {
    request(0x83, path)
}

fn request(method: u8, path: &str) -> Vec<u8> {
    let mut block = vec![method, 0x87, 0x04];
    block.extend(literal(path.as_bytes()));
    block.push(0x01);
    block.extend(literal(b"harbour.acme.tunnels.test"));
    block
}

/// What the other side has said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    /// The reason of its GOAWAY.
    pub(crate) goaway: Option<u32>,
    /// Streams that it reset.
    pub(crate) resets: usize,
    /// Answers' heads.
    pub(crate) heads: usize,
    /// It has ended the connection.
    pub(crate) ended: bool,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct RawHttp2 {
    write: WriteHalf<TlsStream<TcpStream>>,
    /// Kept as long as nothing is to be read.
    read: Option<ReadHalf<TlsStream<TcpStream>>>,
    said: Arc<Mutex<Said>>,
}

impl RawHttp2 {
    /// Connects, and reads whatever comes.
    pub(crate) async fn open(site: &Site, papers: &Papers) -> Self {
        Self::over(board(site, papers).await).await
    }

    /// The same on a TLS connection that was made before.
    pub(crate) async fn over(stream: TlsStream<TcpStream>) -> Self {
        let mut raw = Self::over_unread(stream).await;
        let (read, said) = (
            raw.read.take().expect("not yet read"),
            Arc::clone(&raw.said),
        );
        tokio::spawn(async move {
            listen(read, &said).await;
            said.lock().ended = true;
        });
        raw
    }

    /// Connects, and never reads.
    pub(crate) async fn open_unread(site: &Site, papers: &Papers) -> Self {
        Self::over_unread(board(site, papers).await).await
    }

    /// The same on a TLS connection that was made before.
    pub(crate) async fn over_unread(stream: TlsStream<TcpStream>) -> Self {
        let (read, write) = split(stream);
        let mut raw = Self {
            write,
            read: Some(read),
            said: Arc::default(),
        };
        let beginning = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        assert!(raw.say(&beginning).await, "it listens at first");
        raw
    }

    /// Writes all of it; answers whether the other side still takes it.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> bool {
        let said = async {
            self.write.write_all(bytes).await?;
            self.write.flush().await
        };
        said.await.is_ok()
    }

    /// Says piece after piece, at most so many, until the other side takes no more; answers how many it took.
    pub(crate) async fn flood(
        &mut self,
        most: usize,
        piece: impl Fn(u32) -> Vec<u8> + Send + Sync,
    ) -> usize {
        let flooding = async {
            for number in 0..most {
                let number_of_piece = u32::try_from(number).expect("a number");
                if self.said().ended || !self.say(&piece(number_of_piece)).await {
                    return number;
                }
            }
            most
        };
        wait::within("the flood to be taken or refused", flooding).await
    }

    /// What the other side has said.
    pub(crate) fn said(&self) -> Said {
        self.said.lock().clone()
    }

    /// Waits until the other side ends it; answers what it has said.
    pub(crate) async fn await_end(&self) -> Said {
        wait::until_async("the end of the attacker's connection", || async {
            let said = self.said();
            said.ended.then_some(said)
        })
        .await
    }
}

async fn board(site: &Site, papers: &Papers) -> TlsStream<TcpStream> {
    caller::board(site, Some(papers), &["h2"])
        .await
        .expect("the handshake")
}

/// A request and its end.
pub(crate) fn taken_back(number: u32, path: &str) -> Vec<u8> {
    let cancel = 8_u32.to_be_bytes();
    let opened = opened(number, &get(path));
    [opened, frame(RST_STREAM, 0, stream(number), &cancel)].concat()
}

/// A request, and a window beyond its maximum, which is an error of the stream (RFC 9113 §6.9.1): the other
/// side has to reset it.
pub(crate) fn to_be_reset(number: u32, path: &str) -> Vec<u8> {
    let most = 0x7fff_ffff_u32.to_be_bytes();
    let opened = opened(number, &get(path));
    [opened, frame(WINDOW_UPDATE, 0, stream(number), &most)].concat()
}

/// A request whose head is a few bytes that stand for many. The first of a connection puts 3,900 bytes into
/// the table; each further byte of a block means them again.
pub(crate) fn bomb(number: u32) -> Vec<u8> {
    let mut block = get("/bomb");
    if number == 0 {
        block.push(0x40);
        block.extend(literal(b"x-bomb"));
        block.extend(literal(&[b'b'; 3900]));
    }
    block.extend([0xbe; 10_000]);
    opened(number, &block)
}

/// A header line of a kilobyte as a block has it.
pub(crate) fn long_field() -> Vec<u8> {
    [&[0x00][..], &literal(b"x-flood"), &literal(&[b'a'; 1000])].concat()
}

/// A whole request without a body.
pub(crate) fn opened(number: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream(number), block)
}

/// The number of the so-manyth stream of a client.
pub(crate) const fn stream(number: u32) -> u32 {
    2 * number + 1
}

async fn listen(mut read: impl AsyncRead + Unpin, said: &Mutex<Said>) {
    let mut head = [0; 9];
    while read.read_exact(&mut head).await.is_ok() {
        let [a, b, c, kind, ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]);
        let mut payload = vec![0; usize::try_from(length).expect("a length")];
        if read.read_exact(&mut payload).await.is_err() {
            return;
        }
        let mut said = said.lock();
        match kind {
            HEADERS => said.heads += 1,
            RST_STREAM => said.resets += 1,
            GOAWAY => {
                let reason = payload[4..8].try_into().expect("four bytes");
                said.goaway = Some(u32::from_be_bytes(reason));
            }
            _ => {}
        }
    }
}

//! Cases on the wire of HTTP/2, frame by frame, with fields that no library would let out.

use std::collections::HashSet;
use std::io;

use proptest::prelude::*;
use proptest::test_runner::TestRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::client::TlsStream;

use super::case::{Case, Field, of, one_in};
use super::show::SHOWN;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Frames of a head; h2 takes few more for one that could have been sent in a single frame.
const MOST_FRAMES: usize = 5;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// HPACK without table and without Huffman coding: literals, never indexed.
fn block(fields: &[Field]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10);
        string(name, &mut block);
        string(value, &mut block);
    }
    block
}

fn string(text: &[u8], block: &mut Vec<u8>) {
    let Some(mut rest) = text.len().checked_sub(127) else {
        block.push(u8::try_from(text.len()).unwrap());
        block.extend_from_slice(text);
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
    block.extend_from_slice(text);
}

/// Writes a case as the frames of one stream; what it can mean is noted in the case.
pub(super) fn write(case: &mut Case, stream: u32, rng: &mut TestRng) -> Vec<u8> {
    case.http2 = true;
    let mut fields = pseudo(case, rng);
    for field in &case.fields {
        fields.push(field.clone());
    }
    // Rare, because most of them end the connection, and what else is on it.
    if one_in(rng, 40) {
        case.odd = true;
        fields.push(odd_field(rng));
    }
    if one_in(rng, 6) {
        announce(case, &mut fields, rng);
    }
    if one_in(rng, 20) {
        let at = rng.random_range(0..fields.len());
        fields.swap(0, at); // a pseudo-header behind a header, or only in another order
    }
    let mut wire = head(&block(&fields), stream, !has_body(case), rng);
    if has_body(case) {
        content(case, stream, &mut wire, rng);
    }
    wire
}

fn has_body(case: &Case) -> bool {
    !case.body.is_empty() || !case.trailers.is_empty()
}

fn pseudo(case: &mut Case, rng: &mut TestRng) -> Vec<Field> {
    let mut fields: Vec<Field> = vec![
        (b":method".to_vec(), case.method.clone()),
        (b":scheme".to_vec(), b"https".to_vec()),
        (b":authority".to_vec(), b"EVIL.example".to_vec()),
        (b":path".to_vec(), case.target.clone()),
    ];
    if !one_in(rng, 10) {
        return fields;
    }
    case.odd = true;
    let odd = |name: &str, value: &str| (name.into(), value.into());
    match rng.random_range(0..12_u8) {
        0 => {
            let path = format!("/case/{}/second", case.number);
            fields.push((b":path".to_vec(), path.into()));
            case.second = fields.last().cloned();
        }
        1 => fields.push(odd(":authority", "EVIL")),
        2 => {
            fields.push(odd(":method", "DELETE"));
            case.second = fields.last().cloned();
        }
        3 => fields.push(odd(":impersonate-user", "EVIL")),
        4 => fields.push(odd(":status", "200")),
        5 => fields[3].1 = b"*".to_vec(),
        6 => fields[3].1.clear(),
        7 => fields[3].1 = [b"EVIL".as_slice(), &case.target].concat(),
        8 => {
            fields[0].1 = b"CONNECT".to_vec();
            case.bodies.clear();
        }
        9 => {
            fields[0].1 = b"CONNECT".to_vec();
            fields.push(odd(":protocol", "websocket"));
            case.bodies.clear();
        }
        10 => fields[1].1 = b"EVIL".to_vec(),
        _ => {
            let at = rng.random_range(0..fields.len());
            fields.remove(at);
        }
    }
    fields
}

/// Fields that HTTP/2 forbids, or that become two in HTTP/1.1.
fn odd_field(rng: &mut TestRng) -> Field {
    let (name, value): (&[u8], &[u8]) = of(
        rng,
        &[
            (b"X-Remote-User", b"EVIL"),
            (b"x-odd", b"a\r\nx-remote-user: EVIL"),
            (b"x-odd", b"a\nimpersonate-user: EVIL"),
            (b"x-odd", b"a\0EVIL"),
            (b"x-odd", b"\rEVIL"),
            (b"x-odd\r\nx-remote-user", b"EVIL"),
            (b"x-odd: a\r\nx-remote-user", b"EVIL"),
            (b"x-remote-user ", b"EVIL"),
            (b" x-remote-user", b"EVIL"),
            (b"x-remote-user:", b"EVIL"),
            (b"", b"EVIL"),
            (b"connection", b"upgrade, EVIL"),
            (b"upgrade", b"EVIL"),
            (b"transfer-encoding", b"chunked"),
            (b"te", b"EVIL"),
            (b"te", b"trailers"),
            (b"host", b"EVIL"),
            (b"x-odd\xe9", b"EVIL"),
            (b"proxy-connection", b"EVIL"),
        ],
    );
    (name.to_vec(), value.to_vec())
}

/// A length that is right, wrong, or there twice.
fn announce(case: &mut Case, fields: &mut Vec<Field>, rng: &mut TestRng) {
    let length = case.body.len();
    let name = || b"content-length".to_vec();
    fields.push((name(), length.to_string().into_bytes()));
    match rng.random_range(0..4_u8) {
        0 => {
            let other = length + rng.random_range(1..9);
            fields.push((name(), other.to_string().into_bytes()));
            case.bodies.clear();
        }
        1 => {
            let other = length + rng.random_range(1..9);
            let last = fields.len() - 1;
            fields[last].1 = other.to_string().into_bytes();
            case.bodies.clear();
        }
        _ => {}
    }
}

/// The block in one frame or cut into several.
fn head(block: &[u8], stream: u32, ends: bool, rng: &mut TestRng) -> Vec<u8> {
    let end = if ends { END_STREAM } else { 0 };
    let most = if one_in(rng, 8) {
        block.len().div_ceil(rng.random_range(2..=MOST_FRAMES))
    } else {
        16_000
    };
    let mut pieces = block.chunks(most).peekable();
    let (mut wire, mut kind, mut flags) = (Vec::new(), HEADERS, end);
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            flags |= END_HEADERS;
        }
        wire.extend(frame(kind, flags, stream, piece));
        (kind, flags) = (CONTINUATION, 0);
    }
    wire
}

fn content(case: &Case, stream: u32, wire: &mut Vec<u8>, rng: &mut TestRng) {
    let mut rest = case.body.as_slice();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rng.random_range(1..=rest.len()));
        let ends = later.is_empty() && case.trailers.is_empty();
        wire.extend(frame(DATA, u8::from(ends), stream, now));
        rest = later;
    }
    if !case.trailers.is_empty() {
        wire.extend(head(&block(&case.trailers), stream, true, rng));
    }
}

/// A caller's connection.
pub(super) struct Line {
    tls: TlsStream<DuplexStream>,
    read: Vec<u8>,
    next_stream: u32,
}

impl Line {
    pub(super) async fn open(mut tls: TlsStream<DuplexStream>) -> io::Result<Self> {
        let mut wire = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        wire.extend(frame(SETTINGS, 0, 0, &[0, 4, 0, 16, 0, 0]));
        wire.extend(frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()));
        tls.write_all(&wire).await?;
        Ok(Self {
            tls,
            read: Vec::new(),
            next_stream: 1,
        })
    }

    /// Puts the cases on streams of their own, all at once, and waits until each has ended; whether the
    /// connection can be used again.
    pub(super) async fn say(&mut self, cases: &mut [(Case, TestRng)]) -> io::Result<bool> {
        let (mut wire, mut open) = (Vec::new(), HashSet::new());
        for (case, rng) in cases {
            let frames = write(case, self.next_stream, rng);
            case.wire = frames[..frames.len().min(SHOWN)].to_vec();
            wire.extend(frames);
            open.insert(self.next_stream);
            self.next_stream += 2;
        }
        // What ends the connection may do so before all is written; why is read all the same.
        if self.tls.write_all(&wire).await.is_ok() {
            self.tls.flush().await?;
        }
        while !open.is_empty() {
            let Some((kind, flags, stream, payload)) = self.frame().await? else {
                return Ok(false);
            };
            let ended = matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0;
            if ended || kind == RST_STREAM {
                open.remove(&stream);
            }
            if matches!(kind, SETTINGS | PING) && flags & ACK == 0 {
                let answer: &[u8] = if kind == PING { &payload } else { &[] };
                self.tls.write_all(&frame(kind, ACK, 0, answer)).await?;
                self.tls.flush().await?;
            }
        }
        Ok(true)
    }

    async fn frame(&mut self) -> io::Result<Option<(u8, u8, u32, Vec<u8>)>> {
        loop {
            if let Some((head, rest)) = self.read.split_first_chunk::<9>() {
                let [a, b, c, kind, flags, stream @ ..] = *head;
                let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
                if let Some(payload) = rest.get(..length) {
                    let payload = payload.to_vec();
                    self.read.drain(..9 + length);
                    return Ok(Some((kind, flags, u32::from_be_bytes(stream), payload)));
                }
            }
            if self.tls.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }
}

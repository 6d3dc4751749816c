//! Cases on the wire of HTTP/1.1, byte by byte, and a caller who reads the answers.

use std::io;

use proptest::prelude::*;
use proptest::test_runner::TestRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::client::TlsStream;

use super::case::{Case, Field, of, one_in};

/// What is done with the connection once a case is on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// One answer, and the connection may go on.
    Answer,
    /// Whatever comes until the end, which a last request asks for.
    ReadToEnd,
    /// Nothing more is said, though more was announced.
    HalfClose,
}

/// Writes a case as HTTP/1.1; what it can mean is noted in the case.
pub(super) fn write(case: &mut Case, rng: &mut TestRng) -> (Vec<u8>, Then) {
    let mut wire = Vec::new();
    let mut then = Then::Answer;
    let odd_line = one_in(rng, 12);
    request_line(case, odd_line, &mut wire, rng);
    for (name, value) in &case.fields {
        let name = if one_in(rng, 3) {
            in_any_case(name, rng)
        } else {
            name.clone()
        };
        let blank: &[u8] = of(rng, &[b" ", b" ", b"", b"\t", b"  "]);
        wire.extend([name.as_slice(), b":", blank, value.as_slice(), b"\r\n"].concat());
    }
    if one_in(rng, 10) {
        case.odd = true;
        odd_header(&mut wire, rng);
    }
    if odd_line || case.odd {
        then = Then::ReadToEnd;
    }
    let framed = if case.upgrade.is_some() {
        wire.extend_from_slice(b"\r\n");
        Then::ReadToEnd
    } else {
        body(case, &mut wire, rng)
    };
    if framed != Then::Answer {
        then = framed;
    }
    let behind = case.number;
    if then == Then::ReadToEnd && one_in(rng, 3) {
        let next = format!("GET /after/{behind} HTTP/1.1\r\nHost: EVIL\r\n\r\n");
        wire.extend_from_slice(next.as_bytes());
    }
    if then == Then::ReadToEnd {
        let last =
            format!("GET /last/{behind} HTTP/1.1\r\nHost: EVIL\r\nConnection: close\r\n\r\n");
        wire.extend_from_slice(last.as_bytes());
    }
    (wire, then)
}

fn request_line(case: &mut Case, odd: bool, wire: &mut Vec<u8>, rng: &mut TestRng) {
    let (method, target) = (case.method.clone(), case.target.clone());
    // Without exactly one, nothing else of a request would be looked at.
    let host: &[u8] = if one_in(rng, 12) {
        of(rng, &[b"Host: EVIL\r\nHost: EVIL2\r\n", b""])
    } else {
        of(rng, &[b"Host: EVIL.example\r\n", b"host:EVIL\r\n"])
    };
    let parts: [&[u8]; 5] = [&method, b" ", &target, b" HTTP/1.1\r\n", host];
    if !odd {
        wire.extend(parts.concat());
        return;
    }
    let [_, _, _, end, host] = parts;
    let line: Vec<u8> = match rng.random_range(0..12_u8) {
        0 => [&method[..], b" http://EVIL.example:1", &target, end].concat(),
        1 => [&method[..], b" https://user:EVIL@h", &target, end].concat(),
        2 => [&method[..], b"  ", &target, end].concat(),
        3 => [&method[..], b" ", &target, b" HTTP/1.0\r\n"].concat(),
        4 => [&method[..], b" ", &target, b" HTTP/1.2\r\n"].concat(),
        5 => [&method[..], b"\t", &target, end].concat(),
        6 => [b"\r\n", &method[..], b" ", &target, end].concat(),
        7 => [&method[..], b" ", &target, b" HTTP/1.1\n"].concat(),
        8 => [&method[..], b" ", &target, b" EVIL HTTP/1.1\r\n"].concat(),
        9 => [&method[..], b" EVIL.example:443", end].concat(),
        10 => [b"CONNECT ", &target[..], end].concat(),
        _ => b"OPTIONS * HTTP/1.1\r\n".to_vec(),
    };
    if line.starts_with(b"CONNECT ") {
        case.bodies.clear();
    }
    case.odd = true;
    wire.extend(line);
    wire.extend_from_slice(host);
}

/// Lines on which parsers do not agree.
fn odd_header(wire: &mut Vec<u8>, rng: &mut TestRng) {
    let line: &[u8] = of(
        rng,
        &[
            b"X-Odd: a\r\n X-Remote-User: EVIL\r\n",
            b"X-Odd: a\r\n\tEVIL\r\n",
            b"X-Remote-User : EVIL\r\n",
            b"X-Remote-User\t: EVIL\r\n",
            b"X-Remote-User EVIL\r\n",
            b": EVIL\r\n",
            b" X-Remote-User: EVIL\r\n",
            b"X-Odd: a\nX-Remote-User: EVIL\r\n",
            b"X-Odd: a\nImpersonate-Uid: EVIL\n",
            b"X-Odd: a\rX-Remote-User: EVIL\r\n",
            b"X-Odd: a\r\rX-Remote-User: EVIL\r\n",
            b"X-Odd: a\0EVIL\r\n",
            b"X-Odd\xe9: EVIL\r\n",
            b"\"X-Odd\": EVIL\r\n",
            b"X-Odd\0: EVIL\r\n",
            b"X-Odd;X-Remote-User: EVIL\r\n",
            b"Connection: X-Odd\r\nX-Odd: EVIL\r\n",
            b"Connection:\r\n upgrade\r\nUpgrade: websocket\r\n",
        ],
    );
    wire.extend_from_slice(line);
    if one_in(rng, 40) {
        for number in 0..300 {
            wire.extend_from_slice(format!("x-m{number}: a\r\n").as_bytes());
        }
    }
    if one_in(rng, 100) {
        wire.extend_from_slice(b"x-long: ");
        wire.extend(std::iter::repeat_n(b'a', 200_000));
        wire.extend_from_slice(b"\r\n");
    }
}

/// Announces the body and writes it, in one of the ways in which requests were ever smuggled.
fn body(case: &mut Case, wire: &mut Vec<u8>, rng: &mut TestRng) -> Then {
    let text = case.body.clone();
    let length = text.len();
    let plain = |wire: &mut Vec<u8>, announced: String| {
        wire.extend_from_slice(announced.as_bytes());
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(&text);
    };
    match rng.random_range(0..24_u8) {
        0..=11 if text.is_empty() => wire.extend_from_slice(b"\r\n"),
        0..=11 => plain(wire, format!("Content-Length: {length}\r\n")),
        12..=14 => {
            wire.extend_from_slice(b"transfer-encoding: Chunked\r\n\r\n");
            chunks(&text, &case.trailers, wire, rng);
        }
        15 => {
            plain(
                wire,
                format!("Content-Length: {length}\r\ncontent-length: {length}\r\n"),
            );
            return Then::ReadToEnd;
        }
        16 => {
            case.bodies.clear();
            let other = length + rng.random_range(1..9);
            plain(
                wire,
                format!("Content-Length: {length}\r\nContent-Length: {other}\r\n"),
            );
            return Then::ReadToEnd;
        }
        17 => {
            odd_length(case, length, wire, rng);
            wire.extend_from_slice(&text);
            return Then::ReadToEnd;
        }
        18..=19 => {
            both(wire, rng);
            chunks(&text, &case.trailers, wire, rng);
            return Then::ReadToEnd;
        }
        20..=21 => {
            odd_coding(case, wire, rng);
            chunks(&text, &case.trailers, wire, rng);
            return Then::ReadToEnd;
        }
        22 => {
            odd_chunks(case, &text, wire, rng);
            return Then::ReadToEnd;
        }
        _ => {
            let more = length + rng.random_range(1..2000);
            plain(wire, format!("Content-Length: {more}\r\n"));
            case.bodies.clear();
            return Then::HalfClose;
        }
    }
    Then::Answer
}

fn odd_length(case: &mut Case, length: usize, wire: &mut Vec<u8>, rng: &mut TestRng) {
    let written = match rng.random_range(0..9_u8) {
        0 => format!("{length}, {length}"),
        1 => format!("+{length}"),
        2 => format!("0x{length:x}"),
        3 => format!("-{length}"),
        4 => format!("{length}.0"),
        5 => format!("{length} {length}"),
        6 => format!("18446744073709551616{length}"),
        7 => String::new(),
        _ => format!("000{length}"),
    };
    if !written.starts_with("000") && !written.contains(", ") {
        case.bodies.clear();
    }
    wire.extend_from_slice(format!("Content-Length: {written}\r\n\r\n").as_bytes());
}

/// A length and a coding at once: the coding is what counts (RFC 9112 §6.3).
fn both(wire: &mut Vec<u8>, rng: &mut TestRng) {
    let short = rng.random_range(0..9_u8);
    let lines = [
        format!("Content-Length: {short}\r\nTransfer-Encoding: chunked\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {short}\r\n\r\n"),
        "Transfer-Encoding: chunked\r\nContent-Length: 1000\r\n\r\n".to_owned(),
        "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
            .to_owned(),
    ];
    let at = rng.random_range(0..lines.len());
    wire.extend_from_slice(lines[at].as_bytes());
}

fn odd_coding(case: &mut Case, wire: &mut Vec<u8>, rng: &mut TestRng) {
    let lines: &[u8] = of(
        rng,
        &[
            b"Transfer-Encoding: identity\r\n\r\n",
            b"Transfer-Encoding: xchunked\r\n\r\n",
            b"Transfer-Encoding: chunked, identity\r\n\r\n",
            b"Transfer-Encoding: identity, chunked\r\n\r\n",
            b"Transfer-Encoding: chunked, chunked\r\n\r\n",
            b"Transfer-Encoding: gzip, chunked\r\n\r\n",
            b"Transfer-Encoding:\tchunked\r\n\r\n",
            b"Transfer-Encoding:\x0bchunked\r\n\r\n",
            b"Transfer-Encoding: \"chunked\"\r\n\r\n",
            b"Transfer-Encoding: chunked;a=b\r\n\r\n",
            b"Transfer-Encoding: CHUNKED\r\n\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
            b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            b"Transfer_Encoding: chunked\r\n\r\n",
            b"Transfer-Encoding : chunked\r\n\r\n",
            b"Content-Length: 3\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        ],
    );
    if lines.starts_with(b"Transfer_") {
        case.bodies = vec![Vec::new()]; // it is any header, and says nothing of a body
    }
    wire.extend_from_slice(lines);
}

fn chunks(text: &[u8], trailers: &[Field], wire: &mut Vec<u8>, rng: &mut TestRng) {
    let mut rest = text;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rng.random_range(1..=rest.len()));
        wire.extend_from_slice(format!("{:X}\r\n", now.len()).as_bytes());
        wire.extend_from_slice(now);
        wire.extend_from_slice(b"\r\n");
        rest = later;
    }
    wire.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        wire.extend([name.as_slice(), b": ", value.as_slice(), b"\r\n"].concat());
    }
    wire.extend_from_slice(b"\r\n");
}

/// Chunks that end at different places for different readers.
fn odd_chunks(case: &mut Case, text: &[u8], wire: &mut Vec<u8>, rng: &mut TestRng) {
    wire.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    let length = text.len();
    let (size, taken) = match rng.random_range(0..7_u8) {
        0 => (format!("{length:x};a=EVIL\r\n"), true),
        1 => (format!("{length:x};a=\"EVIL\r\n\"\r\n"), false),
        2 => (format!("0x{length:x}\r\n"), false),
        3 => (format!("FFFFFFFFFFFFFFFF{length:x}\r\n"), false),
        4 => (format!("-{length:x}\r\n"), false),
        5 => (format!("{length:x}\n"), true),
        _ => (format!("{length:x} \r\n"), true),
    };
    if taken && length > 0 {
        wire.extend([size.as_bytes(), text, b"\r\n0\r\n\r\n"].concat());
    } else if taken {
        wire.extend([size.as_bytes(), b"\r\n"].concat());
    } else {
        case.bodies.clear();
        wire.extend([size.as_bytes(), text, b"\r\n0\r\n\r\n"].concat());
    }
}

fn in_any_case(name: &[u8], rng: &mut TestRng) -> Vec<u8> {
    let turn = |byte: &u8| {
        if rng.random_range(0..2_u8) == 0 {
            byte.to_ascii_uppercase()
        } else {
            *byte
        }
    };
    name.iter().map(turn).collect()
}

/// A caller's connection.
pub(super) struct Line {
    tls: TlsStream<DuplexStream>,
    read: Vec<u8>,
}

impl Line {
    pub(super) const fn new(tls: TlsStream<DuplexStream>) -> Self {
        Self {
            tls,
            read: Vec::new(),
        }
    }

    /// Puts a case on the connection and waits for what comes of it; whether the connection can be used
    /// again.
    pub(super) async fn say(&mut self, wire: &[u8], then: Then, head: bool) -> io::Result<bool> {
        self.tls.write_all(wire).await?;
        self.tls.flush().await?;
        match then {
            Then::Answer => self.answer(head).await,
            Then::ReadToEnd => {
                self.read_out().await?;
                Ok(false)
            }
            Then::HalfClose => {
                self.tls.shutdown().await?;
                self.read_out().await?;
                Ok(false)
            }
        }
    }

    /// Asks to go on in another protocol; a switched connection gets some bytes and ends.
    pub(super) async fn switch(&mut self, wire: &[u8]) -> io::Result<()> {
        self.tls.write_all(wire).await?;
        self.tls.flush().await?;
        let head = self.head().await?;
        if head.starts_with(b"HTTP/1.1 101 ") {
            self.tls.write_all(b"GET /EVIL HTTP/1.1\r\n\r\n").await?;
            self.tls.shutdown().await?;
        }
        self.read_out().await
    }

    async fn read_out(&mut self) -> io::Result<()> {
        let mut sink = [0; 4096];
        while self.tls.read(&mut sink).await? > 0 {}
        Ok(())
    }

    async fn head(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(self.read.drain(..end + 4).collect());
            }
            if self.tls.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads one answer whose length is written.
    async fn answer(&mut self, head_only: bool) -> io::Result<bool> {
        let mut head = self.head().await?;
        while head.starts_with(b"HTTP/1.1 100 ") {
            head = self.head().await?;
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let written = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        let length = written.and_then(|it| it.trim().parse().ok());
        let length: usize = if head_only { 0 } else { length.unwrap_or(0) };
        while self.read.len() < length {
            if self.tls.read_buf(&mut self.read).await? == 0 {
                return Ok(false);
            }
        }
        self.read.drain(..length);
        Ok(!head.contains("connection: close") && self.read.is_empty())
    }
}

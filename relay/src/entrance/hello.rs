//! The ClientHello as it arrives, byte by byte: enough of RFC 8446 §4.1.2 and §5.1 to find the
//! server name, and not one field more.
//!
//! It is our own reader and not `rustls::server::Acceptor` fed with a copy, for three reasons. The
//! relay must hand on exactly the bytes that it read, so it keeps them anyway; here they are the
//! only buffer. The exit decides which handshakes it likes: an `Acceptor` would refuse hellos (no
//! common signature schemes, extensions of tomorrow) that are none of the relay's business. And the
//! bounds are ours to choose, far below the 64 KiB that rustls has to allow. The tests hold this
//! reader against an `Acceptor` as the referee.
//!
//! Pure: no I/O, no clock. [`peek`](mod@crate::entrance::peek) feeds it.

use bytes::{BufMut, buf::Limit};

use crate::entrance::alert::Alert;
use crate::entrance::forwarded::{ForwardFault, is_header};
use crate::entrance::plain_http::FirstBytes;

/// Longest ClientHello message, in bytes. A hello with post-quantum key share, ALPN and a few GREASE
/// values has about 2 KB; BoringSSL, which most of the web's servers run, refuses more than 16 KiB.
const LONGEST_MESSAGE: usize = 16 * 1024;

/// Most bytes kept of one caller before it is routed. Half as much again as [`LONGEST_MESSAGE`]: room
/// for record headers when the hello comes in fragments of ten bytes and more, and for what a caller
/// sends behind its hello. This times the number of callers being peeked bounds the memory.
pub(crate) const MOST_PEEKED: usize = 24 * 1024;

/// Room made for the first read: one hello of today with a post-quantum key share fits.
const FIRST_READ: usize = 2 * 1024;

/// Longest plaintext record, RFC 8446 §5.1.
const LONGEST_RECORD: usize = 1 << 14;

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
const HANDSHAKE_RECORD: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME_EXTENSION: u16 = 0;
const HOST_NAME: u8 = 0;

/// Why these bytes are not a ClientHello that can be routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HelloFault {
    /// The first bytes are no TLS handshake record: SSLv2, noise.
    #[error("not a TLS handshake")]
    NotTls,
    /// The first bytes are a PROXY header, from where none is believed.
    #[error(transparent)]
    ProxyHeader(ForwardFault),
    /// The first bytes are a request in plain HTTP.
    #[error("plain HTTP where TLS belongs")]
    PlainHttp,
    /// A record claims more than 2^14 bytes, or none.
    #[error("a record of {0} bytes, which TLS does not allow")]
    RecordLength(usize),
    /// The hello is longer than the relay reads.
    #[error("the ClientHello claims {0} bytes, more than the {LONGEST_MESSAGE} that are read")]
    TooLong(usize),
    /// So many small records that the raw bytes exceed the bound before the message is whole.
    #[error("{MOST_PEEKED} bytes arrived and the ClientHello is still not whole")]
    TooManyBytes,
    /// Something other than a ClientHello where one is due.
    #[error("expected a ClientHello, found something else")]
    NotAHello,
    /// A length inside the hello does not fit.
    #[error("the ClientHello is malformed")]
    Malformed,
    /// A valid hello without a server name: there is nothing to route by.
    #[error("no server name (SNI); connect by host name, not by address")]
    NoServerName,
    /// More than one server name, which RFC 6066 §3 forbids.
    #[error("more than one server name")]
    SeveralServerNames,
}

impl HelloFault {
    /// The word for metrics and logs.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NotTls => "NotTls",
            Self::ProxyHeader(fault) => fault.reason(),
            Self::PlainHttp => "PlainHttp",
            Self::RecordLength(_) => "RecordLength",
            Self::TooLong(_) => "HelloTooLong",
            Self::TooManyBytes => "HelloTooManyBytes",
            Self::NotAHello => "NotAHello",
            Self::Malformed => "MalformedHello",
            Self::NoServerName => "NoServerName",
            Self::SeveralServerNames => "SeveralServerNames",
        }
    }

    /// The alert that tells a TLS client, `None` for a peer that does not speak TLS.
    pub(crate) fn alert(self) -> Option<Alert> {
        match self {
            Self::NotTls | Self::ProxyHeader(_) | Self::PlainHttp => None,
            Self::RecordLength(_) => Some(Alert::RecordOverflow),
            Self::NotAHello => Some(Alert::UnexpectedMessage),
            Self::TooLong(_) | Self::TooManyBytes | Self::Malformed => Some(Alert::DecodeError),
            // RFC 8446 §9.2: a server that needs a server name should say so with this alert.
            Self::NoServerName => Some(Alert::MissingExtension),
            Self::SeveralServerNames => Some(Alert::IllegalParameter),
        }
    }
}

/// Reassembles a ClientHello and keeps every byte that arrived.
#[derive(Debug, Default)]
pub(crate) struct HelloReader {
    raw: Vec<u8>,
    /// How much of `raw` has gone into `message` or was a record header.
    parsed: usize,
    /// How much of the current record is still to come.
    record_left: usize,
    message: Vec<u8>,
}

impl HelloReader {
    /// Where the next bytes of the caller go; never grows past [`MOST_PEEKED`] in all.
    pub(crate) fn buffer(&mut self) -> Limit<&mut Vec<u8>> {
        if self.raw.capacity() == 0 {
            self.raw.reserve_exact(FIRST_READ);
        }
        let room = MOST_PEEKED.saturating_sub(self.raw.len());
        (&mut self.raw).limit(room)
    }

    /// Looks at what has arrived since. `None`: more is needed; otherwise the server name as sent.
    ///
    /// # Errors
    ///
    /// As soon as it is certain that these bytes cannot become a routable ClientHello.
    pub(crate) fn advance(&mut self) -> Result<Option<String>, HelloFault> {
        while let Some(available) = self.next_fragment()? {
            self.message
                .extend_from_slice(available_of(&self.raw, self.parsed, available)?);
            self.parsed += available;
            self.record_left -= available;
            if let Some(body) = self.whole_message()? {
                return server_name(body).map(Some);
            }
        }
        if self.raw.len() >= MOST_PEEKED {
            return Err(HelloFault::TooManyBytes);
        }
        Ok(None)
    }

    /// Everything that was read, to be handed on as it is.
    pub(crate) fn into_raw(self) -> Vec<u8> {
        self.raw
    }

    /// How many bytes of the current record can be taken; reads the next record header when due.
    fn next_fragment(&mut self) -> Result<Option<usize>, HelloFault> {
        if self.parsed == 0 {
            if is_header(&self.raw) {
                return Err(HelloFault::ProxyHeader(ForwardFault::Unlisted));
            }
            match FirstBytes::of(&self.raw) {
                FirstBytes::Request => return Err(HelloFault::PlainHttp),
                FirstBytes::PerhapsRequest => return Ok(None),
                FirstBytes::Other => {}
            }
        }
        if self.record_left == 0 {
            let unread = self.raw.get(self.parsed..).unwrap_or_default();
            let Some(length) = record_length(unread, self.parsed == 0)? else {
                return Ok(None);
            };
            self.record_left = length;
            self.parsed += RECORD_HEADER;
        }
        let available = self
            .raw
            .len()
            .saturating_sub(self.parsed)
            .min(self.record_left);
        Ok((available > 0).then_some(available))
    }

    /// The body of the ClientHello once it is whole.
    fn whole_message(&self) -> Result<Option<&[u8]>, HelloFault> {
        let Some((&kind, rest)) = self.message.split_first() else {
            return Ok(None);
        };
        if kind != CLIENT_HELLO {
            return Err(HelloFault::NotAHello);
        }
        let Some(length) = rest.first_chunk::<3>() else {
            return Ok(None);
        };
        let length = big_endian(length);
        if length > LONGEST_MESSAGE {
            return Err(HelloFault::TooLong(length));
        }
        Ok(self.message.get(MESSAGE_HEADER..MESSAGE_HEADER + length))
    }
}

fn available_of(raw: &[u8], from: usize, count: usize) -> Result<&[u8], HelloFault> {
    raw.get(from..from + count).ok_or(HelloFault::Malformed)
}

/// The length a record header claims, once all five bytes are there. What can be told from the first
/// byte alone is told at once, so that a stranger does not wait for the deadline.
fn record_length(unread: &[u8], first: bool) -> Result<Option<usize>, HelloFault> {
    let stranger = if first {
        HelloFault::NotTls
    } else {
        HelloFault::NotAHello
    };
    if unread.first().is_some_and(|&kind| kind != HANDSHAKE_RECORD)
        || unread.get(1).is_some_and(|&major| major != 3)
    {
        return Err(stranger);
    }
    let Some(&[_, _, _, high, low]) = unread.first_chunk::<RECORD_HEADER>() else {
        return Ok(None);
    };
    let length = big_endian(&[high, low]);
    if length == 0 || length > LONGEST_RECORD {
        return Err(HelloFault::RecordLength(length));
    }
    Ok(Some(length))
}

fn big_endian(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |value, &byte| (value << 8) | usize::from(byte))
}

/// Finds the one host name in a ClientHello's body.
fn server_name(body: &[u8]) -> Result<String, HelloFault> {
    let mut hello = Fields(body);
    hello.take(2 + 32)?; // legacy_version, random
    hello.vector(1)?; // legacy_session_id
    hello.vector(2)?; // cipher_suites
    hello.vector(1)?; // legacy_compression_methods
    if hello.0.is_empty() {
        return Err(HelloFault::NoServerName); // TLS 1.2 without extensions
    }
    let mut extensions = Fields(hello.vector(2)?);
    hello.end()?;
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let data = extensions.vector(2)?;
        if kind == usize::from(SERVER_NAME_EXTENSION) && found.replace(data).is_some() {
            return Err(HelloFault::SeveralServerNames);
        }
    }
    host_name(found.ok_or(HelloFault::NoServerName)?)
}

/// RFC 6066 §3: a list with one entry, and the entry is a host name in ASCII.
fn host_name(extension: &[u8]) -> Result<String, HelloFault> {
    let mut extension = Fields(extension);
    let mut list = Fields(extension.vector(2)?);
    extension.end()?;
    if list.number(1)? != usize::from(HOST_NAME) {
        return Err(HelloFault::Malformed);
    }
    let name = list.vector(2)?;
    if !list.0.is_empty() {
        return Err(HelloFault::SeveralServerNames);
    }
    if name.is_empty() || !name.is_ascii() {
        return Err(HelloFault::Malformed);
    }
    Ok(name.iter().copied().map(char::from).collect())
}

/// Takes fields off the front; every length is checked before it is used.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], HelloFault> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(HelloFault::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, width: usize) -> Result<usize, HelloFault> {
        self.take(width).map(big_endian)
    }

    fn vector(&mut self, width: usize) -> Result<&'a [u8], HelloFault> {
        let length = self.number(width)?;
        self.take(length)
    }

    fn end(&self) -> Result<(), HelloFault> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(HelloFault::Malformed)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

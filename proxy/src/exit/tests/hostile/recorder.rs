//! An API server that writes down what it receives, as it came, and finds nothing normal.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use gangplank_config::KeyPair;
use gangplank_pki::crypto;
use h2::server::SendResponse;
use http::Version;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

use super::any_client::AnyClient;
use super::case::Field;

type Tls = TlsStream<TcpStream>;

/// A request as it arrived.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) version: Version,
    pub(super) method: Vec<u8>,
    pub(super) target: Vec<u8>,
    /// `:authority` of HTTP/2.
    pub(super) authority: Vec<u8>,
    pub(super) fields: Vec<Field>,
    pub(super) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(super) complete: bool,
    /// What a server that is this strict does not take; the law never does.
    pub(super) wrong: Option<&'static str>,
    /// Whether the connection was made with a client certificate.
    pub(super) certified: bool,
}

/// The API server's memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorder(Arc<Mutex<Vec<Record>>>);

impl Recorder {
    /// What came since the last look.
    pub(super) fn take(&self) -> Vec<Record> {
        std::mem::take(&mut *self.0.lock())
    }

    fn note(&self, record: Record) {
        self.0.lock().push(record);
    }

    /// Serves with this certificate; `alpn` says which versions of HTTP.
    pub(super) fn serve(
        &self,
        listener: TcpListener,
        pair: &KeyPair,
        alpn: &[&[u8]],
        tasks: &TaskTracker,
    ) {
        let acceptor = TlsAcceptor::from(Arc::new(tls(pair, alpn)));
        let (memory, spawner) = (self.clone(), tasks.clone());
        tasks.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, memory) = (acceptor.clone(), memory.clone());
                let streams = spawner.clone();
                spawner.spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else {
                        return;
                    };
                    if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
                        memory.serve_http2(tls, &streams).await;
                    } else {
                        drop(memory.serve_http1(tls).await);
                    }
                });
            }
        });
    }

    async fn serve_http2(&self, tls: Tls, tasks: &TaskTracker) {
        let certified = tls.get_ref().1.peer_certificates().is_some();
        let mut builder = h2::server::Builder::new();
        builder.max_header_list_size(1 << 20);
        let Ok(mut connection) = builder.handshake::<_, Bytes>(tls).await else {
            return;
        };
        while let Some(Ok((request, respond))) = connection.accept().await {
            let memory = self.clone();
            tasks.spawn(async move { memory.note_http2(request, respond, certified).await });
        }
    }

    async fn note_http2(
        &self,
        request: http::Request<h2::RecvStream>,
        mut respond: SendResponse<Bytes>,
        certified: bool,
    ) {
        let (parts, mut body) = request.into_parts();
        let target = parts.uri.path_and_query().map(ToString::to_string);
        let authority = parts.uri.authority().map(ToString::to_string);
        let mut record = Record {
            version: Version::HTTP_2,
            method: parts.method.as_str().into(),
            target: target.unwrap_or_default().into(),
            authority: authority.unwrap_or_default().into(),
            fields: pairs(&parts.headers),
            certified,
            ..Record::default()
        };
        let mut broken = false;
        while let Some(data) = body.data().await {
            let Ok(data) = data else {
                broken = true;
                break;
            };
            drop(body.flow_control().release_capacity(data.len()));
            record.body.extend_from_slice(&data);
        }
        if let Ok(Some(_)) = body.trailers().await {
            record.wrong = Some("trailers");
        }
        record.complete = !broken;
        self.note(record);
        drop(respond.send_response(http::Response::new(()), true));
    }

    async fn serve_http1(&self, mut tls: Tls) -> io::Result<()> {
        let certified = tls.get_ref().1.peer_certificates().is_some();
        let mut buffer = Vec::new();
        while let Some(head) = take_head(&mut tls, &mut buffer).await? {
            let mut record = read_head(&head);
            record.certified = certified;
            if record.wrong.is_some() {
                self.note(record);
                return Ok(());
            }
            let upgrade = one(&record.fields, b"upgrade").map(<[u8]>::to_vec);
            let body = take_body(&mut tls, &mut buffer, &mut record).await;
            record.complete = body.is_ok();
            if record.complete && !buffer.is_empty() {
                record.wrong = Some("bytes behind the request before its answer");
            }
            let is_head = record.method == b"HEAD";
            self.note(record);
            body?;
            if let Some(protocol) = upgrade {
                return switch(tls, &protocol).await;
            }
            let answer: &[u8] = if is_head {
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            };
            tls.write_all(answer).await?;
            tls.flush().await?;
        }
        Ok(())
    }
}

fn tls(pair: &KeyPair, alpn: &[&[u8]]) -> ServerConfig {
    let key = SingleCertAndKey::from((*pair.certified_key()).clone());
    let mut config = ServerConfig::builder_with_provider(crypto::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(Arc::new(AnyClient))
        .with_cert_resolver(Arc::new(key));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

fn pairs(headers: &http::HeaderMap) -> Vec<Field> {
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().into(), value.as_bytes().into())
    };
    headers.iter().map(pair).collect()
}

/// Agrees to the other protocol and reads to its end.
async fn switch(mut tls: Tls, protocol: &[u8]) -> io::Result<()> {
    tls.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ")
        .await?;
    tls.write_all(protocol).await?;
    tls.write_all(b"\r\n\r\n").await?;
    tls.flush().await?;
    tokio::io::copy(&mut tls, &mut tokio::io::sink()).await?;
    tls.shutdown().await
}

/// The bytes of a head without its empty line; `None` at the connection's end.
async fn take_head(tls: &mut Tls, buffer: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if tls.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = buffer[..end].to_vec();
    buffer.drain(..end + 4);
    Ok(Some(head))
}

/// Reads a head as the strictest server would.
fn read_head(head: &[u8]) -> Record {
    let mut record = Record::default();
    let mut lines = head.split(|byte| *byte == b'\n');
    let wrong = |record: Record, why| Record {
        wrong: Some(why),
        ..record
    };
    let line = lines.next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    match words.as_slice() {
        [method, target, b"HTTP/1.1" | b"HTTP/1.1\r"] => {
            (record.method, record.target) = (method.to_vec(), target.to_vec());
        }
        _ => return wrong(record, "the request line"),
    }
    for line in lines {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return wrong(record, "a line without a colon");
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        if name.is_empty() || !name.iter().all(plain) {
            return wrong(record, "a name");
        }
        if value.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            return wrong(record, "a control character in a value");
        }
        let name = name.to_ascii_lowercase();
        record.fields.push((name, value.trim_ascii().to_vec()));
    }
    let carriage = head.iter().filter(|byte| **byte == b'\r').count();
    let feeds = head.iter().filter(|byte| **byte == b'\n').count();
    if carriage != feeds || head.starts_with(b"\r\n") {
        return wrong(record, "the ends of lines");
    }
    record
}

fn one<'f>(fields: &'f [Field], name: &[u8]) -> Option<&'f [u8]> {
    let mut found = fields.iter().filter(|(it, _)| it == name);
    found.next().map(|(_, value)| value.as_slice())
}

/// Reads the body that the head announces, and accepts one way of announcing it.
async fn take_body(tls: &mut Tls, buffer: &mut Vec<u8>, record: &mut Record) -> io::Result<()> {
    let announced = |name: &[u8]| record.fields.iter().filter(|(it, _)| it == name).count();
    let (lengths, codings) = (
        announced(b"content-length"),
        announced(b"transfer-encoding"),
    );
    if lengths + codings > 1 {
        record.wrong = Some("two announcements of a body");
        return Ok(());
    }
    if codings == 1 {
        if one(&record.fields, b"transfer-encoding") != Some(b"chunked") {
            record.wrong = Some("a transfer encoding");
            return Ok(());
        }
        return take_chunks(tls, buffer, record).await;
    }
    let written = one(&record.fields, b"content-length").unwrap_or(b"0");
    let digits = written.iter().all(u8::is_ascii_digit) && !written.is_empty();
    let length = String::from_utf8_lossy(written).parse().ok();
    let Some(length) = length.filter(|_| digits) else {
        record.wrong = Some("a content length");
        return Ok(());
    };
    take(tls, buffer, length, &mut record.body).await
}

async fn take_chunks(tls: &mut Tls, buffer: &mut Vec<u8>, record: &mut Record) -> io::Result<()> {
    loop {
        let line = take_line(tls, buffer).await?;
        let text = String::from_utf8_lossy(&line);
        let Ok(length) = usize::from_str_radix(&text, 16) else {
            record.wrong = Some("the size of a chunk");
            return Ok(());
        };
        take(tls, buffer, length, &mut record.body).await?;
        if !take_line(tls, buffer).await?.is_empty() {
            record.wrong = Some("trailers");
            return Ok(());
        }
        if length == 0 {
            return Ok(());
        }
    }
}

async fn take_line(tls: &mut Tls, buffer: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let end = loop {
        if let Some(end) = buffer.windows(2).position(|two| two == b"\r\n") {
            break end;
        }
        if tls.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let line = buffer[..end].to_vec();
    buffer.drain(..end + 2);
    Ok(line)
}

async fn take(
    tls: &mut Tls,
    buffer: &mut Vec<u8>,
    length: usize,
    body: &mut Vec<u8>,
) -> io::Result<()> {
    while buffer.len() < length {
        if tls.read_buf(buffer).await? == 0 {
            body.append(buffer);
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    body.extend(buffer.drain(..length));
    Ok(())
}

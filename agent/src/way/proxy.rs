//! Asking an HTTP proxy for a way: CONNECT (RFC 9110 §9.3.6), over HTTP/1.1.

use std::io;

use gangplank_config::HttpProxy;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::WayError;

/// Longest head of an answer that is read: what proxies write into theirs, and error pages behind it, is of
/// no use here.
const LONGEST_HEAD: usize = 8 << 10;

/// Why a proxy leads nowhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyFault {
    /// It is not there.
    #[error(
        "it cannot be reached itself: look at its address, or name hosts that need no proxy in NO_PROXY"
    )]
    Unreachable(#[source] Box<WayError>),
    /// It wants to know who asks, or does not believe it.
    #[error(
        "it asks for a name and a password, or does not take those it was given (407): write them into \
         `httpProxy` or HTTPS_PROXY, as `http://NAME:PASSWORD@HOST:PORT`; only basic authentication is spoken"
    )]
    Authentication,
    /// It does not do it.
    #[error(
        "it refuses to connect to the relay (status {status}): let it allow CONNECT to the relay's host and port"
    )]
    Refused {
        /// The status of its answer.
        status: u16,
    },
    /// It took too long.
    #[error("it did not answer in time; look at the network between proxy and relay")]
    TooLate,
    /// It went away.
    #[error("it broke the connection off before it had answered")]
    BrokenOff(#[source] io::Error),
    /// It does not speak HTTP/1.
    #[error("it did not answer as an HTTP proxy does: look at its address")]
    Unintelligible,
}

impl ProxyFault {
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "ProxyUnreachable",
            Self::Authentication => "ProxyAuthentication",
            Self::Refused { .. } => "ProxyRefused",
            Self::TooLate => "ProxyTooLate",
            Self::BrokenOff(_) => "ProxyBrokenOff",
            Self::Unintelligible => "ProxyUnintelligible",
        }
    }

    pub(crate) const fn needs_a_person(&self) -> bool {
        match self {
            Self::Authentication | Self::Unintelligible => true,
            // 5xx is the network behind the proxy, most of the time.
            Self::Refused { status } => *status < 500,
            Self::Unreachable(_) | Self::TooLate | Self::BrokenOff(_) => false,
        }
    }
}

/// Asks for a way to `host`. What follows on the socket is between us and the host.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    proxy: &HttpProxy,
    (host, port): (&str, u16),
) -> Result<(), ProxyFault> {
    let question = question(proxy.credentials(), host, port);
    socket
        .write_all(question.as_bytes())
        .await
        .map_err(ProxyFault::BrokenOff)?;
    let mut head = Vec::new();
    loop {
        let read = socket.read_buf(&mut head).await;
        if read.map_err(ProxyFault::BrokenOff)? == 0 {
            return Err(ProxyFault::BrokenOff(io::ErrorKind::UnexpectedEof.into()));
        }
        match answer(&head) {
            Answer::Incomplete if head.len() < LONGEST_HEAD => {}
            Answer::Incomplete | Answer::Unintelligible => return Err(ProxyFault::Unintelligible),
            // The relay says nothing before it is spoken to: nothing can stand behind the head.
            Answer::Status {
                status: 200..=299,
                rest: 0,
            } => return Ok(()),
            Answer::Status {
                status: 200..=299, ..
            } => return Err(ProxyFault::Unintelligible),
            Answer::Status { status: 407, .. } => return Err(ProxyFault::Authentication),
            Answer::Status { status, .. } => return Err(ProxyFault::Refused { status }),
        }
    }
}

fn question(credentials: Option<&str>, host: &str, port: u16) -> String {
    let target = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let authorization = credentials
        .map(|credentials| format!("Proxy-Authorization: Basic {credentials}\r\n"))
        .unwrap_or_default();
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n")
}

/// What a proxy has said so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Incomplete,
    Unintelligible,
    /// The head is whole; so many bytes stand behind it.
    Status {
        status: u16,
        rest: usize,
    },
}

/// The status of a proxy's whole answer, and how much stands behind its head; see the crate's root.
pub fn proxy_status(bytes: &[u8]) -> Option<(u16, usize)> {
    match answer(bytes) {
        Answer::Status { status, rest } => Some((status, rest)),
        Answer::Incomplete | Answer::Unintelligible => None,
    }
}

/// Reads the status line, and nothing else of the head.
fn answer(bytes: &[u8]) -> Answer {
    const BEGINNING: &[u8] = b"HTTP/1.";
    let begun = bytes.len().min(BEGINNING.len());
    if bytes.get(..begun) != BEGINNING.get(..begun) {
        return Answer::Unintelligible;
    }
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else {
        return Answer::Incomplete;
    };
    // `HTTP/1.x NNN`, and then a blank or the end of the line.
    let status = match bytes.get(BEGINNING.len()..BEGINNING.len() + 6) {
        Some([b'0' | b'1', b' ', digits @ .., b' ' | b'\r']) => std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok()),
        _ => None,
    };
    status.map_or(Answer::Unintelligible, |status| Answer::Status {
        status,
        rest: bytes.len() - end - 4,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_for_the_relay_and_carries_the_credentials() {
        assert_eq!(
            question(None, "relay.example.com", 443),
            "CONNECT relay.example.com:443 HTTP/1.1\r\nHost: relay.example.com:443\r\n\r\n"
        );
        assert_eq!(
            question(Some("bWU6"), "::1", 8443),
            "CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n\
             Proxy-Authorization: Basic bWU6\r\n\r\n"
        );
    }

    #[test]
    fn an_answer_is_its_status() {
        let status = |status, rest| Answer::Status { status, rest };
        for (bytes, meant) in [
            (&b""[..], Answer::Incomplete),
            (b"HTT", Answer::Incomplete),
            (b"HTTP/1.1 200 OK\r\nA: b\r\n", Answer::Incomplete),
            (
                b"HTTP/1.1 200 Connection established\r\n\r\n",
                status(200, 0),
            ),
            (b"HTTP/1.0 200\r\nVia: x\r\n\r\n", status(200, 0)),
            (b"HTTP/1.1 407 No\r\n\r\n<html>", status(407, 6)),
            (b"HTTP/2 200\r\n\r\n", Answer::Unintelligible),
            (b"HTTP/1.1 20x OK\r\n\r\n", Answer::Unintelligible),
            (b"HTTP/1.1 2000 OK\r\n\r\n", Answer::Unintelligible),
            (b"HTTP/1.1\r\n\r\n", Answer::Unintelligible),
            (b"SSH-2.0-x\r\n", Answer::Unintelligible),
        ] {
            assert_eq!(answer(bytes), meant, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[tokio::test]
    async fn an_endless_head_ends() {
        let (mut near, far) = tokio::io::duplex(64 << 10);
        let (_hears, mut says) = tokio::io::split(far);
        let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
        head.resize(32 << 10, b'a');
        says.write_all(&head).await.unwrap();
        let environment = gangplank_config::ProxyEnvironment::read(|name| {
            (name == "HTTPS_PROXY").then(|| "http://p.example".to_owned())
        });
        let proxy = environment.unwrap().on_the_way_to("relay").unwrap();
        let asked = ask(&mut near, &proxy, ("relay", 1)).await;
        assert!(
            matches!(asked, Err(ProxyFault::Unintelligible)),
            "{asked:?}"
        );
    }
}

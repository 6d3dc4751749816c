//! Callers that speak plain HTTP where TLS belongs: somebody wrote `http://` for `https://`.
//!
//! They are told so in HTTP. A connection that is closed without a word looks like a broken network to
//! Kubernetes' clients: kubectl tries for most of a minute and then prints `EOF`. As everywhere, the answer
//! is a `Status` and a `Warning`, because kubectl shows only the latter of its first call.

/// What requests begin with: the methods of Kubernetes' clients and of curl, and HTTP/2's preface (RFC 9113
/// §3.4).
const BEGINNINGS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"PATCH ",
    b"DELETE ",
    b"OPTIONS ",
    b"CONNECT ",
    b"PRI * HTTP/2.0\r\n",
];

const MESSAGE: &str =
    "this port speaks TLS and this was plain HTTP; write https:// where http:// stands";

/// What the first bytes of a caller are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstBytes {
    /// An HTTP request.
    Request,
    /// Perhaps one, as far as they go.
    PerhapsRequest,
    /// Something else.
    Other,
}

impl FirstBytes {
    pub(super) fn of(bytes: &[u8]) -> Self {
        if BEGINNINGS.iter().any(|whole| bytes.starts_with(whole)) {
            Self::Request
        } else if BEGINNINGS.iter().any(|whole| whole.starts_with(bytes)) {
            Self::PerhapsRequest
        } else {
            Self::Other
        }
    }
}

/// The answer to such a request, after which the connection is closed.
pub(super) fn answer() -> String {
    let status = format!(
        "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\
         \"message\":\"{MESSAGE}\",\"reason\":\"BadRequest\",\"code\":400}}"
    );
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Warning: 299 gangplank \"PlainHttp: {MESSAGE}\"\r\nConnection: close\r\n\r\n{status}",
        status.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_from_everything_else() {
        for (bytes, found) in [
            (&b"GET /api HTTP/1.1\r\n"[..], FirstBytes::Request),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", FirstBytes::Request),
            (b"P", FirstBytes::PerhapsRequest),
            (b"PRI * HT", FirstBytes::PerhapsRequest),
            (b"PROXY TCP4 192.0.2.1", FirstBytes::Other),
            (b"GETS", FirstBytes::Other),
            (b"get /", FirstBytes::Other),
            (b"SSH-2.0-", FirstBytes::Other),
            (&[22, 3, 1], FirstBytes::Other),
        ] {
            assert_eq!(FirstBytes::of(bytes), found, "{bytes:?}");
        }
    }
}

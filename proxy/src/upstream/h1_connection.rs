//! HTTP/1.1 connections to the API server: for servers that speak nothing newer, and for upgrades.

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::connect::Secured;
use super::limits::HTTP1_HEADERS;
use crate::body::RequestBody;

/// The half that requests are sent with, one after the other.
pub(super) type Http1Sender = SendRequest<RequestBody>;

/// The half that has to be run.
pub(super) type Http1Running = Connection<TokioIo<Secured>, RequestBody>;

/// A connection for ordinary requests.
pub(super) async fn open(io: Secured) -> hyper::Result<(Http1Sender, Http1Running)> {
    builder().handshake(TokioIo::new(io)).await
}

/// A connection for one request without a body, which asks for an upgrade.
pub(super) async fn open_for_upgrade(
    io: Secured,
) -> hyper::Result<(
    SendRequest<Empty<Bytes>>,
    Connection<TokioIo<Secured>, Empty<Bytes>>,
)> {
    builder().handshake(TokioIo::new(io)).await
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.max_headers(HTTP1_HEADERS);
    builder
}

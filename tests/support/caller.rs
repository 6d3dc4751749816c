//! A caller without a library between it and the wire: TLS with its papers, then HTTP by hand or by hyper.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, SupportedProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificates::{Authority, Papers};
use super::path::Site;
use super::wait;

/// Any request body.
pub(crate) type AnyBody = BoxBody<Bytes, Infallible>;

/// A TLS configuration that trusts one authority and shows papers, or none.
pub(crate) fn config(
    trusted: &Authority,
    papers: Option<&Papers>,
    protocols: &[&str],
) -> ClientConfig {
    config_of(rustls::DEFAULT_VERSIONS, trusted, papers, protocols)
}

/// The same, speaking only these versions of TLS.
pub(crate) fn config_of(
    versions: &[&'static SupportedProtocolVersion],
    trusted: &Authority,
    papers: Option<&Papers>,
    protocols: &[&str],
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_protocol_versions(versions)
        .expect("the provider has them")
        .with_root_certificates(trusted.roots());
    let mut config = match papers {
        Some(papers) => builder
            .with_client_auth_cert(papers.chain(), papers.key())
            .expect("papers that fit"),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols
        .iter()
        .map(|protocol| protocol.as_bytes().to_vec())
        .collect();
    config
}

/// A TLS connection to an address, asking for a name.
pub(crate) async fn connect(
    address: SocketAddr,
    name: &str,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    wait::within("a TLS handshake", async {
        let socket = TcpStream::connect(address).await?;
        over(socket, name, Arc::new(config)).await
    })
    .await
}

/// TLS on a socket, asking for a name.
pub(crate) async fn over(
    socket: TcpStream,
    name: &str,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    socket.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    TlsConnector::from(config).connect(name, socket).await
}

/// A TLS connection to a site's entrance.
pub(crate) async fn board(
    site: &Site,
    papers: Option<&Papers>,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    connect(
        site.address,
        &site.entrance,
        config(site.authority(), papers, protocols),
    )
    .await
}

/// HTTP/1.1 on a TLS connection.
pub(crate) async fn http1_over(stream: TlsStream<TcpStream>) -> http1::SendRequest<AnyBody> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .expect("HTTP/1.1");
    tokio::spawn(async move { drop(connection.with_upgrades().await) });
    sender
}

/// HTTP/2 on a TLS connection.
pub(crate) async fn http2_over(stream: TlsStream<TcpStream>) -> http2::SendRequest<AnyBody> {
    try_http2_over(stream).await.expect("HTTP/2")
}

/// The same on one that may be gone.
pub(crate) async fn try_http2_over(
    stream: TlsStream<TcpStream>,
) -> hyper::Result<http2::SendRequest<AnyBody>> {
    // As Go's client has it: a connection window that no handful of unread streams fills, and room for headers.
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(1 << 30)
        .max_header_list_size(10 << 20)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// A body with these bytes.
pub(crate) fn body(bytes: impl Into<Bytes>) -> AnyBody {
    Full::new(bytes.into()).boxed()
}

/// The whole body of an answer.
pub(crate) async fn read(response: Response<Incoming>) -> Vec<u8> {
    let body = wait::within("the end of a body", response.into_body().collect()).await;
    body.expect("a whole body").to_bytes().to_vec()
}

//! The way from the load generator into a stack.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::tls::Connector;

/// Where a caller connects, and as whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Way {
    /// The first hop.
    pub(crate) door: Door,
    /// The server name of the TLS inside.
    pub(crate) server_name: String,
    /// The authority of the server's certificate, a file.
    pub(crate) authority: PathBuf,
    /// The caller's certificate and key, two files.
    pub(crate) papers: (PathBuf, PathBuf),
}

/// The first hop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Door {
    /// A port that leads on by itself.
    Tcp(SocketAddr),
    /// A socket that is asked by `CONNECT` for what lies behind (konnectivity).
    Asked {
        /// The socket.
        socket: PathBuf,
        /// What is asked for.
        target: SocketAddr,
    },
}

/// What TLS runs on.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// A caller's connection.
pub(crate) type Line = TlsStream<Box<dyn Socket>>;

impl Way {
    /// A new connection with a whole handshake.
    pub(crate) async fn connect(&self, connector: &Connector) -> anyhow::Result<Line> {
        let socket: Box<dyn Socket> = match &self.door {
            Door::Tcp(address) => {
                let socket = TcpStream::connect(address).await.context("connect")?;
                socket.set_nodelay(true)?;
                Box::new(socket)
            }
            Door::Asked { socket, target } => Box::new(ask(socket, *target).await?),
        };
        let line = connector.connect(&self.server_name, socket).await;
        line.context("TLS handshake")
    }
}

/// Asks for a connection by HTTP `CONNECT`.
async fn ask(path: &PathBuf, target: SocketAddr) -> anyhow::Result<UnixStream> {
    let mut socket = UnixStream::connect(path).await.context("connect")?;
    let asked = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    socket.write_all(asked.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await.context("no answer to CONNECT")?);
    }
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other("CONNECT was refused").into());
    }
    Ok(socket)
}

//! The server that all stacks reach: HTTP/1.1 and HTTP/2 over TLS, fast and the same for everyone.
//!
//! It answers by what a request's query asks for: so many bytes (`bytes=`), a watch with an event each so many
//! milliseconds (`watch=true&period=&phase=`) or without a pause (`busy=`), an upgraded stream that echoes
//! (`command=`), a body taken (`taking=`), what was written so far (`written=`), else a small object.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use clap::Args;
use rustix::net::sockopt::set_tcp_congestion;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::lanes::Lanes;
use crate::tls::acceptor;

mod asked;
mod http1;
mod http2;

/// What the role is told.
#[derive(Debug, Args)]
pub(crate) struct Serving {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// The certificate's file
    #[arg(long)]
    certificate: PathBuf,
    /// The key's file
    #[arg(long)]
    key: PathBuf,
    /// TCP's congestion control, if not the kernel's choice
    #[arg(long)]
    congestion: Option<String>,
}

/// Connections that wait to be accepted: all that an idle row opens may come at once.
const BACKLOG: u32 = 8192;

/// What answers are made of: one record of TLS's largest, four times.
static BLOCK: [u8; 64 * 1024] = [b'.'; 64 * 1024];

/// The small object's size: a ConfigMap with a few short values.
const SMALL: usize = 512;

/// Bytes of large bodies and busy watches that were written. While it stands still, all that lies between here
/// and readers that have stopped is full.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

fn note_written(bytes: usize) {
    let bytes = u64::try_from(bytes).unwrap_or_default();
    WRITTEN.fetch_add(bytes, Ordering::Relaxed);
}

/// The count as a body.
fn written() -> String {
    WRITTEN.load(Ordering::Relaxed).to_string()
}

/// The role: serves until it is killed.
pub(crate) fn run(serving: &Serving) -> anyhow::Result<()> {
    let acceptor = acceptor(&serving.certificate, &serving.key)?;
    let lanes = Arc::new(Lanes::open()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(accept(serving, &acceptor, &lanes))
}

async fn accept(serving: &Serving, acceptor: &TlsAcceptor, lanes: &Lanes) -> anyhow::Result<()> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(serving.listen)?;
    if let Some(name) = &serving.congestion {
        // What is accepted has it too.
        let set = set_tcp_congestion(&socket, name);
        set.with_context(|| format!("TCP cannot have `{name}` here"))?;
    }
    let listener: TcpListener = socket.listen(BACKLOG).context("listen")?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let socket = socket.into_std()?;
        let acceptor = acceptor.clone();
        // What goes wrong on a connection, the generator sees.
        lanes.spawn(async move { drop(serve(socket, acceptor).await) });
    }
}

async fn serve(socket: std::net::TcpStream, acceptor: TlsAcceptor) -> anyhow::Result<()> {
    let stream = acceptor.accept(TcpStream::from_std(socket)?).await?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2::serve(stream).await
    } else {
        http1::serve(stream).await
    }
}

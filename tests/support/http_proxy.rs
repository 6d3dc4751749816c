//! A small HTTP proxy that knows CONNECT and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// A running proxy.
#[derive(Debug)]
pub(crate) struct HttpProxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    runtime: Option<Runtime>,
}

/// How it answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner {
    /// Only who shows these, as they stand behind `Basic`.
    For(&'static str),
    /// Nobody is connected.
    Closed,
}

impl HttpProxy {
    pub(crate) fn start(manner: Manner) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, manner, Arc::clone(&noted)));
            }
        });
        Self {
            address,
            asked,
            runtime: Some(runtime),
        }
    }

    /// The targets it was asked for, those it refused among them.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

async fn serve(mut near: TcpStream, manner: Manner, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(near.read_buf(&mut head).await, Ok(1..)) {
            return;
        }
    }
    let head = String::from_utf8(head).expect("text");
    let target = head
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next())
        .expect("it is asked with CONNECT");
    asked.lock().push(target.to_owned());
    let refusal = match manner {
        Manner::For(credentials) => {
            let shown = format!("\r\nProxy-Authorization: Basic {credentials}\r\n");
            (!head.contains(&shown)).then_some(
                "HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n",
            )
        }
        Manner::Closed => Some("HTTP/1.1 403 Not through here\r\nContent-Length: 0\r\n\r\n"),
    };
    if let Some(refusal) = refusal {
        drop(near.write_all(refusal.as_bytes()).await);
        return;
    }
    if let Ok(mut far) = TcpStream::connect(target).await {
        let welcome = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n";
        if near.write_all(welcome).await.is_ok() {
            drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
        }
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        // It may be dropped inside another runtime, which must not wait for this one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

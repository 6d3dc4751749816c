//! An API server played by the test itself, byte by byte, over TLS and HTTP/1.1.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::Authority;
use super::fake_api_server::{TOKEN, acceptor, write_kubeconfig};
use super::wait;
use super::wire::Wire;

/// How many requests may wait for the test to look at them: more than any test makes.
const WAITING: usize = 64;

/// A listening server.
#[derive(Debug)]
pub(crate) struct RawApiServer {
    folder: TempDir,
    requests: Mutex<mpsc::Receiver<Asked>>,
}

/// A connection on which a request's head has arrived.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The head, as it arrived.
    pub(crate) head: String,
    /// The connection behind the head.
    pub(crate) wire: Wire<TlsStream<TcpStream>>,
}

impl RawApiServer {
    /// On a port of the kernel's choice.
    pub(crate) async fn start() -> Self {
        let authority = Authority::new("raw API server CA");
        let acceptor = acceptor(&authority.relay("127.0.0.1"), &["http/1.1"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let folder = tempfile::Builder::new()
            .prefix("raw-api-server-")
            .tempdir()
            .expect("a temporary folder");
        write_kubeconfig(
            folder.path(),
            address,
            &authority,
            &format!("token: {TOKEN}"),
        );
        let (sender, requests) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(await_request(acceptor.clone(), socket, sender.clone()));
            }
        });
        Self {
            folder,
            requests: Mutex::new(requests),
        }
    }

    /// The kubeconfig of the exit for it.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// The next request.
    pub(crate) async fn asked(&self) -> Asked {
        wait::within("a request at the API server", async {
            self.requests.lock().await.recv().await
        })
        .await
        .expect("the server lives as long as the test")
    }

    /// Whether no further request has come.
    pub(crate) async fn was_not_asked(&self) -> bool {
        self.requests.lock().await.try_recv().is_err()
    }
}

async fn await_request(acceptor: TlsAcceptor, socket: TcpStream, requests: mpsc::Sender<Asked>) {
    let Ok(stream) = acceptor.accept(socket).await else {
        return;
    };
    let mut wire = Wire::new(stream);
    // A connection opened in advance may never be used.
    let Some(head) = wire.try_head().await else {
        return;
    };
    // The test may have ended.
    drop(requests.send(Asked { head, wire }).await);
}

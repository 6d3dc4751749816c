//! A connection to one member, over HTTP/2 in mutual TLS.

use std::sync::Arc;

use gangplank_config::upstream::Server;
use gangplank_config::{Anchors, KeyPair};
use gangplank_pki::crypto;
use http::Request;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::{ClientConfig, RootCertStore, version};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{AGENT, AttemptFault, Client, PING, PONG};
use crate::etcd::call::{Answers, CallFault, Said};
use crate::etcd::heard::Heard;

/// A connection; it ends with its last owner.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) member: usize,
    pub(super) sender: SendRequest<Said>,
    pub(super) heard: Heard,
    _end: DropGuard,
}

/// Where a connection's tasks run: counted, and no longer than the connection has an owner.
#[derive(Clone)]
struct Berth {
    tasks: TaskTracker,
    end: CancellationToken,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Berth {
    fn execute(&self, task: F) {
        drop(
            self.tasks
                .spawn(self.end.clone().run_until_cancelled_owned(task)),
        );
    }
}

impl Client {
    /// The files are read for each: a certificate that was renewed is so in use at once.
    pub(super) async fn dial(&self, member: usize) -> Result<Arc<Connection>, AttemptFault> {
        let server = self.server(member)?;
        let tcp = TcpStream::connect((server.host.as_str(), server.port))
            .await
            .map_err(AttemptFault::Unreachable)?;
        let heard = Heard::now();
        let (authorities, key_pair) = (self.etcd.authorities.clone(), self.etcd.key_pair.clone());
        let made = spawn_blocking(move || {
            let read = |fault| AttemptFault::Material(fault);
            let (authorities, shown) = (
                authorities.read().map_err(read)?,
                key_pair.read().map_err(read)?,
            );
            tls(&authorities, &shown).map_err(AttemptFault::Unusable)
        });
        let tls = made.await.unwrap_or(Err(AttemptFault::Unread))?;
        let name = server.tls_server_name.clone();
        let secured = TlsConnector::from(tls).connect(name, heard.over(tcp)).await;
        let secured = TokioIo::new(secured.map_err(AttemptFault::Tls)?);
        let end = CancellationToken::new();
        let berth = Berth {
            tasks: self.tasks.clone(),
            end: end.clone(),
        };
        let (sender, running) = Builder::new(berth.clone())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .handshake(secured)
            .await
            .map_err(AttemptFault::Protocol)?;
        berth.execute(running);
        Ok(Arc::new(Connection {
            member,
            sender,
            heard,
            _end: end.drop_guard(),
        }))
    }
}

impl Connection {
    pub(super) async fn call(
        &self,
        server: &Server,
        path: &str,
        said: Said,
    ) -> Result<Answers<Incoming>, AttemptFault> {
        let request = Request::post(format!("https://{}{path}", server.authority))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("user-agent", AGENT)
            // A member that knows no leader says so, instead of a silence that looks as if nothing happened.
            .header("hasleader", "true")
            .body(said)
            .map_err(AttemptFault::Request)?;
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(CallFault::Broken)?;
        let answered = sender.send_request(request).await;
        Ok(Answers::of(answered.map_err(CallFault::Broken)?)?)
    }
}

fn tls(authorities: &Anchors, shown: &KeyPair) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for anchor in authorities.certificates() {
        roots.add(anchor)?;
    }
    let mut tls = ClientConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_root_certificates(roots)
        .with_client_auth_cert(shown.chain().to_vec(), shown.private_key())?;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(tls))
}

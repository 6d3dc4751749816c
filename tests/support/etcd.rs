//! A real etcd of one member, in mutual TLS: the one that was built for the clusters.

use std::convert::Infallible;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use gangplank_config::role::relay::Etcd as Settings;
use gangplank_config::upstream::Server;
use gangplank_config::{Anchors, KeyPair, Material};
use gangplank_pki::{TrustAnchor, pem};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificates::{Authority, Papers};
use super::wait;

/// Below what the kernel gives out by itself, so that nobody has it while etcd is restarted; above those of the
/// clusters' parts (`tests/cluster/internal/cluster/ports.go` begins at 20,000).
const PORTS: std::ops::Range<u16> = 12_000..19_998;

/// An etcd. It ends with this process, however that ends.
#[derive(Debug)]
pub(crate) struct Etcd {
    folder: TempDir,
    child: Child,
    port: u16,
    authority: Authority,
}

impl Etcd {
    /// Starts one and waits until it answers.
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("gangplank-etcd-")
            .tempdir()
            .expect("a temporary folder");
        let authority = Authority::new("etcd CA");
        // For servers alone: whoever runs an etcd for us need not issue it anything unusual.
        authority.relay("127.0.0.1").write(folder.path(), "server");
        authority.caller("relay").write(folder.path(), "relay");
        fs::write(folder.path().join("ca.crt"), authority.pem()).expect("written");
        let port = free_pair();
        let child = run(folder.path(), port);
        let mut etcd = Self {
            folder,
            child,
            port,
            authority,
        };
        while !etcd.answers() {
            // Somebody else took the port in between.
            etcd.port = free_pair();
            etcd.child = run(etcd.folder.path(), etcd.port);
        }
        etcd
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our own child can be ended");
        self.child.wait().expect("and waited for");
    }

    /// Starts it again with what it had.
    pub(crate) fn restart(&mut self) {
        self.child = run(self.folder.path(), self.port);
        assert!(self.answers(), "{}", self.log());
    }

    /// The `register` of a relay's file, with its keys below this prefix.
    pub(crate) fn register(&self, prefix: &str) -> String {
        let folder = self.folder.path().display();
        format!(
            "{{ etcd: {{ endpoints: [\"https://127.0.0.1:{}\"], prefix: {prefix}, caFile: {folder}/ca.crt, \
             certificateFile: {folder}/relay.crt, keyFile: {folder}/relay.key }} }}",
            self.port
        )
    }

    /// The same as it is meant.
    pub(crate) fn settings(&self, prefix: &str) -> Settings {
        self.settings_as(&self.authority.caller("relay"), prefix)
    }

    /// The same for somebody else.
    pub(crate) fn settings_as(&self, papers: &Papers, prefix: &str) -> Settings {
        let der = pem::certificates(self.authority.pem().as_bytes()).expect("PEM");
        let anchor = TrustAnchor::parse(der[0].clone()).expect("an authority");
        let key_pair = KeyPair::new(papers.chain(), papers.key()).expect("a key pair");
        Settings {
            endpoints: vec![Server {
                host: "127.0.0.1".to_owned(),
                port: self.port,
                authority: format!("127.0.0.1:{}", self.port),
                tls_server_name: ServerName::try_from("127.0.0.1").expect("an address"),
            }],
            prefix: prefix.to_owned(),
            authorities: Material::fixed(Anchors::new(vec![anchor])),
            key_pair: Material::fixed(key_pair),
        }
    }

    /// Its clients' authority.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// One call of its API with a message in protobuf's encoding; answers the message that comes back.
    pub(crate) async fn call(&self, path: &str, message: &[u8]) -> Bytes {
        let papers = self.authority.caller("root");
        let mut tls = ClientConfig::builder_with_provider(gangplank_pki::crypto::provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.authority.roots())
            .with_client_auth_cert(papers.chain(), papers.key())
            .expect("a key pair");
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let address = format!("127.0.0.1:{}", self.port);
        let tcp = TcpStream::connect(&address).await.expect("it listens");
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let tls = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await;
        let io = TokioIo::new(tls.expect("TLS"));
        let (mut sender, running) = http2::handshake(TokioExecutor::new(), io)
            .await
            .expect("HTTP/2");
        let running = tokio::spawn(running);
        let length = u32::try_from(message.len())
            .expect("it is short")
            .to_be_bytes();
        let body = [&[0], &length[..], message].concat();
        let request = Request::post(format!("https://{address}{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::<Bytes>::from(body).map_err(|never: Infallible| match never {}))
            .expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        let whole = answer.into_body().collect().await.expect("a body");
        let status = whole.trailers().and_then(|sent| sent.get("grpc-status"));
        assert_eq!(status.expect("a status"), "0", "{path}");
        drop(sender);
        drop(running.await);
        whole.to_bytes().slice(5..)
    }

    /// Everything that lies below a prefix, as text.
    pub(crate) async fn dump(&self, prefix: &str) -> String {
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let bytes = |tag: u8, text: &str| {
            let length = u8::try_from(text.len()).expect("it is short");
            [&[tag, length], text.as_bytes()].concat()
        };
        let message = [bytes(0x0a, prefix), bytes(0x12, &end)].concat();
        let answer = self.call("/etcdserverpb.KV/Range", &message).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Writes a key as somebody else would.
    pub(crate) async fn put(&self, key: &str, value: &str) {
        let bytes = |tag: u8, text: &str| {
            let length = u8::try_from(text.len()).expect("it is short");
            [&[tag, length], text.as_bytes()].concat()
        };
        let message = [bytes(0x0a, key), bytes(0x12, value)].concat();
        self.call("/etcdserverpb.KV/Put", &message).await;
    }

    /// Forgets every state but the newest.
    pub(crate) async fn compact(&self) {
        // The header of an answer is its first field; in it, the revision is the third.
        let answer = self.call("/etcdserverpb.KV/Range", &[0x0a, 1, b'-']).await;
        let revision = revision_in(&answer);
        let mut message = vec![0x08];
        message.extend(varint(revision));
        self.call("/etcdserverpb.KV/Compact", &message).await;
    }

    fn answers(&mut self) -> bool {
        let port = self.port;
        let log = self.folder.path().join("log");
        wait::until("etcd to answer", || {
            if self.child.try_wait().expect("our own child").is_some() {
                return Some(false);
            }
            let said = fs::read_to_string(&log).unwrap_or_default();
            let serves = said
                .rsplit_once(STARTED)
                .is_some_and(|(_, since)| since.contains("ready to serve client requests"));
            let open = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            (serves && open).then_some(true)
        })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have been ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Stands in the log before each start.
const STARTED: &str = "---- started ----\n";

fn run(folder: &Path, port: u16) -> Child {
    use std::io::Write as _;
    let mut log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .expect("a log file");
    log.write_all(STARTED.as_bytes()).expect("written");
    let file = |name: &str| folder.join(name).display().to_string();
    let client = format!("https://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{}", port + 1);
    // Of util-linux, as unshare: etcd ends when this process is killed.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(super::cluster::etcd())
        .args(["--name=e", &format!("--data-dir={}", file("data"))])
        .arg(format!("--listen-client-urls={client}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=e={peer}"))
        .arg(format!("--cert-file={}", file("server.crt")))
        .arg(format!("--key-file={}", file("server.key")))
        .arg(format!("--trusted-ca-file={}", file("ca.crt")))
        // What is written survives the kill of a process without it, and only that is tested.
        .args([
            "--client-cert-auth",
            "--log-level=info",
            "--unsafe-no-fsync",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("etcd starts")
}

/// Two free ports, one behind the other.
fn free_pair() -> u16 {
    // None twice in this process: one that was killed comes back to its own.
    static TAKEN: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    let taken = TAKEN.fetch_add(50, std::sync::atomic::Ordering::Relaxed);
    let start = u16::try_from(std::process::id() % 2000).expect("below 2000") * 2 + taken % 3000;
    let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let first = PORTS.start;
    let span = PORTS.end - first;
    (0..span / 2)
        .map(|step| first + (start + step * 2) % span)
        .find(|port| free(*port) && free(*port + 1))
        .expect("free ports")
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("seven bits"));
    bytes
}

/// The field 3 of the message that is field 1: `ResponseHeader.revision`.
fn revision_in(answer: &[u8]) -> u64 {
    let mut bytes = answer.iter().copied();
    let mut number = || {
        let (mut value, mut shift) = (0, 0);
        for byte in bytes.by_ref() {
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
        value
    };
    assert_eq!(number(), 0x0a, "a header");
    number();
    for field in [0x08, 0x10] {
        assert_eq!(number(), field);
        number();
    }
    assert_eq!(number(), 0x18, "the revision");
    number()
}

//! TLS of generator and upstream: the same for all stacks.
//!
//! X25519 is the one key exchange, since not every peer knows a newer one: with more, a handshake would be
//! dearer for those that do. No session is ever resumed.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use gangplank_pki::{crypto, pem};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::kx_group::X25519;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::way::{Line, Socket, Way};

/// HTTP/1.1 or HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    fn alpn(self) -> Vec<u8> {
        match self {
            Self::Http1 => b"http/1.1".to_vec(),
            Self::Http2 => b"h2".to_vec(),
        }
    }
}

/// The caller's side.
#[derive(Clone)]
pub(crate) struct Connector(TlsConnector);

impl Connector {
    /// With the papers of a way.
    pub(crate) fn new(way: &Way, protocol: Protocol) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&way.authority)? {
            roots.add(certificate)?;
        }
        let (chain, key) = &way.papers;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(chain)?, private_key(key)?)?;
        config.alpn_protocols = vec![protocol.alpn()];
        config.resumption = Resumption::disabled();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// A handshake.
    pub(crate) async fn connect(
        &self,
        server_name: &str,
        socket: Box<dyn Socket>,
    ) -> std::io::Result<Line> {
        let name = ServerName::try_from(server_name.to_owned()).map_err(std::io::Error::other)?;
        self.0.connect(name, socket).await
    }
}

/// The upstream's side: it asks for no certificate, its callers have a token.
pub(crate) fn acceptor(chain: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates(chain)?, private_key(key)?)?;
    config.alpn_protocols = vec![Protocol::Http2.alpn(), Protocol::Http1.alpn()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn provider() -> Arc<CryptoProvider> {
    let mut provider = CryptoProvider::clone(&crypto::provider());
    provider.kx_groups = vec![X25519];
    Arc::new(provider)
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(pem::certificates(&text)?)
}

fn private_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(pem::private_key(&text)?)
}

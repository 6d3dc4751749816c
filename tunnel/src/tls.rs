//! TLS as every transport of the tunnel has it: version 1.3 alone, both sides with certificates, nothing
//! resumed. Whoever connects is judged by the verifier of that moment.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The protocol's name in the TLS handshake.
pub const ALPN: &[u8] = b"gangplank/1";

/// Who the agent is to a relay, and who judges the relay's certificate.
#[derive(Debug)]
pub struct AgentTls {
    /// The agent's certificate chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
    /// Judges the relay's certificate.
    pub relay: Arc<dyn ServerCertVerifier>,
}

/// Who the relay is to agents, and who judges theirs.
#[derive(Debug)]
pub struct RelayTls {
    /// The relay's certificate chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
    /// Judges agents' certificates. It must demand one.
    pub agents: Arc<dyn ClientCertVerifier>,
}

/// Why a TLS identity cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// rustls did not take certificate and key.
    #[error("the certificate and its key cannot be used together; do they belong to one another?")]
    Identity(#[source] rustls::Error),
    /// The crypto provider lacks what QUIC needs.
    #[error("the crypto provider has no TLS 1.3 suite that QUIC can use")]
    NoInitialSuite,
}

impl TlsError {
    /// The error as one word, for metrics and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Identity(_) => "IdentityUnusable",
            Self::NoInitialSuite => "NoInitialSuite",
        }
    }
}

/// The agent's side.
pub(crate) fn client(tls: AgentTls) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Identity)?
        .dangerous()
        .with_custom_certificate_verifier(tls.relay)
        .with_client_auth_cert(tls.chain, tls.key)
        .map_err(TlsError::Identity)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// The relay's side.
pub(crate) fn server(tls: RelayTls) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Identity)?
        .with_client_cert_verifier(tls.agents)
        .with_single_cert(tls.chain, tls.key)
        .map_err(TlsError::Identity)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

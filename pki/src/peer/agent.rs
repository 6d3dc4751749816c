//! The relay's verifier of agents.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{VerifierFault, as_tls_error, read_anchors, tunnel_name};
use crate::anchor::TrustAnchor;
use crate::clock::Clock;
use crate::crypto;
use crate::path::{self, Chain, Trusted, Usage};

/// Lets in agents only: a certificate is mandatory, its chain ends at a given CA, it says clientAuth
/// and has exactly one DNS name, which is a tunnel's.
#[derive(Debug)]
pub struct AgentVerifier {
    anchors: Vec<TrustAnchor>,
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
}

impl AgentVerifier {
    /// A verifier by these CAs. The time is the clock's, not that of the TLS configuration.
    ///
    /// # Errors
    /// When there is no CA or one that cannot be trusted.
    pub fn new(
        anchors: &[CertificateDer<'_>],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VerifierFault> {
        Ok(Self {
            anchors: read_anchors(anchors)?,
            clock,
            provider: crypto::provider(),
        })
    }
}

impl ClientCertVerifier for AgentVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let sent: Vec<_> = std::iter::once(end_entity)
            .chain(intermediates)
            .cloned()
            .collect();
        let chain = Chain::read(&sent).map_err(as_tls_error)?;
        let anchors: Vec<_> = self.anchors.iter().map(Trusted::from).collect();
        path::verify(&chain, &anchors, Usage::AgentAtRelay, self.clock.now())
            .map_err(as_tls_error)?;
        tunnel_name(&sent).map_err(|fault| {
            let fault = OtherError(Arc::new(fault));
            rustls::Error::InvalidCertificate(rustls::CertificateError::Other(fault))
        })?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

//! The agent's verifier of relays.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{VerifierFault, as_tls_error, read_anchors};
use crate::anchor::TrustAnchor;
use crate::clock::Clock;
use crate::crypto;
use crate::path::{self, Chain, Trusted, Usage};

/// Accepts one relay: its chain ends at a given CA, it says serverAuth and carries the host name or
/// address that was dialled among its alternative names.
#[derive(Debug)]
pub struct RelayVerifier {
    anchors: Vec<TrustAnchor>,
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
}

impl RelayVerifier {
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

impl ServerCertVerifier for RelayVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let sent: Vec<_> = std::iter::once(end_entity)
            .chain(intermediates)
            .cloned()
            .collect();
        let chain = Chain::read(&sent).map_err(as_tls_error)?;
        let anchors: Vec<_> = self.anchors.iter().map(Trusted::from).collect();
        path::verify(&chain, &anchors, Usage::RelayAtAgent, self.clock.now())
            .map_err(as_tls_error)?;
        chain
            .end_entity()
            .verify_is_valid_for_subject_name(server_name)
            .map_err(|_other| {
                rustls::Error::InvalidCertificate(CertificateError::NotValidForName)
            })?;
        Ok(ServerCertVerified::assertion())
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

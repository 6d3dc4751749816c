//! The joining agent's verifier of relays: all that it knows is the fingerprint of the relay's authority.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::RelayVerifier;
use crate::clock::Clock;
use crate::crypto;
use crate::fingerprint::Fingerprint;

/// Accepts one relay, as [`RelayVerifier`] does, by the authority among the certificates it shows that has
/// the given SHA-256.
#[derive(Debug)]
pub struct PinnedRelayVerifier {
    pin: Fingerprint,
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
}

impl PinnedRelayVerifier {
    /// A verifier by the SHA-256 of an authority's certificate.
    pub fn new(pin: Fingerprint, clock: Arc<dyn Clock>) -> Self {
        Self {
            pin,
            clock,
            provider: crypto::provider(),
        }
    }
}

impl ServerCertVerifier for PinnedRelayVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let pinned = |certificate: &&CertificateDer<'_>| Fingerprint::of(certificate) == self.pin;
        let authority = intermediates.iter().find(pinned).ok_or_else(unknown)?;
        let verifier = RelayVerifier::new(std::slice::from_ref(authority), Arc::clone(&self.clock))
            .map_err(|_no_authority| unknown())?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
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

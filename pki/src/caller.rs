//! The exit's verifier of callers, at the handshake.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::EndEntityCert;

use crate::bundle::TrustBundle;
use crate::clock::Clock;
use crate::crypto;
use crate::identify::identify;
use crate::peer::as_tls_error;

/// Where the bundle that counts right now comes from.
pub type BundleSource = Arc<dyn Fn() -> Arc<TrustBundle> + Send + Sync>;

/// Asks every caller for a certificate, without naming any CA: the list of what is trusted is nobody's
/// business, and thousands of names do not fit into a handshake.
///
/// That the caller has the key of what it sends is always proven. Who it is is decided after the
/// handshake, by [`identify`], so that the refusal can be told in HTTP; with
/// [`CallerVerifier::require`] it is asked in the handshake already and refuses there.
pub struct CallerVerifier {
    require: Option<Require>,
    provider: Arc<CryptoProvider>,
}

struct Require {
    bundle: BundleSource,
    clock: Arc<dyn Clock>,
}

impl CallerVerifier {
    /// A certificate is asked for and may be missing; one that can be read passes.
    pub fn request() -> Self {
        Self {
            require: None,
            provider: crypto::provider(),
        }
    }

    /// A certificate is mandatory and must make its owner someone at this moment.
    pub fn require(bundle: BundleSource, clock: Arc<dyn Clock>) -> Self {
        Self {
            require: Some(Require { bundle, clock }),
            provider: crypto::provider(),
        }
    }
}

impl fmt::Debug for CallerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.require.is_some() {
            "Require"
        } else {
            "Request"
        };
        f.debug_struct("CallerVerifier")
            .field("mode", &mode)
            .finish_non_exhaustive()
    }
}

impl ClientCertVerifier for CallerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.require.is_some()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match &self.require {
            Some(Require { bundle, clock }) => {
                let chain: Vec<_> = std::iter::once(end_entity)
                    .chain(intermediates)
                    .cloned()
                    .collect();
                let _who = identify(&bundle(), &chain, clock.now()).map_err(as_tls_error)?;
            }
            None => {
                let _readable = EndEntityCert::try_from(end_entity).map_err(|_form| {
                    rustls::Error::InvalidCertificate(CertificateError::BadEncoding)
                })?;
            }
        }
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

#[cfg(test)]
mod tests;

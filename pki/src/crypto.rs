//! The one cryptography provider of the program.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls_pki_types::SignatureVerificationAlgorithm;

/// aws-lc-rs with the TLS 1.3 suites and, for TLS 1.2, ECDHE with an AEAD only. Everything in the
/// program that speaks TLS or QUIC takes its provider from here.
///
/// TLS 1.0, 1.1, CBC suites and RSA key exchange do not exist in rustls at all; the list of suites
/// is written out all the same, so that a new default of the library does not widen it.
pub fn provider() -> Arc<CryptoProvider> {
    use aws_lc_rs::cipher_suite as suite;

    Arc::new(CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        ..aws_lc_rs::default_provider()
    })
}

/// The signature algorithms a certificate chain may use: no SHA-1, no MD5, no RSA below 2048 bits.
pub(crate) fn chain_algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    webpki::ALL_VERIFICATION_ALGS
}

#[cfg(test)]
mod tests {
    use rustls::CipherSuite;

    use super::*;

    #[test]
    fn only_forward_secret_aead_suites_are_offered() {
        for suite in &provider().cipher_suites {
            let name = format!("{:?}", suite.suite());
            assert!(
                name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_"),
                "{name}"
            );
            assert!(name.contains("GCM") || name.contains("POLY1305"), "{name}");
        }
        let first = provider()
            .cipher_suites
            .first()
            .map(rustls::SupportedCipherSuite::suite);
        assert_eq!(first, Some(CipherSuite::TLS13_AES_256_GCM_SHA384));
    }
}

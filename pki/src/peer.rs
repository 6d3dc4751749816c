//! Who is at the other end of a tunnel: verifiers for agents and relays.

mod agent;
mod pinned;
mod relay;

pub use agent::{Accounts, AgentVerifier, ForeignAccount};
pub use pinned::PinnedRelayVerifier;
pub use relay::RelayVerifier;

use std::sync::Arc;

use rustls::{CertificateError, OtherError};
use rustls_pki_types::CertificateDer;
use thiserror::Error;

use crate::anchor::{AnchorFault, TrustAnchor};
use crate::refusal::Refusal;
use crate::tunnel_name::{TunnelName, TunnelNameFault};

/// Why CAs do not make a verifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifierFault {
    /// It would let nobody in.
    #[error("there is no CA certificate to verify peers by; give at least one")]
    NoAnchors,
    /// One of them cannot be trusted.
    #[error("CA certificate {position} cannot be trusted")]
    Anchor {
        /// Which, counted from 1.
        position: usize,
        /// Why.
        #[source]
        source: AnchorFault,
    },
}

impl VerifierFault {
    /// The kind of fault, for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoAnchors => "NoAnchors",
            Self::Anchor { source, .. } => source.reason(),
        }
    }
}

/// The tunnel an agent's certificate is for, once its handshake has been verified: the only DNS name
/// of the first certificate of the chain.
///
/// # Errors
/// When the chain is empty or its leaf does not name exactly one tunnel.
pub fn tunnel_name(chain: &[CertificateDer<'_>]) -> Result<TunnelName, TunnelNameFault> {
    let leaf = chain
        .first()
        .ok_or(TunnelNameFault::NotOneDnsName { names: 0 })?;
    TunnelName::from_agent_certificate(leaf)
}

fn read_anchors(certificates: &[CertificateDer<'_>]) -> Result<Vec<TrustAnchor>, VerifierFault> {
    if certificates.is_empty() {
        return Err(VerifierFault::NoAnchors);
    }
    certificates
        .iter()
        .zip(1..)
        .map(|(der, position)| {
            TrustAnchor::parse(der.clone())
                .map_err(|source| VerifierFault::Anchor { position, source })
        })
        .collect()
}

/// A refusal as rustls wants it: what has an alert of its own gets it, the rest keeps its words.
pub(crate) fn as_tls_error(refusal: Refusal) -> rustls::Error {
    let error = match refusal {
        Refusal::NoCertificate => return rustls::Error::NoCertificatesPresented,
        Refusal::Malformed { .. } => CertificateError::BadEncoding,
        Refusal::UnknownIssuer { .. } => CertificateError::UnknownIssuer,
        Refusal::Expired { .. } => CertificateError::Expired,
        Refusal::NotYetValid { .. } => CertificateError::NotValidYet,
        Refusal::Revoked { .. } => CertificateError::Revoked,
        Refusal::RevocationUnknown { .. } => CertificateError::UnknownRevocationStatus,
        Refusal::WrongPurpose { .. } | Refusal::IsAuthority { .. } => {
            CertificateError::InvalidPurpose
        }
        _ => CertificateError::Other(OtherError(Arc::new(refusal))),
    };
    rustls::Error::InvalidCertificate(error)
}

#[cfg(test)]
mod tests;

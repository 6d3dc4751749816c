//! Why a revocation list revokes nothing.

use thiserror::Error;

/// Why a list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RevocationListFault {
    /// It cannot be read.
    #[error("this is not a well-formed X.509 revocation list; fetch it anew from the CA")]
    Malformed,
    /// Version 1, which cannot say what it covers.
    #[error("this revocation list is not of version 2; have the CA issue one as RFC 5280 has it")]
    NotVersion2,
    /// Nobody could say when it is too old.
    #[error(
        "this revocation list does not say when the next one comes; have the CA add nextUpdate"
    )]
    NoNextUpdate,
    /// Changes to another list only.
    #[error("this is a delta list, which says nothing by itself; give the full list")]
    Delta,
    /// It has an issuing distribution point: it may be about a part of the certificates only.
    #[error(
        "this list may cover a part of the CA's certificates only (issuing distribution point); give \
         a full list without one"
    )]
    Partial,
    /// It speaks for other authorities.
    #[error("this list is about the certificates of other CAs (indirect); give each CA's own list")]
    Indirect,
    /// Something in it demands to be understood and is not.
    #[error("this list has a critical extension that is not understood here; give one without it")]
    CriticalExtension,
    /// Nobody of that name is trusted.
    #[error("no CA `{issuer}` is trusted here, which this list is of; remove it, or add its CA")]
    UnknownAuthority {
        /// The authority it claims.
        issuer: String,
    },
    /// More than 16 authorities of that name, and no key identifier to tell which.
    #[error(
        "too many CAs are called `{issuer}`; have the list issued with an authority key identifier"
    )]
    TooManyAuthorities {
        /// The name they share.
        issuer: String,
    },
    /// The name fits and the signature does not.
    #[error(
        "this list was not signed by the CA `{issuer}` that is trusted here; fetch it from that CA"
    )]
    Signature {
        /// The authority it claims.
        issuer: String,
    },
    /// Its key usage lacks cRLSign.
    #[error("the CA `{issuer}` may not sign revocation lists (key usage); have the CA issued anew")]
    KeyUsage {
        /// The authority.
        issuer: String,
    },
}

impl RevocationListFault {
    /// The kind of fault, for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "RevocationListMalformed",
            Self::NotVersion2 => "RevocationListNotVersion2",
            Self::NoNextUpdate => "RevocationListWithoutNextUpdate",
            Self::Delta => "RevocationListDelta",
            Self::Partial => "RevocationListPartial",
            Self::Indirect => "RevocationListIndirect",
            Self::CriticalExtension => "RevocationListCriticalExtension",
            Self::UnknownAuthority { .. } => "RevocationListOfNobody",
            Self::TooManyAuthorities { .. } => "RevocationListAmbiguous",
            Self::Signature { .. } => "RevocationListSignature",
            Self::KeyUsage { .. } => "RevocationListKeyUsage",
        }
    }
}

/// webpki's verdict on the form, in our words.
pub(super) fn of_form(error: &webpki::Error) -> RevocationListFault {
    use webpki::Error;

    match error {
        Error::UnsupportedCrlVersion => RevocationListFault::NotVersion2,
        Error::UnsupportedDeltaCrl => RevocationListFault::Delta,
        Error::UnsupportedIndirectCrl => RevocationListFault::Indirect,
        Error::UnsupportedCriticalExtension => RevocationListFault::CriticalExtension,
        Error::UnsupportedCrlIssuingDistributionPoint
        | Error::UnsupportedRevocationReasonsPartitioning => RevocationListFault::Partial,
        _ => RevocationListFault::Malformed,
    }
}

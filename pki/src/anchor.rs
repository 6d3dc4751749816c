//! One CA certificate that is trusted.

use aws_lc_rs::digest;
use rustls_pki_types::{CertificateDer, Der, TrustAnchor as WebpkiAnchor, UnixTime};
use thiserror::Error;

use crate::certificate::Certificate;
use crate::fingerprint::Fingerprint;
use crate::refusal::Purpose;

/// The certificate of a CA, checked as certificates are, because webpki looks at nothing of an
/// anchor but its name, key and name constraints.
///
/// Its own signature is not verified: trust comes from the file it was in, and a signature by the key that
/// is to be trusted adds nothing. So a root that signed itself with SHA-1 is taken, as kube-apiserver takes
/// it (Go's verifier looks at no root's signature either); what it issues must be signed with SHA-2.
#[derive(Debug, Clone)]
pub struct TrustAnchor {
    der: CertificateDer<'static>,
    webpki: WebpkiAnchor<'static>,
    fingerprint: Fingerprint,
    key_fingerprint: Fingerprint,
    subject: Vec<u8>,
    subject_text: String,
    key_id: Vec<u8>,
    not_before: UnixTime,
    not_after: UnixTime,
    path_length: Option<usize>,
    /// What its extended key usage, if any, allows below it.
    purposes: Vec<Purpose>,
    signs_lists: bool,
}

impl TrustAnchor {
    /// Reads a CA certificate: version 3, CA bit set, allowed to sign certificates, a key that is
    /// strong enough, no critical extension that is not understood.
    ///
    /// Its validity is kept and judged at use, so that a CA which is not valid yet can be rolled out
    /// and one that has expired does not take its provider down at load.
    ///
    /// # Errors
    /// When it is none of that.
    pub fn parse(der: CertificateDer<'_>) -> Result<Self, AnchorFault> {
        let der = der.into_owned();
        let certificate = Certificate::parse(&der).ok_or(AnchorFault::Malformed)?;
        let subject_text = certificate.subject_text();
        check(&certificate, &subject_text)?;
        let webpki = webpki::anchor_from_trusted_cert(&der)
            .map_err(|_coarse| AnchorFault::Malformed)?
            .to_owned();
        let key_id = certificate
            .key_id()
            .map_or_else(|| implied_key_id(&certificate), <[u8]>::to_vec);
        Ok(Self {
            fingerprint: Fingerprint::of(&der),
            key_fingerprint: Fingerprint::of(certificate.public_key()),
            subject: certificate.subject().to_vec(),
            key_id,
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            path_length: certificate.path_length(),
            purposes: [Purpose::Client, Purpose::Server]
                .into_iter()
                .filter(|purpose| certificate.allows(*purpose))
                .collect(),
            signs_lists: certificate.may_sign_lists(),
            subject_text,
            webpki,
            der: der.clone(),
        })
    }

    /// The certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// SHA-256 over the certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// SHA-256 over its subjectPublicKeyInfo: the same for a CA that was issued anew with its key.
    pub fn key_fingerprint(&self) -> Fingerprint {
        self.key_fingerprint
    }

    /// Its name for people, such as `CN=ca, O=Example`.
    pub fn subject_text(&self) -> &str {
        &self.subject_text
    }

    /// First second of its validity.
    pub fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// Last second of its validity.
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Its name as encoded, the first half of what leaves are matched by.
    pub(crate) fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The identifier of its key, the second half: as it says, or as RFC 5280 §4.2.1.2 (1) would
    /// compute it when it says nothing.
    pub(crate) fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    /// How many intermediates may stand between it and a leaf.
    pub(crate) fn path_length(&self) -> Option<usize> {
        self.path_length
    }

    /// Does its extended key usage, if any, allow this use below it?
    pub(crate) fn allows(&self, purpose: Purpose) -> bool {
        self.purposes.contains(&purpose)
    }

    /// Does its key usage, if it has one, allow to sign revocation lists?
    pub(crate) fn may_sign_lists(&self) -> bool {
        self.signs_lists
    }

    /// The content of its subjectPublicKeyInfo.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.webpki.subject_public_key_info
    }

    /// What webpki knows of it, borrowed.
    pub(crate) fn for_webpki(&self) -> WebpkiAnchor<'_> {
        WebpkiAnchor {
            subject: Der::from_slice(&self.webpki.subject),
            subject_public_key_info: Der::from_slice(&self.webpki.subject_public_key_info),
            name_constraints: self.webpki.name_constraints.as_deref().map(Der::from_slice),
        }
    }
}

fn check(certificate: &Certificate<'_>, subject: &str) -> Result<(), AnchorFault> {
    let subject = || subject.to_owned();
    if !certificate.is_version_3() {
        return Err(AnchorFault::NotVersion3 { subject: subject() });
    }
    if !certificate.is_authority() {
        return Err(AnchorFault::NotAnAuthority { subject: subject() });
    }
    if !certificate.may_sign_certificates() {
        return Err(AnchorFault::KeyUsage { subject: subject() });
    }
    if certificate.not_before() > certificate.not_after() {
        return Err(AnchorFault::NeverValid { subject: subject() });
    }
    if let Err(key) = certificate.key_kind() {
        return Err(AnchorFault::WeakKey {
            subject: subject(),
            key,
        });
    }
    if let Some(oid) = certificate.unknown_critical_extension() {
        return Err(AnchorFault::CriticalExtension {
            subject: subject(),
            oid,
        });
    }
    Ok(())
}

fn implied_key_id(certificate: &Certificate<'_>) -> Vec<u8> {
    let bits = certificate.public_key_bits();
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bits)
        .as_ref()
        .to_vec()
}

/// Why a certificate cannot be trusted as a CA.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AnchorFault {
    /// It cannot be read.
    #[error("this is not a well-formed X.509 certificate; export the CA's certificate anew")]
    Malformed,
    /// Version 1 or 2, which cannot say what it may be used for.
    #[error("`{subject}` is not an X.509 version 3 certificate; have the CA issued anew")]
    NotVersion3 {
        /// Whose.
        subject: String,
    },
    /// No CA bit: a leaf, most likely.
    #[error("`{subject}` is not the certificate of a CA; give the one that issued it")]
    NotAnAuthority {
        /// Whose.
        subject: String,
    },
    /// Its key usage lacks keyCertSign.
    #[error("`{subject}` may not sign certificates (key usage); have the CA issued anew")]
    KeyUsage {
        /// Whose.
        subject: String,
    },
    /// It ends before it begins.
    #[error("`{subject}` ends before it begins; have the CA issued anew")]
    NeverValid {
        /// Whose.
        subject: String,
    },
    /// RSA below 2048 bits, unknown curves.
    #[error(
        "`{subject}` has {key}, too weak or not supported; use RSA of 2048 bits or more, P-256, \
         P-384, P-521 or Ed25519"
    )]
    WeakKey {
        /// Whose.
        subject: String,
        /// What kind of key.
        key: String,
    },
    /// It demands to be understood and is not.
    #[error("`{subject}` has a critical extension {oid} that is not understood here")]
    CriticalExtension {
        /// Whose.
        subject: String,
        /// Which.
        oid: String,
    },
}

impl AnchorFault {
    /// The kind of fault, for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "AnchorMalformed",
            Self::NotVersion3 { .. } => "AnchorNotVersion3",
            Self::NotAnAuthority { .. } => "AnchorNotAnAuthority",
            Self::KeyUsage { .. } => "AnchorKeyUsage",
            Self::NeverValid { .. } => "AnchorNeverValid",
            Self::WeakKey { .. } => "AnchorWeakKey",
            Self::CriticalExtension { .. } => "AnchorCriticalExtension",
        }
    }
}

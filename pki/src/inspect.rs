//! What is in a certificate file, for people.

use std::net::IpAddr;

use rustls_pki_types::UnixTime;
use x509_parser::asn1_rs::Oid;

use crate::certificate::Certificate;
use crate::fingerprint::Fingerprint;
use crate::pem::{self, PemFault};
use crate::refusal::Purpose;
use crate::tunnel_name::TunnelName;

/// What a certificate seems to be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KindGuess {
    /// It issues others.
    Authority,
    /// clientAuth, and its only DNS name is a tunnel's.
    Agent,
    /// clientAuth, or no purpose given.
    Caller,
    /// serverAuth: an exit's or a relay's.
    Server,
    /// None of these.
    Other,
}

impl KindGuess {
    /// One lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Agent => "agent",
            Self::Caller => "caller",
            Self::Server => "server",
            Self::Other => "other",
        }
    }
}

/// One certificate, in words. Texts that repeat the certificate are escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSummary {
    /// Whose.
    pub subject: String,
    /// By whom.
    pub issuer: String,
    /// Serial number in hexadecimal; empty when it is not one RFC 5280 allows.
    pub serial: String,
    /// What it seems to be for.
    pub kind: KindGuess,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// IP addresses.
    pub ip_addresses: Vec<IpAddr>,
    /// URIs.
    pub uris: Vec<String>,
    /// Extended key usages by name, or as object identifiers; empty when it has none.
    pub extended_key_usages: Vec<String>,
    /// First valid second.
    pub not_before: UnixTime,
    /// Last valid second.
    pub not_after: UnixTime,
    /// SHA-256 over the certificate.
    pub fingerprint: Fingerprint,
    /// SHA-256 over its subjectPublicKeyInfo.
    pub key_fingerprint: Fingerprint,
    /// What kind of key, such as `P-256`.
    pub key: String,
    /// Has it the CA bit?
    pub is_authority: bool,
}

/// Every certificate of a PEM file, in order.
///
/// # Errors
/// When the file is broken, empty, or holds something other than certificates.
pub fn inspect_certificates(pem: &[u8]) -> Result<Vec<CertificateSummary>, PemFault> {
    let certificates = pem::certificates(pem)?;
    Ok(certificates
        .iter()
        .filter_map(|der| inspect_der(der))
        .collect())
}

/// One certificate in DER; none where it cannot be read.
pub fn inspect_der(der: &[u8]) -> Option<CertificateSummary> {
    Some(summary(&Certificate::parse(der)?, der))
}

fn summary(certificate: &Certificate<'_>, der: &[u8]) -> CertificateSummary {
    CertificateSummary {
        subject: certificate.subject_text(),
        issuer: certificate.issuer_text(),
        serial: certificate
            .serial()
            .map(|serial| serial.to_string())
            .unwrap_or_default(),
        kind: guess(certificate),
        dns_names: certificate
            .dns_names()
            .unwrap_or_default()
            .into_iter()
            .map(printable)
            .collect(),
        ip_addresses: certificate.ip_addresses(),
        uris: certificate
            .uris()
            .into_iter()
            .flatten()
            .map(printable)
            .collect(),
        extended_key_usages: extended_key_usages(certificate),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        fingerprint: Fingerprint::of(der),
        key_fingerprint: Fingerprint::of(certificate.public_key()),
        key: certificate.key_kind().unwrap_or_else(|weak| weak),
        is_authority: certificate.is_authority(),
    }
}

fn printable(text: &str) -> String {
    text.escape_default().to_string()
}

fn guess(certificate: &Certificate<'_>) -> KindGuess {
    if certificate.is_authority() {
        return KindGuess::Authority;
    }
    let names_a_tunnel = || match certificate.dns_names().unwrap_or_default().as_slice() {
        [name] => TunnelName::parse(name).is_ok(),
        _ => false,
    };
    match (
        certificate.allows(Purpose::Client),
        certificate.allows(Purpose::Server),
    ) {
        (true, false) if names_a_tunnel() => KindGuess::Agent,
        (true, _) => KindGuess::Caller,
        (false, true) => KindGuess::Server,
        (false, false) => KindGuess::Other,
    }
}

fn extended_key_usages(certificate: &Certificate<'_>) -> Vec<String> {
    let Some(usage) = certificate.extended_key_usage() else {
        return Vec::new();
    };
    [
        (usage.any, "anyExtendedKeyUsage"),
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
    ]
    .into_iter()
    .filter(|(present, _)| *present)
    .map(|(_, name)| name.to_owned())
    .chain(usage.other.iter().map(Oid::to_id_string))
    .collect()
}

#[cfg(test)]
mod tests;

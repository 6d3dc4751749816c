//! Lists of certificates that their own authority takes back (CRLs, RFC 5280 §5).
//!
//! A list is read ([`UnprovenList`]), then proven with the authority's key, which makes it a
//! [`RevocationList`]: nothing else does, so that a list signed by somebody else revokes nobody. That is
//! done once, when the list is loaded; looking a certificate up costs no signature.

mod authorities;
mod fault;

use std::sync::Arc;

use rustls_pki_types::UnixTime;
use webpki::BorrowedCertRevocationList;
use x509_parser::extensions::{AuthorityKeyIdentifier, KeyIdentifier, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::X509Version;

use crate::signed::Signed;
pub use authorities::{Authorities, AuthorityId};
pub use fault::RevocationListFault;

use crate::bundle::MOST_CANDIDATES;
use crate::clock::at;
use crate::distinguished_name;
use crate::fingerprint::Fingerprint;
use crate::serial::Serial;

/// What a list says.
#[derive(Debug, Clone)]
struct Content {
    issuer_text: String,
    /// Grows with each list of an authority; not every authority writes one.
    number: Option<Serial>,
    this_update: UnixTime,
    next_update: UnixTime,
    /// Sorted. 20 bytes each, so that a list takes no more memory than its file.
    revoked: Arc<[Serial]>,
    fingerprint: Fingerprint,
}

/// A list that is well-formed, by whomever it was signed.
#[derive(Debug, Clone)]
pub struct UnprovenList {
    der: Arc<[u8]>,
    issuer: Vec<u8>,
    key_id: Option<Vec<u8>>,
    content: Content,
}

impl UnprovenList {
    /// Reads a whole list in DER.
    ///
    /// A list counts as complete or not at all: delta lists, lists for a part of an authority's
    /// certificates and lists about other authorities' certificates are refused, and so is whatever marks
    /// something as critical that is not understood here.
    ///
    /// # Errors
    /// When it is none of that.
    pub fn parse(der: &[u8]) -> Result<Self, RevocationListFault> {
        let (rest, parsed) = CertificateRevocationList::from_der(der)
            .map_err(|_form| RevocationListFault::Malformed)?;
        if parsed.version() != Some(X509Version::V2) {
            return Err(RevocationListFault::NotVersion2);
        }
        let next_update = parsed
            .next_update()
            .ok_or(RevocationListFault::NoNextUpdate)?;
        // webpki reads every entry, and knows which extensions it understands.
        let strictly = BorrowedCertRevocationList::from_der(der).map_err(|e| fault::of_form(&e))?;
        let issuing_distribution_point = parsed.extensions().iter().any(|extension| {
            matches!(
                extension.parsed_extension(),
                ParsedExtension::IssuingDistributionPoint(_)
            )
        });
        if issuing_distribution_point {
            return Err(RevocationListFault::Partial);
        }
        if !rest.is_empty() || parsed.tbs_cert_list.extensions_map().is_err() {
            return Err(RevocationListFault::Malformed);
        }
        let seconds = |time: x509_parser::time::ASN1Time| {
            u64::try_from(time.timestamp())
                .map(at)
                .map_err(|_before_1970| RevocationListFault::Malformed)
        };
        let content = Content {
            issuer_text: distinguished_name::text(parsed.issuer()),
            number: number(&parsed)?,
            this_update: seconds(parsed.last_update())?,
            next_update: seconds(next_update)?,
            revoked: revoked(&strictly)?,
            fingerprint: Fingerprint::of(der),
        };
        Ok(Self {
            issuer: parsed.issuer().as_raw().to_vec(),
            key_id: key_id(&parsed),
            content,
            der: der.into(),
        })
    }

    /// SHA-256 over the list.
    pub fn fingerprint(&self) -> Fingerprint {
        self.content.fingerprint
    }

    /// Finds the authority that signed it.
    ///
    /// # Errors
    /// When none of these has its name, or none of that name signed it, or the one that did may not sign
    /// lists.
    pub fn prove(
        &self,
        authorities: &Authorities<'_>,
    ) -> Result<RevocationList, RevocationListFault> {
        let issuer = || self.content.issuer_text.clone();
        let mut candidates = authorities.of_name(&self.issuer).to_vec();
        let crowded = candidates.len() > MOST_CANDIDATES;
        if let Some(key_id) = self.key_id.as_deref().filter(|_| crowded) {
            candidates.retain(|anchor| key_id == anchor.key_id());
        }
        if candidates.is_empty() {
            return Err(RevocationListFault::UnknownAuthority { issuer: issuer() });
        }
        if candidates.len() > MOST_CANDIDATES {
            return Err(RevocationListFault::TooManyAuthorities { issuer: issuer() });
        }
        let signed = Signed::split(&self.der).ok_or(RevocationListFault::Malformed)?;
        candidates.retain(|anchor| signed.is_signed_by(anchor.public_key()));
        let signer = candidates
            .first()
            .ok_or_else(|| RevocationListFault::Signature { issuer: issuer() })?;
        if !candidates.iter().any(|anchor| anchor.may_sign_lists()) {
            return Err(RevocationListFault::KeyUsage { issuer: issuer() });
        }
        Ok(RevocationList {
            authority: AuthorityId::of(signer),
            content: self.content.clone(),
        })
    }
}

/// What an authority took back, in its own words.
#[derive(Debug, Clone)]
pub struct RevocationList {
    authority: AuthorityId,
    content: Content,
}

impl RevocationList {
    /// The authority that signed it.
    pub fn authority(&self) -> &AuthorityId {
        &self.authority
    }

    /// The authority's name for people.
    pub fn issuer_text(&self) -> &str {
        &self.content.issuer_text
    }

    /// The list's number in hexadecimal, if it has one.
    pub fn number(&self) -> Option<Serial> {
        self.content.number
    }

    /// When it was issued.
    pub fn this_update(&self) -> UnixTime {
        self.content.this_update
    }

    /// The last second before its successor must be there.
    pub fn next_update(&self) -> UnixTime {
        self.content.next_update
    }

    /// How many certificates it takes back.
    pub fn revoked(&self) -> usize {
        self.content.revoked.len()
    }

    /// SHA-256 over the list.
    pub fn fingerprint(&self) -> Fingerprint {
        self.content.fingerprint
    }

    /// Was it issued before that one of the same authority? By number where both have one; an authority
    /// that uses a number twice is judged by the time.
    pub fn is_older_than(&self, other: &Self) -> bool {
        let (one, two) = (&self.content, &other.content);
        match (one.number, two.number) {
            (Some(number), Some(others)) if number != others => number < others,
            _ => one.this_update < two.this_update,
        }
    }

    /// Does it take this certificate of its authority back?
    pub(crate) fn revokes(&self, serial: Serial) -> bool {
        self.content.revoked.binary_search(&serial).is_ok()
    }
}

/// Its number: a list without one is tolerated, one with an absurd one is not.
fn number(list: &CertificateRevocationList<'_>) -> Result<Option<Serial>, RevocationListFault> {
    list.crl_number()
        .map(|number| {
            Serial::from_magnitude(&number.to_bytes_be()).ok_or(RevocationListFault::Malformed)
        })
        .transpose()
}

fn key_id(list: &CertificateRevocationList<'_>) -> Option<Vec<u8>> {
    list.extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(AuthorityKeyIdentifier {
                key_identifier: Some(KeyIdentifier(id)),
                ..
            }) => Some(id.to_vec()),
            _ => None,
        })
}

fn revoked(list: &BorrowedCertRevocationList<'_>) -> Result<Arc<[Serial]>, RevocationListFault> {
    let mut serials = Vec::new();
    for entry in list {
        let entry = entry.map_err(|error| fault::of_form(&error))?;
        // Only a delta list may take a revocation back (RFC 5280 §5.3.1).
        if entry.reason_code == Some(webpki::RevocationReason::RemoveFromCrl) {
            return Err(RevocationListFault::Delta);
        }
        let serial = Serial::from_integer(entry.serial_number);
        serials.push(serial.ok_or(RevocationListFault::Malformed)?);
    }
    serials.sort_unstable();
    serials.dedup();
    Ok(serials.into())
}

#[cfg(test)]
mod tests;

//! A chain as it was sent, read.

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::certificate::Certificate;
use crate::fingerprint::Fingerprint;
use crate::refusal::{Link, Refusal};
use crate::serial::Serial;

/// Most certificates of a chain that are looked at, the leaf included. webpki builds paths with six
/// intermediates at most; with this bound the worst mesh of equal names costs it a few thousand
/// steps instead of its own limit of 200,000.
const MOST_CERTIFICATES: usize = 8;

/// The leaf, and the others once each.
pub(crate) struct Chain<'a> {
    leaf: Certificate<'a>,
    leaf_der: &'a [u8],
    serial: Serial,
    end_entity: EndEntityCert<'a>,
    intermediates: Vec<CertificateDer<'a>>,
    parsed_intermediates: Vec<Certificate<'a>>,
}

impl<'a> Chain<'a> {
    /// Reads every certificate of the chain; each must be sound, used or not.
    pub(crate) fn read(chain: &'a [CertificateDer<'_>]) -> Result<Self, Refusal> {
        let (leaf_der, others) = chain.split_first().ok_or(Refusal::NoCertificate)?;
        if chain.len() > MOST_CERTIFICATES {
            return Err(Refusal::TooLong {
                certificates: chain.len(),
                most: MOST_CERTIFICATES,
            });
        }
        let end_entity = read_strictly(leaf_der, 1)?;
        let leaf = read(leaf_der, 1)?;
        let serial = leaf.serial().ok_or(Refusal::Malformed {
            position: 1,
            problem: "has a serial number that is negative or longer than 20 bytes",
        })?;
        leaf.key_kind()
            .map_err(|what| Refusal::UnsupportedAlgorithm { what })?;
        let mut read_chain = Self {
            leaf,
            leaf_der,
            serial,
            end_entity,
            intermediates: Vec::new(),
            parsed_intermediates: Vec::new(),
        };
        for (der, position) in others.iter().zip(2..) {
            read_chain.add_intermediate(der, position)?;
        }
        Ok(read_chain)
    }

    fn add_intermediate(
        &mut self,
        der: &'a CertificateDer<'_>,
        position: usize,
    ) -> Result<(), Refusal> {
        let bytes: &'a [u8] = der.as_ref();
        if bytes == self.leaf_der || self.intermediates.iter().any(|seen| seen.as_ref() == bytes) {
            return Ok(());
        }
        let _sound = read_strictly(der, position)?;
        self.parsed_intermediates.push(read(bytes, position)?);
        self.intermediates.push(CertificateDer::from(bytes));
        Ok(())
    }

    pub(super) fn intermediates(&self) -> &[CertificateDer<'a>] {
        &self.intermediates
    }

    pub(crate) fn leaf(&self) -> &Certificate<'a> {
        &self.leaf
    }

    pub(crate) fn end_entity(&self) -> &EndEntityCert<'a> {
        &self.end_entity
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.leaf_der)
    }

    pub(crate) fn serial(&self) -> Serial {
        self.serial
    }

    /// Who may have issued a certificate of the chain: encoded name and key identifier.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        std::iter::once(&self.leaf)
            .chain(&self.parsed_intermediates)
            .map(|certificate| (certificate.issuer(), certificate.authority_key_id()))
    }

    pub(crate) fn unknown_issuer(&self) -> Refusal {
        Refusal::UnknownIssuer {
            issuer: self.leaf.issuer_text(),
        }
    }

    /// The intermediate with exactly these bytes.
    pub(super) fn intermediate(&self, der: &[u8]) -> Option<&Certificate<'a>> {
        self.parsed_intermediates
            .iter()
            .find(|parsed| parsed.der() == der)
    }

    /// Whose end or beginning this moment is.
    pub(super) fn link_with(&self, is_it: impl Fn(&Certificate<'_>) -> bool) -> Link {
        if is_it(&self.leaf) {
            Link::Leaf
        } else {
            Link::Intermediate
        }
    }
}

fn read(der: &[u8], position: usize) -> Result<Certificate<'_>, Refusal> {
    Certificate::parse(der).ok_or(Refusal::Malformed {
        position,
        problem: "cannot be read",
    })
}

/// With webpki, which is stricter than x509-parser in form and knows what it can verify.
fn read_strictly<'a>(
    der: &'a CertificateDer<'_>,
    position: usize,
) -> Result<EndEntityCert<'a>, Refusal> {
    EndEntityCert::try_from(der).map_err(|error| Refusal::Malformed {
        position,
        problem: match error {
            webpki::Error::UnsupportedCertVersion => "is not an X.509 version 3 certificate",
            webpki::Error::UnsupportedCriticalExtension => {
                "has a critical extension that is not understood here"
            }
            webpki::Error::TrailingData(_) => "has bytes that do not belong there",
            _ => "cannot be read",
        },
    })
}

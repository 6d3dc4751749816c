//! A certificate that was issued before: is it still what would be issued now?

use rustls_pki_types::{CertificateDer, UnixTime};

use super::{IssueFault, Kind, Request};
use crate::anchor::TrustAnchor;
use crate::certificate::Certificate;
use crate::clock::at;
use crate::fingerprint::Fingerprint;
use crate::path::{self, Chain, Trusted};
use crate::pem;

/// A certificate and its key, as they were issued before.
#[derive(Debug, Clone)]
pub struct Held {
    certificate: CertificateDer<'static>,
    not_before: UnixTime,
    not_after: UnixTime,
}

impl Held {
    /// Reads a certificate and its key, PEM both.
    ///
    /// # Errors
    /// When one of them is broken or they do not belong together.
    pub fn parse(cert_pem: &[u8], key_pem: &[u8]) -> Result<Self, IssueFault> {
        let none = || {
            IssueFault::Pem(pem::PemFault {
                line: 1,
                problem: pem::PemProblem::NoCertificate,
            })
        };
        let certificates = pem::certificates(cert_pem).map_err(IssueFault::Pem)?;
        let key = pem::private_key(key_pem).map_err(IssueFault::Pem)?;
        let certificate = certificates.into_iter().next().ok_or_else(none)?;
        pem::key_matches(&certificate, &key).map_err(IssueFault::Key)?;
        let read = Certificate::parse(&certificate).ok_or_else(none)?;
        let (not_before, not_after) = (read.not_before(), read.not_after());
        Ok(Self {
            certificate,
            not_before,
            not_after,
        })
    }

    /// When it began.
    pub fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// The last second in which it is valid.
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// When it should be replaced: with two thirds of its life behind it.
    pub fn due(&self) -> UnixTime {
        let (begin, end) = (self.not_before.as_secs(), self.not_after.as_secs());
        at(begin.saturating_add(end.saturating_sub(begin) / 3 * 2))
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// The certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Did one of these authorities certify exactly these names for this purpose, and does it hold at the time of the
    /// request?
    pub fn satisfies(&self, request: &Request, authorities: &[TrustAnchor]) -> bool {
        let sent = [self.certificate.clone()];
        let Ok(chain) = Chain::read(&sent) else {
            return false;
        };
        let trusted: Vec<_> = authorities.iter().map(Trusted::from).collect();
        let verified = path::verify(&chain, &trusted, request.kind.usage(), request.now);
        verified.is_ok() && self.names(&request.kind)
    }

    fn names(&self, kind: &Kind) -> bool {
        let Some(read) = Certificate::parse(&self.certificate) else {
            return false;
        };
        match kind {
            Kind::Caller { common_name, uri } => {
                let names = read.common_names();
                let uris = read.uris();
                matches!(names.as_slice(), [name] if name.as_str().is_ok_and(|name| name == common_name))
                    && uris
                        .iter()
                        .copied()
                        .eq(uri.iter().map(|uri| Some(uri.as_str())))
            }
            Kind::Exit { dns_names } => read.dns_names().is_ok_and(|names| {
                names
                    .iter()
                    .copied()
                    .eq(dns_names.iter().map(String::as_str))
            }),
            Kind::Agent { tunnel } => read
                .dns_names()
                .is_ok_and(|names| names == [tunnel.as_str()]),
            Kind::Relay { .. } => false,
        }
    }
}

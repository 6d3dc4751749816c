//! One certificate, read: the fields that decide something, under names of this program.

mod key_kind;

use std::net::IpAddr;

use rustls_pki_types::UnixTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, GeneralName, KeyIdentifier,
    KeyUsage, ParsedExtension, SubjectAlternativeName,
};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Version};

use crate::clock::at;
use crate::distinguished_name;
use crate::refusal::Purpose;
use crate::serial::Serial;

/// Extensions that decide something here, below 2.5.29: subject key identifier, key usage,
/// subject alternative name, basic constraints, name constraints, authority key identifier,
/// extended key usage. Others may be odd; when they are critical, webpki refuses them.
const DECISIVE: [&[u8]; 7] = [
    &[85, 29, 14],
    &[85, 29, 15],
    &[85, 29, 17],
    &[85, 29, 19],
    &[85, 29, 30],
    &[85, 29, 35],
    &[85, 29, 37],
];

/// A parsed certificate: well-formed DER, nothing behind it, no extension twice, none unreadable of
/// those that decide something.
#[derive(Debug)]
pub(crate) struct Certificate<'a> {
    der: &'a [u8],
    x509: X509Certificate<'a>,
}

/// The alternative names hold something that is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DnsNamesFault;

impl<'a> Certificate<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Option<Self> {
        let (rest, x509) = X509Certificate::from_der(der).ok()?;
        let sound = rest.is_empty()
            && x509.extensions_map().is_ok()
            && !x509.extensions().iter().any(|extension| {
                extension.parsed_extension().error().is_some()
                    && DECISIVE.contains(&extension.oid.as_bytes())
            });
        sound.then_some(Self { der, x509 })
    }

    /// The certificate as it is encoded.
    pub(crate) fn der(&self) -> &'a [u8] {
        self.der
    }

    fn extensions(&self) -> impl Iterator<Item = &ParsedExtension<'a>> {
        self.x509
            .extensions()
            .iter()
            .map(x509_parser::prelude::X509Extension::parsed_extension)
    }

    /// Only version 3 can say that it is a CA, or that it is not.
    pub(crate) fn is_version_3(&self) -> bool {
        self.x509.version() == X509Version::V3
    }

    /// The subject as it is encoded.
    pub(crate) fn subject(&self) -> &'a [u8] {
        self.x509.tbs_certificate.subject.as_raw()
    }

    /// The issuer as it is encoded.
    pub(crate) fn issuer(&self) -> &'a [u8] {
        self.x509.tbs_certificate.issuer.as_raw()
    }

    pub(crate) fn subject_text(&self) -> String {
        distinguished_name::text(&self.x509.tbs_certificate.subject)
    }

    pub(crate) fn issuer_text(&self) -> String {
        distinguished_name::text(&self.x509.tbs_certificate.issuer)
    }

    pub(crate) fn not_before(&self) -> UnixTime {
        at(self
            .x509
            .validity()
            .not_before
            .timestamp()
            .try_into()
            .unwrap_or(0))
    }

    /// The last second in which the certificate is valid.
    pub(crate) fn not_after(&self) -> UnixTime {
        at(self
            .x509
            .validity()
            .not_after
            .timestamp()
            .try_into()
            .unwrap_or(0))
    }

    /// The serial number; `None` when it is negative, longer than 20 bytes or not encoded as DER wants
    /// it.
    pub(crate) fn serial(&self) -> Option<Serial> {
        Serial::from_integer(self.x509.raw_serial())
    }

    /// The subjectPublicKeyInfo as it is encoded.
    pub(crate) fn public_key(&self) -> &'a [u8] {
        self.x509.tbs_certificate.subject_pki.raw
    }

    /// The bits of the public key alone, over which RFC 5280 suggests to compute key identifiers.
    pub(crate) fn public_key_bits(&self) -> &[u8] {
        &self.x509.public_key().subject_public_key.data
    }

    /// What kind of key it is, such as `RSA-2048` or `P-256`; `Err` names one too weak or unknown.
    pub(crate) fn key_kind(&self) -> Result<String, String> {
        key_kind::of(self.x509.public_key())
    }

    pub(crate) fn key_id(&self) -> Option<&'a [u8]> {
        self.extensions().find_map(|extension| match extension {
            ParsedExtension::SubjectKeyIdentifier(KeyIdentifier(id)) => Some(*id),
            _ => None,
        })
    }

    /// The identifier of the key that signed this certificate, when the issuer wrote one.
    pub(crate) fn authority_key_id(&self) -> Option<&'a [u8]> {
        self.extensions().find_map(|extension| match extension {
            ParsedExtension::AuthorityKeyIdentifier(AuthorityKeyIdentifier {
                key_identifier: Some(KeyIdentifier(id)),
                ..
            }) => Some(*id),
            _ => None,
        })
    }

    fn basic_constraints(&self) -> Option<&BasicConstraints> {
        self.extensions().find_map(|extension| match extension {
            ParsedExtension::BasicConstraints(constraints) => Some(constraints),
            _ => None,
        })
    }

    pub(crate) fn is_authority(&self) -> bool {
        self.basic_constraints()
            .is_some_and(|constraints| constraints.ca)
    }

    /// How many intermediates may stand below this authority, when it says so.
    pub(crate) fn path_length(&self) -> Option<usize> {
        let length = self.basic_constraints()?.path_len_constraint?;
        Some(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn key_usage(&self) -> Option<&KeyUsage> {
        self.extensions().find_map(|extension| match extension {
            ParsedExtension::KeyUsage(usage) => Some(usage),
            _ => None,
        })
    }

    /// Does its key usage, if it has one, allow to sign certificates (RFC 5280 §4.2.1.3)?
    pub(crate) fn may_sign_certificates(&self) -> bool {
        self.key_usage().is_none_or(KeyUsage::key_cert_sign)
    }

    /// Does its key usage, if it has one, allow to sign revocation lists?
    pub(crate) fn may_sign_lists(&self) -> bool {
        self.key_usage().is_none_or(KeyUsage::crl_sign)
    }

    pub(crate) fn extended_key_usage(&self) -> Option<&ExtendedKeyUsage<'a>> {
        self.extensions().find_map(|extension| match extension {
            ParsedExtension::ExtendedKeyUsage(usage) => Some(usage),
            _ => None,
        })
    }

    /// Is it free of extended key usages, or does it list this one? `anyExtendedKeyUsage` alone does
    /// not count, as in webpki.
    pub(crate) fn allows(&self, purpose: Purpose) -> bool {
        self.extended_key_usage().is_none_or(|usage| match purpose {
            Purpose::Client => usage.client_auth,
            Purpose::Server => usage.server_auth,
        })
    }

    /// An extension marked critical that nobody here looks at.
    pub(crate) fn unknown_critical_extension(&self) -> Option<String> {
        self.x509
            .extensions()
            .iter()
            .find(|extension| {
                extension.critical
                    && !matches!(
                        extension.parsed_extension(),
                        ParsedExtension::BasicConstraints(_)
                            | ParsedExtension::KeyUsage(_)
                            | ParsedExtension::ExtendedKeyUsage(_)
                            | ParsedExtension::NameConstraints(_)
                            | ParsedExtension::SubjectAlternativeName(_)
                            | ParsedExtension::SubjectKeyIdentifier(_)
                            | ParsedExtension::AuthorityKeyIdentifier(_)
                            | ParsedExtension::CRLDistributionPoints(_)
                            | ParsedExtension::CertificatePolicies(_)
                    )
            })
            .map(|extension| extension.oid.to_id_string())
    }

    /// Every common name of the subject, wherever it stands in it.
    pub(crate) fn common_names(&self) -> Vec<&AttributeTypeAndValue<'a>> {
        self.x509
            .tbs_certificate
            .subject
            .iter_common_name()
            .collect()
    }

    fn alternative_names(&self) -> &[GeneralName<'a>] {
        self.extensions()
            .find_map(|extension| match extension {
                ParsedExtension::SubjectAlternativeName(SubjectAlternativeName {
                    general_names,
                }) => Some(general_names.as_slice()),
                _ => None,
            })
            .unwrap_or_default()
    }

    /// The DNS names, in order.
    pub(crate) fn dns_names(&self) -> Result<Vec<&'a str>, DnsNamesFault> {
        self.alternative_names()
            .iter()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(Ok(*name)),
                GeneralName::Invalid(tag, _) if tag.0 == 2 => Some(Err(DnsNamesFault)),
                _ => None,
            })
            .collect()
    }

    /// The URI names, in order; `None` stands for one that is no text.
    pub(crate) fn uris(&self) -> Vec<Option<&'a str>> {
        self.alternative_names()
            .iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(Some(*uri)),
                GeneralName::Invalid(tag, _) if tag.0 == 6 => Some(None),
                _ => None,
            })
            .collect()
    }

    /// The IP addresses, in order; what is no address is left out.
    pub(crate) fn ip_addresses(&self) -> Vec<IpAddr> {
        self.alternative_names()
            .iter()
            .filter_map(|name| match name {
                GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
                    .map(IpAddr::from)
                    .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
                    .ok(),
                _ => None,
            })
            .collect()
    }
}

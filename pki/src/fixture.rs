//! Certificates for tests, written byte by byte so that wrong ones can be made too.

pub(crate) mod handshake;
pub(crate) mod list;

use std::sync::Arc;

use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::anchor::TrustAnchor;
use crate::bundle::{TrustBundle, assemble};
use crate::clock::at;
use crate::fingerprint::Fingerprint;
use crate::prefix::Prefix;
use crate::provider::{Provider, ProviderId, UsernameFrom};

/// 2030-01-01T00:00:00Z, when everything here is valid unless a test says otherwise.
pub(crate) const NOW: u64 = 1_893_456_000;
pub(crate) const DAY: u64 = 86_400;

pub(crate) const UTF8: u8 = 12;
pub(crate) const PRINTABLE: u8 = 19;
pub(crate) const TELETEX: u8 = 20;
pub(crate) const IA5: u8 = 22;
pub(crate) const UNIVERSAL: u8 = 28;
pub(crate) const BMP: u8 = 30;

pub(crate) const CLIENT_AUTH: u8 = 2;
pub(crate) const SERVER_AUTH: u8 = 1;
pub(crate) const EMAIL: u8 = 4;

const COMMON_NAME: [u8; 3] = [85, 4, 3];
pub(crate) const ORGANISATION: [u8; 3] = [85, 4, 10];

pub(crate) fn now() -> UnixTime {
    at(NOW)
}

/// One DER element.
pub(crate) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.push(u8::try_from(length).unwrap());
    } else {
        let bytes: Vec<u8> = length
            .to_be_bytes()
            .into_iter()
            .skip_while(|byte| *byte == 0)
            .collect();
        out.push(0x80 | u8::try_from(bytes.len()).unwrap());
        out.extend(bytes);
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    der(0x30, &parts.concat())
}

/// Object identifier, tag and content.
type Attribute<'a> = (&'a [u8], u8, &'a [u8]);

/// A name of attributes, each its own RDN.
pub(crate) fn name(attributes: &[Attribute<'_>]) -> Vec<u8> {
    let rdns: Vec<_> = attributes
        .iter()
        .map(|(oid, tag, value)| der(0x31, &sequence(&[der(6, oid), der(*tag, value)])))
        .collect();
    sequence(&rdns)
}

pub(crate) fn common_name(text: &str) -> Vec<u8> {
    name(&[(&COMMON_NAME, UTF8, text.as_bytes())])
}

pub(crate) fn common_name_as(tag: u8, value: &[u8]) -> Vec<u8> {
    name(&[(&COMMON_NAME, tag, value)])
}

pub(crate) fn two_common_names(one: &str, other: &str, same_rdn: bool) -> Vec<u8> {
    let attribute = |text: &str| sequence(&[der(6, &COMMON_NAME), der(UTF8, text.as_bytes())]);
    if same_rdn {
        return sequence(&[der(0x31, &[attribute(one), attribute(other)].concat())]);
    }
    sequence(&[der(0x31, &attribute(one)), der(0x31, &attribute(other))])
}

pub(crate) fn time(seconds: u64) -> Vec<u8> {
    let date = time::OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap()).unwrap();
    let text = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second()
    );
    if date.year() < 2050 {
        der(23, &text.as_bytes()[2..])
    } else {
        der(24, text.as_bytes())
    }
}

pub(crate) fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![der(6, oid)];
    if critical {
        parts.push(der(1, &[0xff]));
    }
    parts.push(der(4, value));
    sequence(&parts)
}

/// basicConstraints.
pub(crate) fn authority(path_length: Option<u8>) -> Vec<u8> {
    let mut parts = vec![der(1, &[0xff])];
    parts.extend(path_length.map(|length| der(2, &[length])));
    extension(&[85, 29, 19], true, &sequence(&parts))
}

pub(crate) fn no_authority() -> Vec<u8> {
    extension(&[85, 29, 19], true, &sequence(&[]))
}

/// keyUsage: keyCertSign and cRLSign, or digitalSignature.
pub(crate) fn key_usage(of_authority: bool) -> Vec<u8> {
    let bits: &[u8] = if of_authority {
        &[1, 0b0000_0110]
    } else {
        &[7, 0b1000_0000]
    };
    extension(&[85, 29, 15], true, &der(3, bits))
}

pub(crate) fn extended_key_usage(purposes: &[u8]) -> Vec<u8> {
    let oids: Vec<_> = purposes
        .iter()
        .map(|purpose| der(6, &[43, 6, 1, 5, 5, 7, 3, *purpose]))
        .collect();
    extension(&[85, 29, 37], false, &sequence(&oids))
}

pub(crate) fn any_extended_key_usage() -> Vec<u8> {
    extension(&[85, 29, 37], false, &sequence(&[der(6, &[85, 29, 37, 0])]))
}

pub(crate) fn subject_key_id(id: &[u8]) -> Vec<u8> {
    extension(&[85, 29, 14], false, &der(4, id))
}

pub(crate) fn authority_key_id(id: &[u8]) -> Vec<u8> {
    extension(&[85, 29, 35], false, &sequence(&[der(0x80, id)]))
}

pub(crate) fn dns_name(name: &str) -> Vec<u8> {
    der(0x82, name.as_bytes())
}

pub(crate) fn uri(uri: &str) -> Vec<u8> {
    der(0x86, uri.as_bytes())
}

pub(crate) fn alternative_names(names: &[Vec<u8>]) -> Vec<u8> {
    extension(&[85, 29, 17], false, &sequence(names))
}

/// nameConstraints that permit one subtree.
pub(crate) fn permitted(base: Vec<u8>) -> Vec<u8> {
    let subtrees = der(0xa0, &sequence(&[base]));
    extension(&[85, 29, 30], true, &sequence(&[subtrees]))
}

/// A certificate to be.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) version: Option<u8>,
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) extensions: Vec<Vec<u8>>,
}

impl Draft {
    pub(crate) fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Without the extension of this id below 2.5.29.
    pub(crate) fn without(mut self, id: u8) -> Self {
        let oid = der(6, &[85, 29, id]);
        self.extensions.retain(|extension| {
            extension.get(2..2 + oid.len()) != Some(&oid[..])
                && extension.get(3..3 + oid.len()) != Some(&oid[..])
        });
        self
    }

    pub(crate) fn valid(mut self, from: u64, until: u64) -> Self {
        (self.not_before, self.not_after) = (from, until);
        self
    }

    pub(crate) fn named(mut self, subject: Vec<u8>) -> Self {
        self.subject = subject;
        self
    }

    pub(crate) fn sign(&self, owner: &KeyPair, signer: &KeyPair) -> CertificateDer<'static> {
        let mut parts = Vec::new();
        parts.extend(self.version.map(|version| der(0xa0, &der(2, &[version]))));
        parts.extend([
            der(2, &self.serial),
            algorithm_of(signer),
            self.issuer.clone(),
            sequence(&[time(self.not_before), time(self.not_after)]),
            self.subject.clone(),
            owner.subject_public_key_info(),
        ]);
        if !self.extensions.is_empty() {
            parts.push(der(0xa3, &sequence(&self.extensions)));
        }
        signed(&sequence(&parts), signer).into()
    }
}

/// Something to be signed, with its signature.
pub(crate) fn signed(message: &[u8], signer: &KeyPair) -> Vec<u8> {
    let signature = signer.sign(message).unwrap();
    let bits = der(3, &[&[0], signature.as_slice()].concat());
    sequence(&[message.to_vec(), algorithm_of(signer), bits])
}

/// The algorithm that this key signs with.
fn algorithm_of(signer: &KeyPair) -> Vec<u8> {
    let algorithm = signer.algorithm();
    if algorithm == &rcgen::PKCS_ECDSA_P384_SHA384 {
        sequence(&[der(6, &[42, 134, 72, 206, 61, 4, 3, 3])])
    } else if algorithm == &rcgen::PKCS_ECDSA_P521_SHA512 {
        sequence(&[der(6, &[42, 134, 72, 206, 61, 4, 3, 4])])
    } else if algorithm == &rcgen::PKCS_ED25519 {
        sequence(&[der(6, &[43, 101, 112])])
    } else if algorithm == &rcgen::PKCS_RSA_SHA256 {
        sequence(&[der(6, &[42, 134, 72, 134, 247, 13, 1, 1, 11]), der(5, &[])])
    } else {
        ecdsa_with_sha256()
    }
}

pub(crate) fn ecdsa_with_sha256() -> Vec<u8> {
    sequence(&[der(6, &[42, 134, 72, 206, 61, 4, 3, 2])])
}

pub(crate) fn new_key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

/// A CA with its certificate, a root or not.
pub(crate) struct Ca {
    pub(crate) key: Arc<KeyPair>,
    pub(crate) subject: Vec<u8>,
    pub(crate) key_id: Vec<u8>,
    pub(crate) der: CertificateDer<'static>,
}

impl Ca {
    pub(crate) fn root(text: &str) -> Self {
        Self::root_as(common_name(text), |draft| draft)
    }

    pub(crate) fn root_as(subject: Vec<u8>, edit: impl Fn(Draft) -> Draft) -> Self {
        Self::with_key(Arc::new(new_key()), subject, edit)
    }

    /// A root with a given key: the same CA issued anew.
    pub(crate) fn with_key(
        key: Arc<KeyPair>,
        subject: Vec<u8>,
        edit: impl Fn(Draft) -> Draft,
    ) -> Self {
        let key_id = key_id_of(&key);
        let draft = ca_draft(subject.clone(), subject.clone(), &key_id);
        let der = edit(draft).sign(&key, &key);
        Self {
            key,
            subject,
            key_id,
            der,
        }
    }

    /// An intermediate CA below this one.
    pub(crate) fn subordinate(&self, text: &str) -> Self {
        self.cross_sign(Arc::new(new_key()), common_name(text), |draft| draft)
    }

    pub(crate) fn subordinate_as(&self, text: &str, edit: impl Fn(Draft) -> Draft) -> Self {
        self.cross_sign(Arc::new(new_key()), common_name(text), edit)
    }

    /// The certificate of a CA whose key is given, issued by this one.
    pub(crate) fn cross_sign(
        &self,
        key: Arc<KeyPair>,
        subject: Vec<u8>,
        edit: impl Fn(Draft) -> Draft,
    ) -> Self {
        let key_id = key_id_of(&key);
        let draft = ca_draft(self.subject.clone(), subject.clone(), &key_id)
            .with(authority_key_id(&self.key_id));
        let der = edit(draft).sign(&key, &self.key);
        Self {
            key,
            subject,
            key_id,
            der,
        }
    }

    /// The draft of a caller's certificate: clientAuth, key identifiers, a year from `NOW` on.
    pub(crate) fn draft(&self, text: &str) -> Draft {
        Draft {
            version: Some(2),
            serial: vec![0x12, 0x34],
            issuer: self.subject.clone(),
            subject: common_name(text),
            not_before: NOW - DAY,
            not_after: NOW + 365 * DAY,
            extensions: vec![
                no_authority(),
                key_usage(false),
                extended_key_usage(&[CLIENT_AUTH]),
                authority_key_id(&self.key_id),
            ],
        }
    }

    pub(crate) fn sign(&self, draft: &Draft) -> CertificateDer<'static> {
        draft.sign(&new_key(), &self.key)
    }

    pub(crate) fn leaf(&self, text: &str) -> CertificateDer<'static> {
        self.sign(&self.draft(text))
    }

    pub(crate) fn anchor(&self) -> TrustAnchor {
        TrustAnchor::parse(self.der.clone()).unwrap()
    }
}

fn key_id_of(key: &KeyPair) -> Vec<u8> {
    Fingerprint::of(key.der_bytes()).as_bytes()[..20].to_vec()
}

fn ca_draft(issuer: Vec<u8>, subject: Vec<u8>, key_id: &[u8]) -> Draft {
    Draft {
        version: Some(2),
        serial: vec![1],
        issuer,
        subject,
        not_before: NOW - 365 * DAY,
        not_after: NOW + 3650 * DAY,
        extensions: vec![authority(None), key_usage(true), subject_key_id(key_id)],
    }
}

pub(crate) fn provider(name: &str, prefix: &str, cas: &[&Ca]) -> Provider {
    provider_from(name, prefix, cas, UsernameFrom::CommonName)
}

pub(crate) fn provider_from(
    name: &str,
    prefix: &str,
    cas: &[&Ca],
    username_from: UsernameFrom,
) -> Provider {
    Provider::new(
        ProviderId::new("default", name),
        Prefix::parse(prefix).unwrap(),
        cas.iter().map(|ca| ca.anchor()).collect(),
        username_from,
        Vec::new(),
    )
    .unwrap()
}

pub(crate) fn bundle(providers: Vec<Provider>) -> TrustBundle {
    let assembly = assemble(&TrustBundle::empty(), providers);
    assert_eq!(assembly.refused, [], "the providers of this test collide");
    assembly.bundle
}

//! The outermost form of everything that an authority signs: what is signed, how, and the signature.

use x509_parser::asn1_rs::{Any, FromDer, Tag};

use rustls_pki_types::AlgorithmIdentifier;

use crate::crypto;

/// A signed structure, taken apart and not believed yet.
pub(crate) struct Signed<'a> {
    message: &'a [u8],
    /// The content of the AlgorithmIdentifier.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Takes apart a sequence of what is signed, the algorithm, and a bit string.
    pub(crate) fn split(der: &'a [u8]) -> Option<Self> {
        let (nothing, whole) = element(der, Tag::Sequence)?;
        let content = whole.data;
        let (behind, _tbs) = element(content, Tag::Sequence)?;
        let message = content.get(..content.len().checked_sub(behind.len())?)?;
        let (behind, algorithm) = element(behind, Tag::Sequence)?;
        let (end, signature) = element(behind, Tag::BitString)?;
        (nothing.is_empty() && end.is_empty()).then_some(Self {
            message,
            algorithm: algorithm.data,
            signature: bits(signature.data)?,
        })
    }

    /// Is this the signature of that key, given as the content of a subjectPublicKeyInfo, by one of the
    /// algorithms that certificates may be signed with?
    pub(crate) fn is_signed_by(&self, public_key: &[u8]) -> bool {
        let Some((kind, key)) = public_key_parts(public_key) else {
            return false;
        };
        let fits = |id: AlgorithmIdentifier, written: &[u8]| id.as_ref() == written;
        crypto::chain_algorithms()
            .iter()
            .filter(|it| fits(it.signature_alg_id(), self.algorithm))
            .filter(|it| fits(it.public_key_alg_id(), kind))
            .any(|it| {
                it.verify_signature(key, self.message, self.signature)
                    .is_ok()
            })
    }
}

/// The kind of key, and its bits.
fn public_key_parts(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let (behind, kind) = element(content, Tag::Sequence)?;
    let (end, key) = element(behind, Tag::BitString)?;
    end.is_empty().then_some((kind.data, bits(key.data)?))
}

/// The first element, which must be of this kind, and what follows it.
fn element(der: &[u8], tag: Tag) -> Option<(&[u8], Any<'_>)> {
    let (behind, element) = Any::from_der(der).ok()?;
    (element.tag() == tag).then_some((behind, element))
}

/// A bit string of whole bytes.
fn bits(content: &[u8]) -> Option<&[u8]> {
    match content {
        [0, bits @ ..] => Some(bits),
        _ => None,
    }
}

//! The other form of a certificate that was signed with ECDSA.
//!
//! Where `(r, s)` is a signature `(r, n − s)` is one too, `n` being the order of the curve, and whoever holds the
//! certificate can write it there: all that was signed is the same, and its SHA-256 is another. Nobody without the
//! authority's key can make a third. So whoever is denied by SHA-256 is denied in both forms.

use x509_parser::asn1_rs::{Any, FromDer, Tag};

/// The orders of the curves that certificates are signed on (FIPS 186-4 §D.1.2): P-256, P-384, P-521.
const ORDERS: [&[u8]; 3] = [
    &[
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63,
        0x25, 0x51,
    ],
    &[
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37,
        0x2d, 0xdf, 0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc,
        0xc5, 0x29, 0x73,
    ],
    &[
        0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xfa, 0x51, 0x86, 0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc, 0x01,
        0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b, 0xb5, 0xc9, 0xb8, 0x89, 0x9c, 0x47, 0xae, 0xbb, 0x6f,
        0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09,
    ],
];

/// The certificate with the other signature, on each curve that its own could be of; which one it is, only the
/// issuer's key tells. Nothing where it is not signed with ECDSA.
pub(crate) fn other_forms(certificate: &[u8]) -> Vec<Vec<u8>> {
    let Some(parts) = Parts::of(certificate) else {
        return Vec::new();
    };
    let others = ORDERS.iter().filter_map(|order| other(parts.s, order));
    others.map(|s| parts.with(&s)).collect()
}

/// A certificate around its signature.
struct Parts<'c> {
    /// What is signed, and how, as encoded.
    signed: &'c [u8],
    r: &'c [u8],
    s: &'c [u8],
}

impl<'c> Parts<'c> {
    fn of(certificate: &'c [u8]) -> Option<Self> {
        let (_, whole) = element(certificate, Tag::Sequence)?;
        let (behind, _) = element(whole, Tag::Sequence)?;
        let (behind, _) = element(behind, Tag::Sequence)?;
        let signed = whole.get(..whole.len().checked_sub(behind.len())?)?;
        let (_, bits) = element(behind, Tag::BitString)?;
        let (_, signature) = element(bits.strip_prefix(&[0])?, Tag::Sequence)?;
        let (behind, r) = element(signature, Tag::Integer)?;
        let (end, s) = element(behind, Tag::Integer)?;
        end.is_empty().then_some(Self { signed, r, s })
    }

    fn with(&self, s: &[u8]) -> Vec<u8> {
        let (mut pair, mut bits, mut whole) = (Vec::new(), vec![0], self.signed.to_vec());
        append(&mut pair, Tag::Integer, self.r);
        append(&mut pair, Tag::Integer, s);
        append(&mut bits, Tag::Sequence, &pair);
        append(&mut whole, Tag::BitString, &bits);
        let mut certificate = Vec::new();
        append(&mut certificate, Tag::Sequence, &whole);
        certificate
    }
}

/// What is behind the first element, which must be of this kind, and its content.
fn element(der: &[u8], tag: Tag) -> Option<(&[u8], &[u8])> {
    let (behind, element) = Any::from_der(der).ok()?;
    (element.tag() == tag).then_some((behind, element.data))
}

/// `order − s` as the content of an integer, if it is positive.
fn other(s: &[u8], order: &[u8]) -> Option<Vec<u8>> {
    let significant = significant(s);
    let padding = order.len().checked_sub(significant.len())?;
    let padded = std::iter::repeat_n(&0, padding).chain(significant);
    let mut difference = Vec::with_capacity(order.len() + 1);
    let mut borrow = false;
    for (from, what) in order.iter().rev().zip(padded.rev()) {
        let (digit, below) = from.overflowing_sub(*what);
        let (digit, also_below) = digit.overflowing_sub(u8::from(borrow));
        borrow = below || also_below;
        difference.push(digit);
    }
    while difference.last() == Some(&0) {
        difference.pop();
    }
    if borrow || difference.is_empty() {
        return None;
    }
    // Its first bit is a sign.
    if difference.last().is_some_and(|first| *first >= 0x80) {
        difference.push(0);
    }
    difference.reverse();
    Some(difference)
}

fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// An element in DER.
fn append(to: &mut Vec<u8>, tag: Tag, content: &[u8]) {
    // A sequence is constructed, which is a bit of the identifier (X.690 §8.1.2.5).
    const CONSTRUCTED: u8 = 0x20;
    let number = u8::try_from(tag.0).unwrap_or_default();
    let form = if tag == Tag::Sequence { CONSTRUCTED } else { 0 };
    to.push(number | form);
    let length = content.len().to_be_bytes();
    match significant(&length) {
        [] => to.push(0),
        [short] if *short < 0x80 => to.push(*short),
        long => {
            // At most the eight bytes of a length.
            to.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            to.extend_from_slice(long);
        }
    }
    to.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
        ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING,
        EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
    };

    use super::*;

    const MESSAGE: &[u8] = &[0x30, 0x00];

    /// In the form of a certificate, but for what is signed.
    fn enveloped(signature: &[u8]) -> Vec<u8> {
        let mut whole = [MESSAGE, MESSAGE].concat();
        append(&mut whole, Tag::BitString, &[&[0], signature].concat());
        let mut certificate = Vec::new();
        append(&mut certificate, Tag::Sequence, &whole);
        certificate
    }

    fn signature(certificate: &[u8]) -> Vec<u8> {
        let parts = Parts::of(certificate).unwrap();
        let mut pair = Vec::new();
        append(&mut pair, Tag::Integer, parts.r);
        append(&mut pair, Tag::Integer, parts.s);
        let mut signature = Vec::new();
        append(&mut signature, Tag::Sequence, &pair);
        signature
    }

    #[test]
    fn on_each_curve_exactly_one_other_form_is_signed_and_its_other_form_is_the_first() {
        for (signing, verifying) in [
            (&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P256_SHA256_ASN1),
            (&ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1),
            (&ECDSA_P521_SHA512_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1),
        ] {
            let key = EcdsaKeyPair::generate(signing).unwrap();
            let public = UnparsedPublicKey::new(verifying, key.public_key().as_ref());
            // Numbers begin with zeros now and then.
            for _ in 0..300 {
                let made = key.sign(&SystemRandom::new(), MESSAGE).unwrap();
                let first = enveloped(made.as_ref());
                let others = other_forms(&first);
                let is_signed = |it: &&Vec<u8>| public.verify(MESSAGE, &signature(it)).is_ok();
                let signed: Vec<_> = others.iter().filter(is_signed).collect();
                assert_eq!(signed.len(), 1);
                assert_ne!(*signed[0], first);
                assert!(other_forms(signed[0]).contains(&first));
            }
        }
    }

    #[test]
    fn what_is_not_signed_so_has_no_other_form() {
        for signature in [&b""[..], &[7; 64], &[0x30, 0], &[0x30, 3, 2, 1, 1]] {
            assert!(other_forms(&enveloped(signature)).is_empty());
        }
        assert!(other_forms(b"").is_empty());
        let zero = [0x30, 6, 2, 1, 1, 2, 1, 0];
        for other in other_forms(&enveloped(&zero)) {
            assert!(Parts::of(&other).is_some());
        }
    }
}

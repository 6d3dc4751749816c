//! Authorities and chains drawn by chance: sound ones, wrong ones, and those about which one can argue.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};
use rcgen::{KeyPair, RsaKeySize};
use rustls_pki_types::CertificateDer;

use crate::anchor::TrustAnchor;
use crate::bundle::{TrustBundle, assemble};
use crate::fixture::{
    CLIENT_AUTH, DAY, Draft, EMAIL, IA5, NOW, SERVER_AUTH, UTF8, alternative_names,
    any_extended_key_usage, authority, authority_key_id, common_name, common_name_as, der,
    dns_name, extended_key_usage, extension, key_usage, name, new_key, no_authority, permitted,
    sequence, subject_key_id, two_common_names, uri,
};
use crate::prefix::Prefix;
use crate::provider::{Provider, ProviderId, UsernameFrom};

/// Names of authorities: few, so that many share one.
const SUBJECTS: [&str; 3] = ["a", "b", "c"];

/// Keys of authorities: more than a world has, and made once, because making them takes longest.
static KEYS: LazyLock<Vec<Arc<KeyPair>>> = LazyLock::new(|| {
    let of = |algorithm| KeyPair::generate_for(algorithm).unwrap();
    let mut keys: Vec<KeyPair> = (0..6).map(|_| new_key()).collect();
    keys.push(of(&rcgen::PKCS_ECDSA_P384_SHA384));
    keys.push(of(&rcgen::PKCS_ECDSA_P521_SHA512));
    keys.push(of(&rcgen::PKCS_ED25519));
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048);
    keys.push(rsa.unwrap());
    keys.into_iter().map(Arc::new).collect()
});

/// Keys of leaves.
static LEAF_KEYS: LazyLock<Vec<Arc<KeyPair>>> = LazyLock::new(|| {
    let mut keys = vec![Arc::new(new_key()), Arc::new(new_key())];
    keys.extend(KEYS.iter().skip(5).map(Arc::clone));
    keys
});

/// Something about a case over which two readers may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trait {
    /// Some certificate is for any purpose, in these words.
    AnyPurpose,
    /// The leaf is a CA.
    LeafIsAuthority,
    /// A certificate names another key identifier than its issuer has, or its issuer has none, or another key signed it.
    AnotherKeyId,
    /// A certificate of version 1.
    Version1,
    /// The subject of the leaf is not exactly one plain common name.
    Name,
    /// An authority is constrained in the names it may certify.
    NameConstraints,
    /// A critical extension that nobody knows.
    Critical,
    /// A serial number that RFC 5280 does not allow.
    Serial,
    /// More certificates than are looked at.
    Long,
    /// Two certificates of one authority: the same name and key.
    SameAuthorityTwice,
}

/// A certificate of an authority, and its key.
#[derive(Clone)]
struct Ca {
    key: Arc<KeyPair>,
    subject: Vec<u8>,
    key_id: Vec<u8>,
    der: CertificateDer<'static>,
    traits: Vec<Trait>,
    is_root: bool,
}

/// What is trusted, and whom it leads to.
pub(super) struct World {
    pub(super) bundle: TrustBundle,
    /// Certificate and provider of each anchor that is trusted.
    pub(super) anchors: Vec<(CertificateDer<'static>, ProviderId)>,
    authorities: Vec<Ca>,
}

/// A chain as it is sent.
pub(super) struct Case {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) traits: Vec<Trait>,
}

/// The chance of one world.
pub(super) fn chance(seed: u64, number: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

fn of<T: Clone>(rng: &mut TestRng, items: &[T]) -> T {
    items[rng.random_range(0..items.len())].clone()
}

/// True in so many of a hundred cases.
fn percent(rng: &mut TestRng, chance: u32) -> bool {
    rng.random_ratio(chance, 100)
}

impl World {
    pub(super) fn draw(rng: &mut TestRng) -> Self {
        let mut authorities = Vec::new();
        for _ in 0..rng.random_range(1..=3_u8) {
            authorities.push(draw_authority(rng, None, &authorities));
        }
        for _ in 0..rng.random_range(0..=4_u8) {
            let issuer = of(rng, &authorities);
            authorities.push(draw_authority(rng, Some(&issuer), &authorities));
        }
        let mut providers: Vec<(&str, Vec<TrustAnchor>)> =
            vec![("x", Vec::new()), ("y", Vec::new())];
        for ca in &authorities {
            let is_trusted = ca.is_root || percent(rng, 6);
            if let Some(anchor) = TrustAnchor::parse(ca.der.clone())
                .ok()
                .filter(|_| is_trusted)
            {
                let at = usize::from(percent(rng, 25));
                providers[at].1.push(anchor);
            }
        }
        let providers = providers.into_iter().filter_map(|(name, anchors)| {
            // One unusable anchor must not cost the others, as in a trust object it would.
            let fits = |it: &TrustAnchor| provider(name, vec![it.clone()]).is_some();
            provider(name, anchors.into_iter().filter(fits).collect())
        });
        let bundle = assemble(&TrustBundle::empty(), providers.collect::<Vec<_>>()).bundle;
        let of = |provider: &Arc<Provider>| {
            let id = provider.id().clone();
            let anchors = provider.anchors().iter();
            let pair = anchors.map(move |anchor| (anchor.der().clone(), id.clone()));
            pair.collect::<Vec<_>>()
        };
        let anchors = bundle.providers().iter().flat_map(of).collect();
        Self {
            bundle,
            anchors,
            authorities,
        }
    }

    /// A leaf of one of the authorities, and what its owner sends with it.
    pub(super) fn case(&self, rng: &mut TestRng) -> Case {
        let issuer = if percent(rng, 60) {
            self.authorities[self.authorities.len() - 1].clone()
        } else {
            of(rng, &self.authorities)
        };
        let mut traits = Vec::new();
        let leaf = draw_leaf(rng, &issuer, &mut traits);
        let mut others = Vec::new();
        for ca in self.authorities.iter().rev() {
            if percent(rng, if ca.is_root { 20 } else { 90 }) {
                others.push(ca.der.clone());
            }
            // It may count although it was not sent: as an anchor.
            traits.extend_from_slice(&ca.traits);
        }
        if percent(rng, 30) {
            for at in (1..others.len()).rev() {
                others.swap(at, rng.random_range(0..=at));
            }
        }
        if percent(rng, 8) {
            let again = others.first().unwrap_or(&leaf).clone();
            others.push(again);
        }
        let mut chain = vec![leaf];
        chain.extend(others);
        if percent(rng, 1) {
            let stranger = draw_authority(rng, None, &[]).der;
            chain.resize(12, stranger);
        }
        if chain.len() > 8 {
            traits.push(Trait::Long);
        }
        Case { chain, traits }
    }
}

fn provider(name: &str, anchors: Vec<TrustAnchor>) -> Option<Provider> {
    let id = ProviderId::new("default", name);
    let prefix = Prefix::parse(&format!("{name}:")).unwrap();
    Provider::new(id, prefix, anchors, UsernameFrom::CommonName, Vec::new()).ok()
}

fn key_id(key: &KeyPair) -> Vec<u8> {
    use rcgen::PublicKeyData as _;
    let bytes = key.der_bytes();
    bytes[bytes.len() - 20..].to_vec()
}

fn draft(issuer: Vec<u8>, subject: Vec<u8>) -> Draft {
    Draft {
        version: Some(2),
        serial: vec![1],
        issuer,
        subject,
        not_before: NOW - 365 * DAY,
        not_after: NOW + 365 * DAY,
        extensions: Vec::new(),
    }
}

/// A root, or an authority below `issuer`; now and then another certificate of one that is there.
fn draw_authority(rng: &mut TestRng, issuer: Option<&Ca>, known: &[Ca]) -> Ca {
    let mut traits = Vec::new();
    let mut subject = common_name(of(rng, &SUBJECTS));
    let mut key = of(rng, &KEYS);
    if !known.is_empty() && percent(rng, 15) {
        let twin = of(rng, known);
        (subject, key) = (twin.subject, twin.key);
    }
    let issued_by = issuer.map_or(&subject, |issuer| &issuer.subject).clone();
    let mut draft = draft(issued_by, subject.clone());
    let key_id = if percent(rng, 5) {
        vec![rng.random_range(0..3_u8); 20]
    } else {
        key_id(&key)
    };
    if percent(rng, 10) {
        traits.push(Trait::AnotherKeyId); // what it issues names one all the same
    } else {
        draft = draft.with(subject_key_id(&key_id));
    }
    if let Some(issuer) = issuer {
        draft = name_issuer(rng, draft, issuer, &mut traits);
    }
    draft = draw_constraints(rng, draft);
    draft = draw_purposes(rng, draft, &mut traits, &[75, 12, 4, 4, 3, 2]);
    draft = draw_validity(rng, draft, 8);
    draft = draw_oddities(rng, draft, &mut traits);
    if percent(rng, 6) {
        traits.push(Trait::NameConstraints);
        draft = draft.with(draw_name_constraints(rng));
    }
    let named = issuer.map_or(&key, |issuer| &issuer.key);
    let signer = if percent(rng, 3) {
        of(rng, &KEYS)
    } else {
        Arc::clone(named)
    };
    if !Arc::ptr_eq(named, &signer) {
        traits.push(Trait::AnotherKeyId);
    }
    if known
        .iter()
        .any(|ca| ca.subject == subject && Arc::ptr_eq(&ca.key, &key))
    {
        traits.push(Trait::SameAuthorityTwice);
    }
    let der = draft.sign(&key, &signer);
    Ca {
        key,
        subject,
        key_id,
        der,
        traits,
        is_root: issuer.is_none(),
    }
}

/// The identifier of the issuer's key: right, left out, or another one's.
fn name_issuer(rng: &mut TestRng, draft: Draft, issuer: &Ca, traits: &mut Vec<Trait>) -> Draft {
    match rng.random_range(0..20_u8) {
        0..=3 => draft,
        4 => {
            traits.push(Trait::AnotherKeyId);
            draft.with(authority_key_id(&[rng.random_range(0..3_u8); 20]))
        }
        _ => draft.with(authority_key_id(&issuer.key_id)),
    }
}

/// What an authority may do, and how far.
fn draw_constraints(rng: &mut TestRng, draft: Draft) -> Draft {
    let draft = match rng.random_range(0..100_u8) {
        0..=1 => draft.with(no_authority()),
        2..=3 => draft,
        4..=20 => draft.with(authority(Some(rng.random_range(0..3)))),
        _ => draft.with(authority(None)),
    };
    match rng.random_range(0..100_u8) {
        0..=9 => draft,
        10..=12 => draft.with(key_usage(false)),
        _ => draft.with(key_usage(true)),
    }
}

/// None at all, or these, weighed in this order: for clients, for servers, for anything, for both, for mail.
fn draw_purposes(
    rng: &mut TestRng,
    draft: Draft,
    traits: &mut Vec<Trait>,
    weights: &[u32; 6],
) -> Draft {
    let mut drawn = rng.random_range(0..weights.iter().sum::<u32>());
    let kind = weights.iter().position(|weight| {
        let here = drawn < *weight;
        drawn = drawn.saturating_sub(*weight);
        here
    });
    match kind.unwrap_or_default() {
        0 => draft,
        1 => draft.with(extended_key_usage(&[CLIENT_AUTH])),
        2 => draft.with(extended_key_usage(&[SERVER_AUTH])),
        3 => {
            traits.push(Trait::AnyPurpose);
            draft.with(any_extended_key_usage())
        }
        4 => draft.with(extended_key_usage(&[SERVER_AUTH, CLIENT_AUTH])),
        _ => draft.with(extended_key_usage(&[EMAIL])),
    }
}

fn draw_validity(rng: &mut TestRng, draft: Draft, chance: u32) -> Draft {
    if !percent(rng, chance) {
        let days = rng.random_range(1..400) * DAY;
        return draft.valid(NOW - days, NOW + days);
    }
    match rng.random_range(0..6_u8) {
        0 => draft.valid(NOW - DAY, NOW),
        1 => draft.valid(NOW - DAY, NOW - 1),
        2 => draft.valid(NOW, NOW + DAY),
        3 => draft.valid(NOW + 1, NOW + DAY),
        4 => draft.valid(NOW + DAY, NOW - DAY),
        _ => draft.valid(NOW - DAY, NOW + 40 * 365 * DAY), // beyond 2050: another type of time
    }
}

/// Rare forms.
fn draw_oddities(rng: &mut TestRng, mut draft: Draft, traits: &mut Vec<Trait>) -> Draft {
    match rng.random_range(0..200_u8) {
        0..=3 => {
            traits.push(Trait::Critical);
            draft.with(extension(&[42, 3, 4, 5], true, &[5, 0]))
        }
        4..=9 => draft.with(extension(&[42, 3, 4, 5], false, &[5, 0])),
        10..=11 => {
            traits.push(Trait::Version1);
            draft.version = None;
            draft.extensions.clear();
            draft
        }
        12..=15 => {
            traits.push(Trait::Serial);
            draft.serial = of(
                rng,
                &[vec![0], vec![0x80], vec![1; 21], vec![0; 3], vec![0xff, 1]],
            );
            draft
        }
        16..=17 => {
            let again = draft.extensions.first().cloned();
            draft.extensions.extend(again);
            draft
        }
        _ => draft,
    }
}

fn draw_name_constraints(rng: &mut TestRng) -> Vec<u8> {
    let excluded = |base: Vec<u8>| {
        let subtrees = der(0xa1, &sequence(&[base]));
        extension(&[85, 29, 30], true, &sequence(&[subtrees]))
    };
    let directory = || der(0xa4, &common_name("n"));
    match rng.random_range(0..9_u8) {
        0 => permitted(dns_name("example.com")),
        1 => excluded(dns_name("example.com")),
        2 => permitted(uri("example.com")),
        3 => excluded(uri("example.com")),
        4 => permitted(directory()),
        5 => excluded(directory()),
        6 => permitted(der(0x87, &[10, 0, 0, 0, 255, 0, 0, 0])),
        7 => permitted(der(0x81, b"example.com")),
        _ => permitted(dns_name("")),
    }
}

fn draw_leaf(rng: &mut TestRng, issuer: &Ca, traits: &mut Vec<Trait>) -> CertificateDer<'static> {
    let subject = draw_name(rng, traits);
    let mut draft = draft(issuer.subject.clone(), subject);
    draft = name_issuer(rng, draft, issuer, traits);
    draft = draw_purposes(rng, draft, traits, &[20, 70, 4, 4, 4, 2]);
    draft = draw_validity(rng, draft, 6);
    if !percent(rng, 10) {
        draft = draft.with(key_usage(false));
    }
    draft = match rng.random_range(0..100_u8) {
        0..=1 => {
            traits.push(Trait::LeafIsAuthority);
            draft.with(authority(None))
        }
        2..=20 => draft,
        _ => draft.with(no_authority()),
    };
    if percent(rng, 25) {
        let names = [
            dns_name("a.example.com"),
            dns_name("a.example.org"),
            uri("spiffe://example.com/a"),
            uri("spiffe://example.org/a"),
            der(0x87, &[10, 1, 2, 3]),
            der(0x87, &[192, 0, 2, 1]),
            der(0x81, b"a@example.org"),
            der(0xa4, &common_name("n")),
        ];
        let count = rng.random_range(1..3);
        let names: Vec<_> = (0..count).map(|_| of(rng, &names)).collect();
        draft = draft.with(alternative_names(&names));
    }
    draft = draw_oddities(rng, draft, traits);
    let signer = if percent(rng, 3) {
        of(rng, &KEYS)
    } else {
        Arc::clone(&issuer.key)
    };
    if !Arc::ptr_eq(&issuer.key, &signer) {
        traits.push(Trait::AnotherKeyId);
    }
    draft.sign(&of::<Arc<KeyPair>>(rng, &LEAF_KEYS), &signer)
}

fn draw_name(rng: &mut TestRng, traits: &mut Vec<Trait>) -> Vec<u8> {
    if !percent(rng, 5) {
        return common_name(&format!("n{}", rng.random_range(0..9_u8)));
    }
    traits.push(Trait::Name);
    match rng.random_range(0..7_u8) {
        0 => name(&[]),
        1 => two_common_names("n", "m", false),
        2 => two_common_names("n", "m", true),
        3 => common_name(" n"),
        4 => common_name(""),
        5 => common_name("n\u{e9}"),
        _ => common_name_as(if percent(rng, 50) { IA5 } else { UTF8 }, b"n"),
    }
}

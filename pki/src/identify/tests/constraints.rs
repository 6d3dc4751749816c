//! Which certificates are sound, strong and permitted enough.

use super::*;
use crate::anchor::{AnchorFault, TrustAnchor};
use crate::fixture::{
    Draft, SERVER_AUTH, alternative_names, authority, common_name, der, dns_name,
    extended_key_usage, extension, key_usage, name, new_key, no_authority, permitted, uri,
};
use crate::pem;
use crate::provider::UsernameFrom;

const A25: [(&str, &[u8], &str); 14] = [
    (
        "rsa-2048",
        include_bytes!("../../../testdata/rsa-2048.pem"),
        "p:alice",
    ),
    (
        "rsa-3072",
        include_bytes!("../../../testdata/rsa-3072.pem"),
        "p:alice",
    ),
    (
        "rsa-4096",
        include_bytes!("../../../testdata/rsa-4096.pem"),
        "p:alice",
    ),
    (
        "rsa-pss",
        include_bytes!("../../../testdata/rsa-pss.pem"),
        "p:alice",
    ),
    (
        "p-256",
        include_bytes!("../../../testdata/p-256.pem"),
        "p:alice",
    ),
    (
        "p-384",
        include_bytes!("../../../testdata/p-384.pem"),
        "p:alice",
    ),
    (
        "p-521",
        include_bytes!("../../../testdata/p-521.pem"),
        "p:alice",
    ),
    (
        "ed25519",
        include_bytes!("../../../testdata/ed25519.pem"),
        "p:alice",
    ),
    (
        "rsa-1024-leaf",
        include_bytes!("../../../testdata/rsa-1024-leaf.pem"),
        "UnsupportedAlgorithm",
    ),
    (
        "secp256k1",
        include_bytes!("../../../testdata/secp256k1-leaf.pem"),
        "UnsupportedAlgorithm",
    ),
    (
        "sha-1",
        include_bytes!("../../../testdata/sha-1.pem"),
        "UnsupportedAlgorithm",
    ),
    (
        "sha-1-root", // what a root says of itself is not believed anyway
        include_bytes!("../../../testdata/sha-1-root.pem"),
        "p:alice",
    ),
    (
        "md5",
        include_bytes!("../../../testdata/md5.pem"),
        "UnsupportedAlgorithm",
    ),
    (
        "rsa-1024-ca",
        include_bytes!("../../../testdata/rsa-1024-ca.pem"),
        "AnchorWeakKey",
    ),
];

/// A25, with certificates that openssl made
#[test]
fn weak_algorithms_are_refused_and_strong_ones_accepted() {
    for (case, file, expected) in A25 {
        let [ca, leaf] = <[_; 2]>::try_from(pem::certificates(file).unwrap()).unwrap();
        let answer = TrustAnchor::parse(ca).map_or_else(
            |fault| fault.reason().to_owned(),
            |anchor| {
                let prefix = Prefix::parse("p:").unwrap();
                let id = ProviderId::new("default", "p");
                let from = UsernameFrom::CommonName;
                let provider = Provider::new(id, prefix, vec![anchor], from, vec![]).unwrap();
                said(identify(&bundle(vec![provider]), &[leaf], now()))
            },
        );
        assert_eq!(answer, expected, "{case}");
    }
}

/// A26
#[test]
fn certificates_that_break_the_form_are_refused() {
    let ca = Ca::root("ca");
    let odd = extension(&[42, 3, 4], true, &[5, 0]);
    let tolerable = extension(&[42, 3, 4], false, &[5, 0]);
    let odd_policies = extension(&[85, 29, 32], false, &[5, 0]);
    let odd_names = extension(&[85, 29, 17], false, &[5, 0]);
    let version = |version: Option<u8>| {
        let mut draft = ca.draft("a");
        draft.version = version;
        draft.extensions.clear();
        ca.sign(&draft)
    };
    let trailing = CertificateDer::from([ca.leaf("a").as_ref(), b"x"].concat());
    for (case, leaf, expected) in [
        ("critical", ca.sign(&ca.draft("a").with(odd)), "Malformed"),
        (
            "not critical",
            ca.sign(&ca.draft("a").with(tolerable.clone())),
            "p:a",
        ),
        (
            "twice",
            ca.sign(&ca.draft("a").with(tolerable.clone()).with(tolerable)),
            "Malformed",
        ),
        (
            "odd policies",
            ca.sign(&ca.draft("a").with(odd_policies)),
            "p:a",
        ),
        (
            "odd names",
            ca.sign(&ca.draft("a").with(odd_names)),
            "Malformed",
        ),
        ("v1", version(None), "Malformed"),
        ("v2", version(Some(1)), "Malformed"),
        ("v4", version(Some(3)), "Malformed"),
        ("v3 without extensions", version(Some(2)), "p:a"),
        ("trailing", trailing, "Malformed"),
        (
            "truncated",
            ca.leaf("a")[..200].to_vec().into(),
            "Malformed",
        ),
        ("empty", Vec::new().into(), "Malformed"),
    ] {
        assert_eq!(verdict(&ca, &[leaf]), expected, "{case}");
    }
}

/// A26
#[test]
fn serial_numbers_are_positive_and_of_twenty_bytes_at_most() {
    let ca = Ca::root("ca");
    let serial = |serial: &[u8]| {
        let mut draft = ca.draft("a");
        draft.serial = serial.to_vec();
        ca.sign(&draft)
    };
    let mut twenty_one = [0x7f; 21];
    twenty_one[0] = 1;
    let twenty_with_sign = [&[0], [0x80; 20].as_slice()].concat();
    for (case, leaf, expected) in [
        ("negative serial", serial(&[0xff]), "Malformed"),
        ("huge serial", serial(&twenty_one), "Malformed"),
        ("enormous serial", serial(&[1; 5000]), "Malformed"),
        ("empty serial", serial(&[]), "Malformed"),
        ("padded serial", serial(&[0, 1]), "Malformed"),
        ("longest serial", serial(&[0x7f; 20]), "p:a"),
        ("longest serial, high bit", serial(&twenty_with_sign), "p:a"),
        ("serial zero", serial(&[0]), "p:a"),
    ] {
        assert_eq!(verdict(&ca, &[leaf]), expected, "{case}");
    }
}

#[test]
fn no_byte_of_a_certificate_can_be_changed_or_cause_a_panic() {
    let ca = Ca::root("ca");
    let trusted = bundle(vec![provider("p", "p:", &[&ca])]);
    let leaf = ca.leaf("a");
    for at in 0..leaf.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = leaf.to_vec();
            bytes[at] ^= flip;
            let answer = identify(&trusted, &[bytes.into()], now());
            assert!(answer.is_err(), "byte {at} xor {flip}");
        }
    }
    for length in 0..leaf.len() {
        let cut = CertificateDer::from(leaf[..length].to_vec());
        assert!(identify(&trusted, &[cut], now()).is_err());
    }
}

/// A27
#[test]
fn name_constraints_hold() {
    let dns_only = |draft: Draft| draft.with(permitted(dns_name("example.com")));
    let ca = Ca::root_as(common_name("ca"), dns_only);
    let with = |san: Vec<u8>| ca.sign(&ca.draft("a").with(alternative_names(&[san])));
    assert_eq!(
        verdict(&ca, &[with(dns_name("evil.org"))]),
        "NameNotPermitted"
    );
    assert_eq!(verdict(&ca, &[with(dns_name("a.example.com"))]), "p:a");
    assert_eq!(verdict(&ca, &[ca.leaf("a")]), "p:a", "no alternative name");
    let ca = Ca::root_as(common_name("ca"), |d| d.with(permitted(uri("example.com"))));
    let named = ca
        .draft("a")
        .with(alternative_names(&[uri("spiffe://example.com/a")]));
    assert_eq!(verdict(&ca, &[ca.sign(&named)]), "NameNotPermitted");
    assert_eq!(verdict(&ca, &[ca.leaf("a")]), "p:a");
    let directory = der(0xa4, &name(&[]));
    let ca = Ca::root_as(common_name("ca"), |d| d.with(permitted(directory.clone())));
    assert_eq!(
        verdict(&ca, &[ca.leaf("a")]),
        "NameNotPermitted",
        "documented: all"
    );
    let ca = Ca::root("ca");
    let sub = ca.subordinate_as("sub", dns_only);
    let evil = sub.sign(
        &sub.draft("a")
            .with(alternative_names(&[dns_name("evil.org")])),
    );
    assert_eq!(verdict(&ca, &[evil, sub.der.clone()]), "NameNotPermitted");
}

#[test]
fn anchors_are_checked_at_load() {
    let ca = |edit: fn(Draft) -> Draft| {
        TrustAnchor::parse(Ca::root_as(common_name("ca"), edit).der).map_err(|f| f.reason())
    };
    let reason = |edit| ca(edit).unwrap_err();
    assert!(ca(|draft| draft).is_ok());
    assert!(
        ca(|draft| draft.without(15).without(14)).is_ok(),
        "no key usage, no key id"
    );
    assert_eq!(reason(|d| d.without(19)), "AnchorNotAnAuthority");
    assert_eq!(
        reason(|d| d.without(19).with(no_authority())),
        "AnchorNotAnAuthority"
    );
    assert_eq!(
        reason(|d| d.without(15).with(key_usage(false))),
        "AnchorKeyUsage"
    );
    assert_eq!(
        reason(|d| d.valid(2_000_000, 1_000_000)),
        "AnchorNeverValid"
    );
    assert_eq!(
        reason(|d| d.with(extension(&[42, 3, 4], true, &[5, 0]))),
        "AnchorCriticalExtension"
    );
    assert_eq!(
        reason(|d| d.with(authority(None))),
        "AnchorMalformed",
        "twice"
    );
    let old_kind = |d: Draft| Draft {
        version: None,
        extensions: Vec::new(),
        ..d
    };
    assert_eq!(reason(old_kind), "AnchorNotVersion3");
    let leaf = Ca::root("ca").leaf("a");
    assert_eq!(
        TrustAnchor::parse(leaf).unwrap_err(),
        AnchorFault::NotAnAuthority {
            subject: "CN=a".to_owned()
        }
    );
}

#[test]
fn an_anchor_without_key_id_is_found_by_the_one_its_key_implies() {
    let key = Arc::new(new_key());
    let silent = Ca::with_key(Arc::clone(&key), common_name("ca"), |d| d.without(14));
    let unsaid = silent.sign(&silent.draft("a").without(35));
    assert_eq!(verdict(&silent, &[unsaid]), "p:a");
    let anchor = silent.anchor();
    let mut implied = silent;
    implied.key_id = anchor.key_id().to_vec();
    assert_eq!(verdict(&implied, &[implied.leaf("a")]), "p:a");
}

#[test]
fn a_provider_takes_no_anchor_that_is_not_for_clients() {
    let for_servers = |draft: Draft| draft.with(extended_key_usage(&[SERVER_AUTH]));
    let anchor = Ca::root_as(common_name("ca"), for_servers).anchor();
    let made = Provider::new(
        ProviderId::new("default", "p"),
        Prefix::parse("p:").unwrap(),
        vec![anchor],
        UsernameFrom::CommonName,
        Vec::new(),
    );
    assert_eq!(made.unwrap_err().reason(), "AnchorNotForClients");
}

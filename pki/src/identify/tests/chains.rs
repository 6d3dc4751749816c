//! Which chains belong to whom.

use std::sync::Arc;

use super::*;
use crate::clock::at;
use crate::fixture::{
    CLIENT_AUTH, DAY, Draft, EMAIL, NOW, ORGANISATION, SERVER_AUTH, UTF8, any_extended_key_usage,
    authority, common_name, extended_key_usage, extension, key_usage, name, new_key, no_authority,
};
use crate::refusal::{IssuerRule, Link};

/// A1
#[test]
fn the_username_is_prefix_and_common_name() {
    let ca = Ca::root("source");
    let leaf = ca.leaf("ns/namespace-a/id/default");
    let trusted = bundle(vec![provider("source", "spiffe://source-cluster/", &[&ca])]);
    let who = identify(&trusted, std::slice::from_ref(&leaf), now()).unwrap();
    assert_eq!(
        who.username(),
        "spiffe://source-cluster/ns/namespace-a/id/default"
    );
    assert_eq!(who.prefix().as_str(), "spiffe://source-cluster/");
    assert_eq!(who.name(), "ns/namespace-a/id/default");
    assert_eq!(who.provider().to_string(), "default/source");
    assert_eq!(who.provider_digest(), trusted.providers()[0].digest());
    assert_eq!(who.certificate(), Fingerprint::of(&leaf));
    assert_eq!(who.serial(), "1234");
    assert_eq!(who.generation(), 1);
    assert_eq!(who.valid_until(), at(NOW + 365 * DAY));
    assert!(who.groups().is_empty());
}

/// A2
#[test]
fn no_certificate_is_nobody() {
    assert_eq!(verdict(&Ca::root("ca"), &[]), "NoCertificate");
    assert_eq!(
        identify(&TrustBundle::empty(), &[], now()),
        Err(Refusal::NoCertificate)
    );
}

/// A3
#[test]
fn strangers_are_refused_whatever_their_issuer_is_called() {
    let (ca, stranger, namesake) = (Ca::root("ca"), Ca::root("stranger"), Ca::root("ca"));
    assert_eq!(verdict(&ca, &[stranger.leaf("a")]), "UnknownIssuer");
    assert_eq!(verdict(&ca, &[namesake.leaf("a")]), "UnknownIssuer");
    let unsaid = namesake.sign(&namesake.draft("a").without(35));
    assert_eq!(
        verdict(&ca, &[unsaid]),
        "UnknownIssuer",
        "found by name, the key is another"
    );
    let mut posing = namesake.draft("a");
    posing.extensions = ca.draft("a").extensions;
    assert_eq!(
        verdict(&ca, &[namesake.sign(&posing)]),
        "UnknownIssuer",
        "key id of the other"
    );
    let key = new_key();
    let mut self_signed = ca.draft("a");
    self_signed.issuer = common_name("a");
    assert_eq!(
        verdict(&ca, &[self_signed.sign(&key, &key)]),
        "UnknownIssuer"
    );
    let nobody = identify(&TrustBundle::empty(), &[ca.leaf("a")], now());
    assert_eq!(
        nobody,
        Err(Refusal::UnknownIssuer {
            issuer: "CN=ca".to_owned()
        })
    );
}

#[test]
fn authorities_of_one_name_are_told_apart_by_key() {
    let (one, other) = (Ca::root("kubernetes-ca"), Ca::root("kubernetes-ca"));
    let trusted = bundle(vec![
        provider("one", "one:", &[&one]),
        provider("other", "other:", &[&other]),
    ]);
    for (ca, username) in [(&one, "one:a"), (&other, "other:a")] {
        assert_eq!(said(identify(&trusted, &[ca.leaf("a")], now())), username);
        let unsaid = ca.sign(&ca.draft("a").without(35));
        assert_eq!(
            said(identify(&trusted, &[unsaid], now())),
            username,
            "without key id"
        );
    }
}

/// A8
#[test]
fn a_provider_rotates_its_certificate_or_its_key() {
    let old = Ca::root("ca");
    let anew = Ca::with_key(Arc::clone(&old.key), common_name("ca"), |draft| {
        draft.valid(NOW - DAY, NOW + 9000 * DAY)
    });
    let other_key = Ca::root("ca");
    let trusted = bundle(vec![provider("p", "p:", &[&old, &anew, &other_key])]);
    for ca in [&old, &anew, &other_key] {
        assert_eq!(said(identify(&trusted, &[ca.leaf("a")], now())), "p:a");
    }
}

#[test]
fn of_several_paths_in_one_provider_the_longest_lived_counts() {
    let short = Ca::root_as(common_name("ca"), |draft| {
        draft.valid(NOW - DAY, NOW + 5 * DAY)
    });
    let long = Ca::with_key(Arc::clone(&short.key), common_name("ca"), |draft| {
        draft.valid(NOW - DAY, NOW + 50 * DAY)
    });
    for cas in [[&short, &long], [&long, &short]] {
        let trusted = bundle(vec![provider("p", "p:", &cas)]);
        let who = identify(&trusted, &[short.leaf("a")], now()).unwrap();
        assert_eq!(who.valid_until(), at(NOW + 50 * DAY));
    }
}

#[test]
fn validity_ends_with_the_first_link_of_the_path() {
    for (leaf, intermediate, root) in [(1, 2, 3), (3, 1, 2), (2, 3, 1)] {
        let ca = Ca::root_as(common_name("ca"), |d| d.valid(NOW - DAY, NOW + root * DAY));
        let sub = ca.subordinate_as("sub", |d| d.valid(NOW - DAY, NOW + intermediate * DAY));
        let leaf = sub.sign(&sub.draft("a").valid(NOW - DAY, NOW + leaf * DAY));
        let who = asked(&ca, &[leaf, sub.der.clone()]).unwrap();
        assert_eq!(who.valid_until(), at(NOW + DAY));
    }
}

/// A10
#[test]
fn a_cross_signed_intermediate_belongs_to_the_root_that_is_shown() {
    let (x, y) = (Ca::root("x"), Ca::root("y"));
    let key = Arc::new(new_key());
    let by_x = x.cross_sign(Arc::clone(&key), common_name("i"), |draft| draft);
    let by_y = y.cross_sign(key, common_name("i"), |draft| draft);
    let leaf = by_x.leaf("a");
    let trusted = bundle(vec![provider("x", "x:", &[&x]), provider("y", "y:", &[&y])]);
    let ask = |chain: &[&CertificateDer<'static>]| {
        let chain: Vec<_> = chain.iter().map(|der| (*der).clone()).collect();
        identify(&trusted, &chain, now())
    };
    assert_eq!(said(ask(&[&leaf, &by_x.der])), "x:a");
    assert_eq!(said(ask(&[&leaf, &by_y.der])), "y:a");
    let both = Refusal::Ambiguous {
        providers: Box::new([
            ProviderId::new("default", "x"),
            ProviderId::new("default", "y"),
        ]),
    };
    for _ in 0..100 {
        assert_eq!(ask(&[&leaf, &by_x.der, &by_y.der]), Err(both.clone()));
        assert_eq!(ask(&[&leaf, &by_y.der, &by_x.der]), Err(both.clone()));
    }
}

#[test]
fn an_intermediate_pinned_by_another_provider_makes_the_chain_ambiguous() {
    let root = Ca::root("root");
    let sub = root.subordinate("sub");
    let trusted = bundle(vec![
        provider("r", "r:", &[&root]),
        provider("s", "s:", &[&sub]),
    ]);
    let leaf = sub.leaf("a");
    assert_eq!(
        said(identify(&trusted, &[leaf.clone(), sub.der.clone()], now())),
        "Ambiguous"
    );
    assert_eq!(
        said(identify(&trusted, &[leaf], now())),
        "s:a",
        "only one path is shown"
    );
}

/// A11
#[test]
fn chains_may_be_shuffled_doubled_and_padded() {
    let ca = Ca::root("ca");
    let middle = ca.subordinate("middle");
    let low = middle.subordinate("low");
    let leaf = low.leaf("a");
    let stranger = Ca::root("stranger");
    let (m, l, s) = (middle.der.clone(), low.der.clone(), stranger.der.clone());
    for chain in [
        vec![leaf.clone(), l.clone(), m.clone()],
        vec![leaf.clone(), m.clone(), l.clone()],
        vec![
            leaf.clone(),
            leaf.clone(),
            l.clone(),
            l.clone(),
            m.clone(),
            m.clone(),
        ],
        vec![
            leaf.clone(),
            s.clone(),
            m.clone(),
            l.clone(),
            stranger.leaf("b"),
        ],
        vec![leaf.clone(), l.clone(), m.clone(), ca.der.clone()],
    ] {
        assert_eq!(verdict(&ca, &chain), "p:a");
    }
    assert_eq!(
        verdict(&ca, &[leaf.clone(), m.clone()]),
        "UnknownIssuer",
        "one is missing"
    );
    assert_eq!(verdict(&ca, std::slice::from_ref(&leaf)), "UnknownIssuer");
    let garbage = CertificateDer::from(b"no certificate".to_vec());
    assert_eq!(verdict(&ca, &[leaf, l, m, garbage.clone()]), "Malformed");
    assert_eq!(verdict(&ca, &[garbage]), "Malformed");
}

/// A15
#[test]
fn a_leaf_issues_nothing() {
    let ca = Ca::root("ca");
    let trusted_leaf = ca.subordinate_as("victim", |draft| {
        draft
            .without(19)
            .without(15)
            .with(no_authority())
            .with(key_usage(false))
    });
    let evil = trusted_leaf.leaf("admin");
    let answer = asked(&ca, &[evil.clone(), trusted_leaf.der.clone()]);
    assert_eq!(
        answer,
        Err(Refusal::IssuerNotAllowed {
            rule: IssuerRule::NotAnAuthority
        })
    );
    let silent = ca.subordinate_as("victim", |draft| draft.without(19));
    let evil = silent.leaf("admin");
    assert_eq!(
        verdict(&ca, &[evil, silent.der.clone()]),
        "IssuerNotAllowed",
        "no constraints"
    );
    let unsigning = ca.subordinate_as("victim", |d| d.without(15).with(key_usage(false)));
    let evil = unsigning.leaf("admin");
    let answer = asked(&ca, &[evil, unsigning.der.clone()]);
    assert_eq!(
        answer,
        Err(Refusal::IssuerNotAllowed {
            rule: IssuerRule::KeyUsage
        })
    );
}

/// A16
#[test]
fn path_lengths_bind_anchors_and_intermediates() {
    let too_long = Err(Refusal::IssuerNotAllowed {
        rule: IssuerRule::PathLength,
    });
    let none_below = |draft: Draft| draft.without(19).with(authority(Some(0)));
    let ca = Ca::root_as(common_name("ca"), none_below);
    assert_eq!(verdict(&ca, &[ca.leaf("a")]), "p:a");
    let sub = ca.subordinate("sub");
    assert_eq!(asked(&ca, &[sub.leaf("a"), sub.der.clone()]), too_long);
    let ca = Ca::root("ca");
    let sub = ca.subordinate_as("sub", none_below);
    assert_eq!(verdict(&ca, &[sub.leaf("a"), sub.der.clone()]), "p:a");
    let low = sub.subordinate("low");
    assert_eq!(
        asked(&ca, &[low.leaf("a"), low.der.clone(), sub.der.clone()]),
        too_long
    );
    let one_below = |draft: Draft| draft.without(19).with(authority(Some(1)));
    let ca = Ca::root_as(common_name("ca"), one_below);
    let sub = ca.subordinate("sub");
    assert_eq!(verdict(&ca, &[sub.leaf("a"), sub.der.clone()]), "p:a");
}

/// A20
#[test]
fn validity_is_to_the_second_for_every_link() {
    let ca = Ca::root("ca");
    let (from, until) = (NOW + 5, NOW + 10);
    let leaf = ca.sign(&ca.draft("a").valid(from, until));
    let by_leaf = (
        bundle(vec![provider("p", "p:", &[&ca])]),
        vec![leaf],
        Link::Leaf,
    );
    let sub = ca.subordinate_as("sub", |draft| draft.valid(from, until));
    let chain = vec![sub.leaf("a"), sub.der.clone()];
    let by_intermediate = (
        bundle(vec![provider("p", "p:", &[&ca])]),
        chain,
        Link::Intermediate,
    );
    let ca = Ca::root_as(common_name("ca"), |draft| draft.valid(from, until));
    let by_anchor = (
        bundle(vec![provider("p", "p:", &[&ca])]),
        vec![ca.leaf("a")],
        Link::Anchor,
    );
    for (trusted, chain, link) in [by_leaf, by_intermediate, by_anchor] {
        let early = Refusal::NotYetValid {
            link,
            not_before: at(from),
        };
        let late = Refusal::Expired {
            link,
            not_after: at(until),
        };
        assert_eq!(identify(&trusted, &chain, now()), Err(early.clone()));
        assert_eq!(identify(&trusted, &chain, at(from - 1)), Err(early));
        let who = identify(&trusted, &chain, at(from)).unwrap();
        assert_eq!((who.username(), who.valid_until()), ("p:a", at(until)));
        assert!(identify(&trusted, &chain, at(until)).is_ok());
        assert_eq!(identify(&trusted, &chain, at(until + 1)), Err(late));
    }
}

#[test]
fn refusals_name_the_moment_and_what_to_do() {
    let ca = Ca::root("ca");
    let leaf = ca.sign(&ca.draft("a").valid(NOW - DAY, NOW - 1));
    let refusal = asked(&ca, &[leaf]).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the certificate expired at 2029-12-31T23:59:59Z"
    );
    assert_eq!(refusal.class(), "Expired");
    assert_eq!(refusal.remedy(), "renew the certificate");
}

#[test]
fn issuers_in_refusals_are_escaped_and_cut() {
    let evil = [b"\x1b[31m\r\nx".as_slice(), &[b'y'; 5000]].concat();
    let stranger = Ca::root_as(name(&[(&ORGANISATION, UTF8, &evil)]), |draft| draft);
    let text = asked(&Ca::root("ca"), &[stranger.leaf("a")])
        .unwrap_err()
        .to_string();
    assert!(text.contains("O=\\1b[31m\\0d\\0axyyy"), "{text}");
    assert!(
        text.chars().all(|c| !c.is_control()) && text.len() < 400,
        "{text}"
    );
}

/// A22
#[test]
fn extended_key_usages_must_allow_clients() {
    let ca = Ca::root("ca");
    let with = |extension: Vec<u8>| ca.sign(&ca.draft("a").without(37).with(extension));
    for (leaf, expected) in [
        (with(extended_key_usage(&[CLIENT_AUTH])), "p:a"),
        (with(extended_key_usage(&[SERVER_AUTH, CLIENT_AUTH])), "p:a"),
        (ca.sign(&ca.draft("a").without(37)), "p:a"),
        (with(extended_key_usage(&[SERVER_AUTH])), "NotForClients"),
        (with(extended_key_usage(&[EMAIL])), "NotForClients"),
        (with(any_extended_key_usage()), "NotForClients"),
    ] {
        assert_eq!(verdict(&ca, &[leaf]), expected);
    }
    let for_servers = |d: Draft| d.with(extended_key_usage(&[SERVER_AUTH]));
    let sub = ca.subordinate_as("sub", for_servers);
    assert_eq!(
        verdict(&ca, &[sub.leaf("a"), sub.der.clone()]),
        "NotForClients"
    );
    let for_clients = |d: Draft| d.with(extended_key_usage(&[CLIENT_AUTH]));
    let sub = ca.subordinate_as("sub", for_clients);
    assert_eq!(verdict(&ca, &[sub.leaf("a"), sub.der.clone()]), "p:a");
}

/// A24
#[test]
fn authorities_are_not_callers() {
    let ca = Ca::root("ca");
    let sub = ca.subordinate("sub");
    let as_leaf = ca.sign(&ca.draft("a").without(19).with(authority(None)));
    for der in [ca.der.clone(), sub.der.clone(), as_leaf] {
        assert_eq!(verdict(&ca, &[der]), "NotForClients");
    }
}

/// A58
#[test]
fn many_certificates_and_meshes_of_one_name_cost_little() {
    let ca = Ca::root("ca");
    let hundred = vec![ca.leaf("a"); 100];
    assert_eq!(
        asked(&ca, &hundred),
        Err(Refusal::TooLong {
            certificates: 100,
            most: 8
        })
    );
    // Every intermediate seems to be issued by every other, and by the anchor too: each path has to
    // be tried with a signature, of which there is a budget.
    let namesake = Ca::root("ca");
    let unsaid = |draft: Draft| draft.without(35).without(14);
    let mut chain = vec![namesake.sign(&unsaid(namesake.draft("a")))];
    chain.extend((0..7).map(|_| namesake.subordinate_as("ca", unsaid).der));
    assert_eq!(asked(&ca, &chain), Err(Refusal::TooComplex));
    // The same, but only the last of them leads to the anchor: no signature ends the search early.
    let stranger = Ca::root("mesh");
    let mut chain = vec![stranger.sign(&unsaid(stranger.draft("a")))];
    chain.extend((0..6).map(|_| stranger.subordinate_as("mesh", unsaid).der));
    let bait = namesake.subordinate_as("elsewhere", unsaid);
    chain.push(bait.der);
    assert_eq!(verdict(&ca, &chain), "UnknownIssuer");
}

#[test]
fn a_trusted_chain_with_a_mesh_around_it_is_refused_rather_than_half_looked_at() {
    let ca = Ca::root("ca");
    let unsaid = |draft: Draft| draft.without(35).without(14);
    let mut chain = vec![ca.sign(&unsaid(ca.draft("a")))];
    assert_eq!(verdict(&ca, &chain), "p:a");
    chain.extend((0..7).map(|_| ca.subordinate_as("ca", unsaid).der));
    assert_eq!(verdict(&ca, &chain), "TooComplex");
}

#[test]
fn critical_extensions_of_intermediates_count_too() {
    let ca = Ca::root("ca");
    let odd = extension(&[42, 3, 4], true, &[5, 0]);
    let sub = ca.subordinate_as("sub", |draft| draft.with(odd.clone()));
    assert_eq!(verdict(&ca, &[sub.leaf("a"), sub.der.clone()]), "Malformed");
}

//! What was taken back by its authority or denied here. Case A57.

use std::sync::Arc;

use super::*;
use crate::bundle::{Wanted, assemble};
use crate::clock::at;
use crate::fixture::{DAY, Draft, NOW, common_name, new_key};
use crate::provider::{LateList, Revocations};
use crate::refusal::{Link, Revoker};
use crate::revocation::RevocationList;

/// The serial number of every leaf that `Ca::leaf` makes, and of every CA.
const LEAF: &[u8] = &[0x12, 0x34];
const CA: &[u8] = &[1];

fn with_lists(ca: &Ca, lists: &[Arc<RevocationList>], late: LateList) -> TrustBundle {
    let revocations = Revocations {
        lists: lists.to_vec(),
        late,
        denied: Vec::new(),
    };
    bundle(vec![
        provider("p", "p:", &[ca]).with_revocations(revocations),
    ])
}

fn denying(ca: &Ca, denied: &[String]) -> TrustBundle {
    let revocations = Revocations {
        denied: denied.iter().map(|text| text.parse().unwrap()).collect(),
        ..Revocations::default()
    };
    bundle(vec![
        provider("p", "p:", &[ca]).with_revocations(revocations),
    ])
}

fn by(link: Link, by: Revoker) -> Result<Identity, Refusal> {
    Err(Refusal::Revoked { link, by })
}

#[test]
fn a_revoked_leaf_is_refused_and_its_sisters_are_not() {
    let ca = Ca::root("ca");
    let trusted = with_lists(&ca, &[ca.revoking(&[LEAF])], LateList::Keep);
    let answer = identify(&trusted, &[ca.leaf("a")], now());
    assert_eq!(answer, by(Link::Leaf, Revoker::Authority));
    let refusal = answer.unwrap_err();
    assert_eq!(refusal.class(), "Revoked");
    assert_eq!(refusal.to_string(), "the certificate was revoked by its CA");
    let sister = Draft {
        serial: vec![0x12, 0x35],
        ..ca.draft("b")
    };
    assert_eq!(said(identify(&trusted, &[ca.sign(&sister)], now())), "p:b");
}

#[test]
fn a_revoked_intermediate_takes_down_what_it_issued() {
    let ca = Ca::root("ca");
    let (low, other) = (ca.subordinate("low"), {
        let edit = |draft: Draft| Draft {
            serial: vec![2],
            ..draft
        };
        ca.subordinate_as("other", edit)
    });
    let trusted = with_lists(&ca, &[ca.revoking(&[CA])], LateList::Keep);
    let ask = |ca: &Ca| identify(&trusted, &[ca.leaf("a"), ca.der.clone()], now());
    assert_eq!(ask(&low), by(Link::Intermediate, Revoker::Authority));
    assert_eq!(said(ask(&other)), "p:a");
    // Further down.
    let lowest = low.subordinate_as("lowest", |draft| Draft {
        serial: vec![3],
        ..draft
    });
    let chain = [lowest.leaf("a"), lowest.der.clone(), low.der.clone()];
    assert_eq!(
        identify(&trusted, &chain, now()),
        by(Link::Intermediate, Revoker::Authority)
    );
}

/// An intermediate's own list counts when the intermediate is trusted by name, and then on every path.
#[test]
fn an_intermediate_that_is_trusted_itself_has_a_list_of_its_own() {
    let root = Ca::root("root");
    let low = root.subordinate("low");
    let both = provider("p", "p:", &[&root, &low]).with_revocations(Revocations {
        lists: vec![low.revoking(&[LEAF])],
        ..Revocations::default()
    });
    let trusted = bundle(vec![both]);
    for chain in [
        vec![low.leaf("a")],
        vec![low.leaf("a"), low.der.clone()],
        vec![low.leaf("a"), low.der.clone(), root.der.clone()],
    ] {
        let answer = identify(&trusted, &chain, now());
        assert_eq!(answer, by(Link::Leaf, Revoker::Authority));
    }
    assert_eq!(said(identify(&trusted, &[root.leaf("a")], now())), "p:a");
}

/// §4.9: serial numbers are an authority's own, and one without a list is not revoked because a sibling
/// has one.
#[test]
fn a_list_is_about_its_own_authority_alone() {
    let (old, new) = (Ca::root("ca"), Ca::root("ca"));
    let two = |late| {
        provider("p", "p:", &[&old, &new]).with_revocations(Revocations {
            lists: vec![old.list(&old.list_draft(&[LEAF]).until(NOW - 1))],
            late,
            denied: Vec::new(),
        })
    };
    for late in [LateList::Keep, LateList::Strict] {
        let trusted = bundle(vec![two(late)]);
        assert_eq!(said(identify(&trusted, &[old.leaf("a")], now())), "Revoked");
        let who = identify(&trusted, &[new.leaf("a")], now()).unwrap();
        assert_eq!(
            (who.username(), who.valid_until()),
            ("p:a", at(NOW + 365 * DAY))
        );
    }
    // A CA issued anew is the same authority: its list holds for both certificates.
    let anew = Ca::with_key(Arc::clone(&old.key), common_name("ca"), |draft| {
        draft.valid(NOW - DAY, NOW + 9000 * DAY)
    });
    let trusted = bundle(vec![provider("p", "p:", &[&anew]).with_revocations(
        Revocations {
            lists: vec![old.revoking(&[LEAF])],
            ..Revocations::default()
        },
    )]);
    assert_eq!(said(identify(&trusted, &[old.leaf("a")], now())), "Revoked");
}

#[test]
fn a_late_list_is_kept_and_only_the_strict_refuse_by_it() {
    let ca = Ca::root("ca");
    let list = || ca.list(&ca.list_draft(&[&[9]]).until(NOW + 5));
    let kept = with_lists(&ca, &[list()], LateList::Keep);
    let strict = with_lists(&ca, &[list()], LateList::Strict);
    let leaf = [ca.leaf("a")];
    let who = identify(&kept, &leaf, at(NOW + 6)).unwrap();
    assert_eq!(who.valid_until(), at(NOW + 365 * DAY));
    let who = identify(&strict, &leaf, at(NOW + 5)).unwrap();
    assert_eq!(who.valid_until(), at(NOW + 5), "ends with the list");
    let late = identify(&strict, &leaf, at(NOW + 6)).unwrap_err();
    assert_eq!(late.class(), "RevocationUnknown");
    assert!(late.to_string().contains("2030-01-01T00:00:05Z"), "{late}");
    let gone = Draft {
        serial: vec![9],
        ..ca.draft("a")
    };
    let gone = [ca.sign(&gone)];
    for trusted in [&kept, &strict] {
        assert_eq!(said(identify(trusted, &gone, at(NOW + 6))), "Revoked");
    }
    // Lists are not to be had from the future, but one is no reason to let a revoked one in.
    let mut early = ca.list_draft(&[LEAF]);
    early.this_update = NOW + 3;
    let trusted = with_lists(&ca, &[ca.list(&early)], LateList::Keep);
    assert_eq!(said(identify(&trusted, &leaf, now())), "Revoked");
}

#[test]
fn the_newest_list_counts_wherever_it_was_found() {
    let ca = Ca::root("ca");
    let numbered = |number: u8, serials: &[&[u8]]| {
        let mut draft = ca.list_draft(serials);
        draft.extensions.pop();
        ca.list(&draft.with(crate::fixture::list::number(number)))
    };
    let (old, new) = (numbered(4, &[]), numbered(5, &[LEAF]));
    let own = |list: &Arc<RevocationList>| {
        Arc::new(provider("p", "p:", &[&ca]).with_revocations(Revocations {
            lists: vec![Arc::clone(list)],
            ..Revocations::default()
        }))
    };
    let leaf = [ca.leaf("a")];
    for (own, beside) in [(own(&old), &new), (own(&new), &old)] {
        let wanted = Wanted {
            providers: vec![own],
            lists: vec![Arc::clone(beside)],
            ..Wanted::default()
        };
        let trusted = assemble(&TrustBundle::empty(), wanted).bundle;
        assert_eq!(said(identify(&trusted, &leaf, now())), "Revoked");
        assert_eq!(trusted.providers()[0].lists().len(), 1);
    }
}

#[test]
fn a_certificate_can_be_denied_by_name() {
    let ca = Ca::root("ca");
    let low = ca.subordinate_as("low", |draft| Draft {
        serial: vec![7],
        ..draft
    });
    let leaf = low.leaf("a");
    let chain = [leaf.clone(), low.der.clone()];
    for (denied, link) in [
        ("serial:1234".to_owned(), Link::Leaf),
        ("serial:07".to_owned(), Link::Intermediate),
        (Fingerprint::of(&leaf).to_string(), Link::Leaf),
        (Fingerprint::of(&low.der).to_string(), Link::Intermediate),
        (Fingerprint::of(&ca.der).to_string(), Link::Anchor),
    ] {
        let trusted = denying(&ca, &["serial:99".to_owned(), denied.clone()]);
        let answer = identify(&trusted, &chain, now());
        assert_eq!(answer, by(link, Revoker::Administrator), "{denied}");
    }
    let other = Fingerprint::of(b"another").to_string();
    let trusted = denying(&ca, &["serial:12".to_owned(), other]);
    assert_eq!(said(identify(&trusted, &chain, now())), "p:a");
}

#[test]
fn denials_are_one_provider_s() {
    let (mine, theirs) = (Ca::root("mine"), Ca::root("theirs"));
    let denied = Revocations {
        denied: vec!["serial:1234".parse().unwrap()],
        ..Revocations::default()
    };
    let trusted = bundle(vec![
        provider("m", "m:", &[&mine]).with_revocations(denied),
        provider("t", "t:", &[&theirs]),
    ]);
    assert_eq!(
        said(identify(&trusted, &[mine.leaf("a")], now())),
        "Revoked"
    );
    assert_eq!(said(identify(&trusted, &[theirs.leaf("a")], now())), "t:a");
}

/// Otherwise a revocation would turn its owner into somebody else.
#[test]
fn a_leaf_that_is_revoked_on_one_path_is_nobody_on_the_others() {
    let root = Ca::root("root");
    let low = root.subordinate("low");
    let at_once = |revocations| {
        let trusted = bundle(vec![
            provider("l", "l:", &[&low]).with_revocations(revocations),
            provider("r", "r:", &[&root]),
        ]);
        said(identify(&trusted, &[low.leaf("a"), low.der.clone()], now()))
    };
    assert_eq!(at_once(Revocations::default()), "Ambiguous");
    let listed = Revocations {
        lists: vec![low.revoking(&[LEAF])],
        ..Revocations::default()
    };
    assert_eq!(at_once(listed), "Revoked");
    let denied = Revocations {
        denied: vec!["serial:1234".parse().unwrap()],
        ..Revocations::default()
    };
    assert_eq!(at_once(denied), "Revoked");
}

/// A10 with a revocation: the other way that was shown stays open.
#[test]
fn of_two_cross_signed_intermediates_the_one_that_is_left_decides() {
    let (x, y) = (Ca::root("x"), Ca::root("y"));
    let key = Arc::new(new_key());
    let by_x = x.cross_sign(Arc::clone(&key), common_name("i"), |draft| draft);
    let by_y = y.cross_sign(key, common_name("i"), |draft| draft);
    let revoking = Revocations {
        lists: vec![x.revoking(&[CA])],
        ..Revocations::default()
    };
    let trusted = bundle(vec![
        provider("x", "x:", &[&x]).with_revocations(revoking),
        provider("y", "y:", &[&y]),
    ]);
    let leaf = by_x.leaf("a");
    let chain = [leaf.clone(), by_x.der.clone(), by_y.der.clone()];
    assert_eq!(said(identify(&trusted, &chain, now())), "y:a");
    assert_eq!(
        said(identify(&trusted, &[leaf, by_x.der.clone()], now())),
        "Revoked"
    );
}

/// Whoever holds a certificate can write its ECDSA signature in another way, which changes its SHA-256 and nothing else.
#[test]
fn who_is_denied_by_sha256_is_denied_in_both_forms() {
    let ca = Ca::root("ca");
    let below = ca.subordinate("below");
    for (chain, link) in [
        (vec![ca.leaf("a")], Link::Leaf),
        (vec![below.leaf("a"), below.der.clone()], Link::Intermediate),
    ] {
        let certificate = chain.last().unwrap();
        let fingerprint = Fingerprint::of(certificate).to_string();
        let (trusting, denying) = (denying(&ca, &[]), denying(&ca, &[fingerprint]));
        let others = crate::twin::other_forms(certificate);
        let mut accepted = 0;
        for other in others {
            let mut disguised = chain.clone();
            *disguised.last_mut().unwrap() = other.into();
            accepted += usize::from(identify(&trusting, &disguised, now()).is_ok());
            assert!(identify(&denying, &disguised, now()).is_err(), "{link:?}");
        }
        assert_eq!(accepted, 1, "its signature is as good as the first");
        assert_eq!(
            identify(&denying, &chain, now()),
            by(link, Revoker::Administrator)
        );
    }
}

use std::sync::Arc;

use proptest::prelude::*;
use rcgen::KeyPair;

use super::*;
use crate::fixture::{Ca, common_name, new_key, provider};
use crate::provider::{LateList, Revocations, UsernameFrom};

mod ranks;

fn names(bundle: &TrustBundle) -> Vec<String> {
    bundle
        .providers()
        .iter()
        .map(|p| format!("{} {}", p.id().name, p.prefix()))
        .collect()
}

fn refused(assembly: &Assembly) -> Vec<(&str, &'static str)> {
    assembly
        .refused
        .iter()
        .map(|(id, why)| (id.name.as_str(), why.reason()))
        .collect()
}

fn taken(providers: Vec<Provider>) -> TrustBundle {
    crate::fixture::bundle(providers)
}

/// Providers need CAs; a handful of keys is enough for all.
struct Cas(Vec<Ca>);

impl Cas {
    fn new(count: usize) -> Self {
        Self(
            (0..count)
                .map(|number| Ca::root(&format!("ca {number}")))
                .collect(),
        )
    }

    /// A provider with the CA of that number.
    fn provider(&self, name: &str, prefix: &str, ca: usize) -> Provider {
        provider(name, prefix, &[&self.0[ca]])
    }
}

#[test]
fn nothing_changed_is_the_same_generation() {
    let cas = Cas::new(2);
    let wanted = || vec![cas.provider("b", "b:", 1), cas.provider("a", "a:", 0)];
    let first = assemble(&TrustBundle::empty(), wanted());
    assert_eq!(first.bundle.generation(), 1);
    assert_eq!(names(&first.bundle), ["a a:", "b b:"]);
    let again = assemble(&first.bundle, wanted());
    assert_eq!(again.bundle.generation(), 1);
    assert!(Arc::ptr_eq(&again.bundle.index, &first.bundle.index));
    let without = assemble(&first.bundle, vec![cas.provider("a", "a:", 0)]);
    assert_eq!(
        (without.bundle.generation(), names(&without.bundle).len()),
        (2, 1)
    );
    let nothing = assemble(&without.bundle, Vec::new());
    assert_eq!(
        (nothing.bundle.generation(), names(&nothing.bundle).len()),
        (3, 0)
    );
}

#[test]
fn whatever_matters_changes_the_digest_and_the_generation() {
    let cas = Cas::new(2);
    let base = cas.provider("a", "spiffe://a/", 0);
    let made = |prefix: &str, anchors: &[usize], from, groups: &[&str]| {
        Provider::new(
            base.id().clone(),
            Prefix::parse(prefix).unwrap(),
            anchors.iter().map(|at| cas.0[*at].anchor()).collect(),
            from,
            groups.iter().map(|group| (*group).to_owned()).collect(),
        )
        .unwrap()
    };
    let (name, uri) = (UsernameFrom::CommonName, UsernameFrom::Uri);
    let held = taken(vec![base.clone()]);
    for edit in [
        made("spiffe://b/", &[0], name, &[]),
        made("spiffe://a/", &[1], name, &[]),
        made("spiffe://a/", &[0, 1], name, &[]),
        made("spiffe://a/", &[0], uri, &[]),
        made("spiffe://a/", &[0], name, &["g"]),
        made("spiffe://a/", &[0], name, &["g", "h"]),
    ] {
        assert_ne!(edit.digest(), base.digest());
        let edited = assemble(&held, vec![edit]);
        assert_eq!((edited.bundle.generation(), edited.refused.len()), (2, 0));
    }
    for same in [
        made("spiffe://a/", &[0, 0], name, &[]),
        made("spiffe://a/", &[0], name, &[]),
    ] {
        assert_eq!(same.digest(), base.digest());
    }
    let (one, other) = (
        made("a:", &[0, 1], name, &["g", "h"]),
        made("a:", &[1, 0], name, &["h", "g", "g"]),
    );
    assert_eq!(one.digest(), other.digest(), "order makes no difference");
}

#[test]
fn what_is_revoked_changes_the_digest() {
    let cas = Cas::new(1);
    let base = cas.provider("a", "spiffe://a/", 0);
    let list = cas.0[0].revoking(&[]);
    let revoking = |late, lists: &[&Arc<RevocationList>], denied: &[&str]| {
        base.clone().with_revocations(Revocations {
            lists: lists.iter().map(|list| Arc::clone(list)).collect(),
            late,
            denied: denied.iter().map(|text| text.parse().unwrap()).collect(),
        })
    };
    let mut digests: Vec<_> = [
        revoking(LateList::Keep, &[], &[]),
        revoking(LateList::Strict, &[], &[]),
        revoking(LateList::Keep, &[&list], &[]),
        revoking(LateList::Keep, &[], &["serial:01"]),
        revoking(LateList::Keep, &[], &["serial:01", "serial:02"]),
    ]
    .iter()
    .map(Provider::digest)
    .collect();
    assert_eq!(digests[0], base.digest());
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 5);
    assert_eq!(
        revoking(
            LateList::Keep,
            &[&list, &list],
            &["serial:02", "serial:1", "serial:02"]
        )
        .digest(),
        revoking(LateList::Keep, &[&list], &["serial:01", "serial:02"]).digest(),
        "neither order nor repetition makes a difference"
    );
}

#[test]
fn at_a_cold_start_all_that_collide_are_refused() {
    let cas = Cas::new(6);
    let assembly = assemble(
        &TrustBundle::empty(),
        vec![
            cas.provider("equal-1", "same:", 0),
            cas.provider("equal-2", "same:", 1),
            cas.provider("outer", "x", 2),
            cas.provider("inner", "xy", 3),
            cas.provider("innermost", "xyz", 4),
            cas.provider("fine", "y", 5),
        ],
    );
    assert_eq!(names(&assembly.bundle), ["fine y"]);
    let expected = ["equal-1", "equal-2", "inner", "innermost", "outer"];
    assert_eq!(
        refused(&assembly),
        expected.map(|name| (name, "PrefixConflict"))
    );
}

#[test]
fn one_key_in_two_providers_is_refused_under_any_name() {
    let key = Arc::new(new_key());
    let one = Ca::with_key(Arc::clone(&key), common_name("one"), |draft| draft);
    let other = Ca::with_key(key, common_name("other"), |draft| draft);
    let (a, b) = (provider("a", "a:", &[&one]), provider("b", "b:", &[&other]));
    let cold = assemble(&TrustBundle::empty(), vec![a.clone(), b.clone()]);
    assert_eq!(refused(&cold), [("a", "KeyConflict"), ("b", "KeyConflict")]);
    let running = assemble(&taken(vec![a.clone()]), vec![a, b]);
    assert_eq!(refused(&running), [("b", "KeyConflict")]);
    assert_eq!(names(&running.bundle), ["a a:"]);
    let within = provider("a", "a:", &[&one, &other]);
    assert_eq!(
        names(&taken(vec![within])),
        ["a a:"],
        "in one provider it is a renewal"
    );
}

#[test]
fn the_holder_keeps_against_newcomers_and_edits() {
    let cas = Cas::new(4);
    let held = taken(vec![cas.provider("a", "a:", 0), cas.provider("b", "b:", 1)]);
    for newcomer in ["a", "a:", "a:x", "a:x/y"] {
        let wanted = vec![
            cas.provider("a", "a:", 0),
            cas.provider("b", "b:", 1),
            cas.provider("0-first", newcomer, 2),
        ];
        let assembly = assemble(&held, wanted);
        assert_eq!(
            refused(&assembly),
            [("0-first", "PrefixConflict")],
            "{newcomer}"
        );
        assert_eq!(assembly.bundle.generation(), 1);
    }
    let edit = assemble(
        &held,
        vec![cas.provider("a", "a:", 0), cas.provider("b", "a:b:", 1)],
    );
    assert_eq!(refused(&edit), [("b", "PrefixConflict")]);
    assert_eq!(
        names(&edit.bundle),
        ["a a:", "b b:"],
        "the old version stays"
    );
    let deleted = assemble(&held, vec![cas.provider("b", "a:b:", 1)]);
    assert_eq!(
        names(&deleted.bundle),
        ["b a:b:"],
        "once the holder is gone, the edit counts"
    );
}

#[test]
fn a_consistent_wish_is_always_granted() {
    let cas = Cas::new(2);
    let held = taken(vec![cas.provider("a", "a:", 0), cas.provider("b", "b:", 1)]);
    let swapped = assemble(
        &held,
        vec![cas.provider("a", "b:", 0), cas.provider("b", "a:", 1)],
    );
    assert_eq!(names(&swapped.bundle), ["a b:", "b a:"]);
    let moved = assemble(
        &held,
        vec![cas.provider("a", "c:", 0), cas.provider("d", "a:", 1)],
    );
    assert_eq!(names(&moved.bundle), ["a c:", "d a:"]);
}

#[test]
fn a_refused_edit_holds_its_old_ground_again() {
    let cas = Cas::new(4);
    let held = taken(vec![
        cas.provider("a", "a:", 0),
        cas.provider("b", "b:", 1),
        cas.provider("c", "c:", 2),
    ]);
    // `b` wants what `a` holds, `c` wants what `b` would have left, `d` what `c` would have left.
    let assembly = assemble(
        &held,
        vec![
            cas.provider("a", "a:", 0),
            cas.provider("b", "a:", 1),
            cas.provider("c", "b:x", 2),
            cas.provider("d", "c:", 3),
        ],
    );
    assert_eq!(names(&assembly.bundle), ["a a:", "b b:", "c c:"]);
    assert_eq!(refused(&assembly).len(), 3);
    assert_eq!(assembly.bundle.generation(), held.generation());
}

/// Otherwise whoever collides with an object would hold up what it revokes.
#[test]
fn an_edit_that_claims_nothing_new_goes_in_whatever_is_new_beside_it() {
    let cas = Cas::new(3);
    let both = provider("a", "a:", &[&cas.0[0], &cas.0[1]]);
    let held = taken(vec![both]);
    let denying = Revocations {
        denied: vec!["serial:01".parse().unwrap()],
        ..Revocations::default()
    };
    let edit = || cas.provider("a", "a:", 0).with_revocations(denying.clone());
    for newcomer in [cas.provider("b", "a:", 2), cas.provider("b", "b:", 1)] {
        let assembly = assemble(&held, vec![edit(), newcomer]);
        assert!(assembly.bundle.holds(edit().id(), edit().digest()));
        if assembly.bundle.providers().len() == 1 {
            assert_eq!(refused(&assembly), [("b", "PrefixConflict")]);
        } else {
            assert_eq!(refused(&assembly), [], "the CA that was given up is free");
        }
    }
}

/// A list speaks for itself: it counts whether or not the object's newest version does.
#[test]
fn a_list_found_beside_counts_for_the_version_that_is_in_force() {
    let cas = Cas::new(3);
    let held = taken(vec![cas.provider("a", "a:", 0), cas.provider("b", "b:", 1)]);
    let wanted = |lists: Vec<Arc<RevocationList>>| Wanted {
        providers: vec![
            Arc::new(cas.provider("a", "b:x", 0)),
            Arc::new(cas.provider("b", "b:", 1)),
        ],
        lists,
        ..Wanted::default()
    };
    let leaf = [cas.0[0].leaf("a")];
    let list = cas.0[0].revoking(&[&[0x12, 0x34]]);
    let assembly = assemble(&held, wanted(vec![list, cas.0[2].revoking(&[])]));
    assert_eq!(refused(&assembly), [("a", "PrefixConflict")]);
    assert_eq!(assembly.bundle.generation(), 2);
    let answer = crate::identify(&assembly.bundle, &leaf, crate::fixture::now());
    assert_eq!(answer.unwrap_err().class(), "Revoked");
    let b = assembly.bundle.provider(&ProviderId::new("default", "b"));
    assert_eq!(b.unwrap().digest(), held.providers()[1].digest());
    let without = assemble(&assembly.bundle, wanted(Vec::new()));
    assert_eq!(
        without.bundle.generation(),
        3,
        "a list that is gone is gone"
    );
    assert!(crate::identify(&without.bundle, &leaf, crate::fixture::now()).is_ok());
}

#[test]
fn newcomers_that_collide_are_all_refused_and_so_is_what_their_edits_free() {
    let cas = Cas::new(4);
    let held = taken(vec![cas.provider("a", "a:", 0)]);
    let assembly = assemble(
        &held,
        vec![
            cas.provider("a", "n:", 0),
            cas.provider("n", "n:", 1),
            cas.provider("m", "a:m", 2),
            cas.provider("z", "z:", 3),
        ],
    );
    assert_eq!(names(&assembly.bundle), ["a a:", "z z:"]);
    let all = [
        ("a", "PrefixConflict"),
        ("m", "PrefixConflict"),
        ("n", "PrefixConflict"),
    ];
    assert_eq!(refused(&assembly), all);
}

#[test]
fn an_object_that_is_there_twice_is_refused() {
    let cas = Cas::new(2);
    let twice = || vec![cas.provider("a", "a:", 0), cas.provider("a", "b:", 1)];
    let cold = assemble(&TrustBundle::empty(), twice());
    assert_eq!(
        (names(&cold.bundle).len(), refused(&cold)),
        (0, vec![("a", "DuplicateObject")])
    );
    let running = assemble(&taken(vec![cas.provider("a", "a:", 0)]), twice());
    assert_eq!(names(&running.bundle), ["a a:"]);
    assert_eq!(refused(&running), [("a", "DuplicateObject")]);
}

/// Sixteen CAs with keys of their own under the victim's name and key identifier.
fn forged(victim: &Ca) -> Vec<Ca> {
    (0..16)
        .map(|_| {
            let key: Arc<KeyPair> = Arc::new(new_key());
            let mut draft = crate::fixture::Draft {
                extensions: vec![
                    crate::fixture::authority(None),
                    crate::fixture::key_usage(true),
                ],
                ..victim.draft("")
            };
            draft.subject = victim.subject.clone();
            let id = crate::fixture::der(4, &victim.key_id);
            let draft = draft.with(crate::fixture::extension(&[85, 29, 14], false, &id));
            Ca {
                der: draft.sign(&key, &key),
                key,
                subject: victim.subject.clone(),
                key_id: victim.key_id.clone(),
            }
        })
        .collect()
}

#[test]
fn nobody_can_crowd_out_a_ca_by_claiming_its_key_id() {
    let victim = Ca::root("victim");
    let forged = forged(&victim);
    let evil = |count: usize| {
        let cas: Vec<_> = forged.iter().take(count).collect();
        provider("evil", "evil:", &cas)
    };
    let held = taken(vec![provider("victim", "victim:", &[&victim])]);
    let good = || provider("victim", "victim:", &[&victim]);
    let some = assemble(&held, vec![good(), evil(15)]);
    assert_eq!(some.refused, []);
    let leaf = [victim.leaf("a")];
    let who = crate::identify(&some.bundle, &leaf, crate::fixture::now()).unwrap();
    assert_eq!(who.username(), "victim:a");
    let crowd = assemble(&held, vec![good(), evil(16)]);
    assert_eq!(refused(&crowd), [("evil", "CrowdedAuthority")]);
}

#[test]
fn five_thousand_providers_are_taken_in() {
    let cas = Cas::new(5_000);
    let wanted: Vec<_> = (0..5_000)
        .map(|number| cas.provider(&format!("p{number}"), &format!("p{number}:"), number))
        .collect();
    let bundle = taken(wanted.clone());
    assert_eq!(bundle.providers().len(), 5_000);
    assert_eq!(assemble(&bundle, wanted).bundle.generation(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is wished for, in whatever order: usernames stay apart, what is held and still
    /// wanted stays, and a cold start with a set without conflicts takes all of it.
    #[test]
    fn bundles_are_always_isolated(
        steps in prop::collection::vec(
            prop::collection::vec((0_usize..5, "[ab]{1,3}", 0_usize..6), 0..7), 1..4,
        ),
    ) {
        let cas = shared_cas();
        let mut held = TrustBundle::empty();
        for wishes in steps {
            let wanted: Vec<_> = wishes
                .iter()
                .map(|(id, prefix, ca)| cas.provider(&format!("p{id}"), prefix, *ca))
                .collect();
            let assembly = assemble(&held, wanted.clone());
            prop_assert!(is_isolated(&assembly.bundle));
            for provider in assembly.bundle.providers() {
                let now_wanted = wanted.iter().any(|p| p.id() == provider.id());
                prop_assert!(now_wanted, "what is deleted is gone");
            }
            for old in held.providers() {
                let same = wanted.iter().any(|p| p.digest() == old.digest());
                prop_assert!(!same || assembly.bundle.holds(old.id(), old.digest()));
            }
            for p in &wanted {
                let is_refused = assembly.refused.iter().any(|(id, _)| id == p.id());
                prop_assert!(is_refused || assembly.bundle.holds(p.id(), p.digest()));
                let old = held.provider(p.id());
                prop_assert!(old.is_none() || assembly.bundle.provider(p.id()).is_some());
            }
            let mut backwards = wanted.clone();
            backwards.reverse();
            let other = assemble(&held, backwards);
            prop_assert_eq!(names(&other.bundle), names(&assembly.bundle));
            held = assembly.bundle;
        }
    }
}

fn shared_cas() -> &'static Cas {
    static CAS: std::sync::OnceLock<Cas> = std::sync::OnceLock::new();
    CAS.get_or_init(|| Cas::new(6))
}

fn is_isolated(bundle: &TrustBundle) -> bool {
    let providers = bundle.providers();
    providers.iter().all(|one| {
        providers
            .iter()
            .filter(|other| other.id() != one.id())
            .all(|other| {
                let keys = |p: &Provider| -> Vec<_> {
                    p.anchors()
                        .iter()
                        .map(crate::TrustAnchor::key_fingerprint)
                        .collect()
                };
                !other.prefix().as_str().starts_with(one.prefix().as_str())
                    && keys(one).iter().all(|key| !keys(other).contains(key))
            })
    })
}

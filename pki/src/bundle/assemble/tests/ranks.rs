//! Objects of an API server have an age, and may have been accepted before.

use super::*;

/// As the API server writes moments, in their order.
const DAYS: [&str; 3] = [
    "2026-01-01T00:00:00Z",
    "2026-01-02T00:00:00Z",
    "2026-01-03T00:00:00Z",
];

/// Name, prefix, CA, whether it was accepted before, and the day of its making.
type Object = (&'static str, &'static str, usize, bool, usize);

/// What is shown, by which objects, and who is in.
type Case<'c> = (&'c str, &'c [Object], &'c [&'c str]);

fn ranked(cas: &Cas, objects: &[Object]) -> Wanted {
    let mut ranks = BTreeMap::new();
    let providers = objects
        .iter()
        .map(|(name, prefix, ca, accepted, day)| {
            let provider = cas.provider(name, prefix, *ca);
            let created = DAYS.get(*day).copied();
            ranks.insert(provider.id().clone(), Rank::new(*accepted, created));
            Arc::new(provider)
        })
        .collect();
    Wanted {
        providers,
        ranks: Some(ranks),
        ..Wanted::default()
    }
}

#[test]
fn at_a_cold_start_the_first_in_rank_is_taken() {
    let cas = Cas::new(3);
    let cases: &[Case<'_>] = &[
        (
            "the older",
            &[("a", "x:", 0, false, 1), ("b", "x:", 1, false, 0)],
            &["b x:"],
        ),
        (
            "who was accepted before, however young",
            &[("a", "x:", 0, false, 0), ("b", "x:y", 1, true, 2)],
            &["b x:y"],
        ),
        (
            "of one age, the first by name",
            &[("b", "x:", 0, false, 0), ("a", "x:", 1, false, 0)],
            &["a x:"],
        ),
        (
            "who says its age before who does not",
            &[("a", "x:", 0, false, 9), ("b", "x:", 1, false, 2)],
            &["b x:"],
        ),
        (
            "the same CA under two prefixes",
            &[("a", "x:", 0, false, 1), ("b", "y:", 0, false, 0)],
            &["b y:"],
        ),
        (
            "whoever collides only with one that gives way",
            &[
                ("a", "x", 0, false, 0),
                ("b", "xy", 1, false, 1),
                ("c", "z", 1, false, 2),
            ],
            &["a x", "c z"],
        ),
    ];
    for (what, objects, expected) in cases {
        let assembly = assemble(&TrustBundle::empty(), ranked(&cas, objects));
        assert_eq!(names(&assembly.bundle), *expected, "{what}");
        let refused = assembly.refused.len();
        assert_eq!(refused, objects.len() - expected.len(), "{what}");
        for (id, conflict) in &assembly.refused {
            let with = match conflict {
                Conflict::Prefix { with, .. } | Conflict::Key { with, .. } => with,
                other => panic!("{what}: {other}"),
            };
            assert!(assembly.bundle.provider(with).is_some(), "{what}: {id}");
        }
    }
}

#[test]
fn the_holder_keeps_whatever_its_rank() {
    let cas = Cas::new(2);
    let held = taken(vec![cas.provider("young", "x:", 0)]);
    let objects = [("young", "x:", 0, false, 2), ("old", "x:", 1, true, 0)];
    let assembly = assemble(&held, ranked(&cas, &objects));
    assert_eq!(names(&assembly.bundle), ["young x:"]);
    assert_eq!(refused(&assembly), [("old", "PrefixConflict")]);
}

/// The first in rank wants what an edit behind it wants; the edit's old version then excludes the first.
#[test]
fn an_edit_that_gives_way_holds_its_old_ground_against_whom_it_gave_way_to() {
    let cas = Cas::new(2);
    let held = taken(vec![cas.provider("a", "a:", 0)]);
    // `n` has the key of the old `a`, and the prefix of the new one.
    let objects = [("a", "n:", 1, false, 1), ("n", "n:", 0, false, 0)];
    let assembly = assemble(&held, ranked(&cas, &objects));
    assert_eq!(names(&assembly.bundle), ["a a:"]);
    assert_eq!(
        refused(&assembly),
        [("a", "PrefixConflict"), ("n", "KeyConflict")]
    );
    assert!(is_isolated(&assembly.bundle));
}

#[test]
fn who_crowds_an_authority_gives_way_to_the_first_in_rank() {
    let victim = Ca::root("victim");
    let forged = forged(&victim);
    let forged: Vec<&Ca> = forged.iter().collect();
    for (accepted, expected) in [(true, "victim"), (false, "evil")] {
        let providers = vec![
            Arc::new(provider("victim", "victim:", &[&victim])),
            Arc::new(provider("evil", "evil:", &forged)),
        ];
        let ranks = [
            ("victim", Rank::new(accepted, Some(DAYS[1]))),
            ("evil", Rank::new(false, Some(DAYS[0]))),
        ];
        let ranks = ranks.map(|(name, rank)| (ProviderId::new("default", name), rank));
        let wanted = Wanted {
            providers,
            ranks: Some(ranks.into()),
            ..Wanted::default()
        };
        let assembly = assemble(&TrustBundle::empty(), wanted);
        let taken = names(&assembly.bundle);
        assert!(
            taken.iter().all(|name| name.starts_with(expected)),
            "{taken:?}"
        );
        assert_eq!((taken.len(), assembly.refused.len()), (1, 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is wished for: usernames stay apart, nobody is lost without being told, and whoever is first in
    /// rank and collides with no holder is in.
    #[test]
    fn bundles_of_ranked_objects_are_always_isolated(
        steps in prop::collection::vec(
            prop::collection::vec((0_usize..5, "[ab]{1,3}", 0_usize..6, any::<bool>(), 0_usize..4), 0..7),
            1..4,
        ),
    ) {
        let cas = shared_cas();
        let mut held = TrustBundle::empty();
        for wishes in steps {
            let mut ranks = BTreeMap::new();
            let mut providers: BTreeMap<ProviderId, Arc<Provider>> = BTreeMap::new();
            for (id, prefix, ca, accepted, day) in &wishes {
                let provider = cas.provider(&format!("p{id}"), prefix, *ca);
                ranks.insert(provider.id().clone(), Rank::new(*accepted, DAYS.get(*day).copied()));
                providers.insert(provider.id().clone(), Arc::new(provider));
            }
            let wanted = Wanted {
                providers: providers.values().cloned().collect(),
                ranks: Some(ranks.clone()),
                ..Wanted::default()
            };
            let assembly = assemble(&held, wanted.clone());
            prop_assert!(is_isolated(&assembly.bundle));
            for (id, p) in &providers {
                let is_refused = assembly.refused.iter().any(|(refused, _)| refused == id);
                prop_assert!(is_refused || assembly.bundle.holds(id, p.digest()));
                prop_assert!(held.provider(id).is_none() || assembly.bundle.provider(id).is_some());
            }
            prop_assert!(assembly.bundle.providers().iter().all(|p| providers.contains_key(p.id())));
            if held.providers().is_empty() {
                let first = providers.keys().min_by_key(|id| (ranks.get(*id).cloned(), (*id).clone()));
                if let Some(first) = first {
                    prop_assert!(assembly.bundle.provider(first).is_some());
                }
            }
            let mut backwards = wanted;
            backwards.providers.reverse();
            prop_assert_eq!(names(&assemble(&held, backwards).bundle), names(&assembly.bundle));
            held = assembly.bundle;
        }
    }
}

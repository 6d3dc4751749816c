//! When an identity need not be asked about again.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::bundle::assemble;
use crate::fixture::{common_name, new_key};
use crate::provider::Revocations;

#[test]
fn a_change_of_another_provider_upholds_and_one_of_its_own_does_not() {
    let (mine, other) = (Ca::root("mine"), Ca::root("other"));
    let first = bundle(vec![provider("m", "m:", &[&mine])]);
    let who = identify(&first, &[mine.leaf("a")], now()).unwrap();
    assert!(first.upholds(&who));
    let after = |wanted: Vec<Provider>| {
        let assembly = assemble(&first, wanted);
        assert_eq!(assembly.bundle.generation(), 2, "something changed");
        assembly.bundle
    };
    let same = || provider("m", "m:", &[&mine]);
    assert!(after(vec![same(), provider("o", "o:", &[&other])]).upholds(&who));
    let revoking = Revocations {
        lists: vec![mine.revoking(&[&[9]])],
        ..Revocations::default()
    };
    let denying = Revocations {
        denied: vec!["serial:09".parse().unwrap()],
        ..Revocations::default()
    };
    for changed in [
        vec![],
        vec![provider("n", "m:", &[&mine])],
        vec![provider("m", "x:", &[&mine])],
        vec![provider("m", "m:", &[&other])],
        vec![provider("m", "m:", &[&mine, &other])],
        vec![same().with_revocations(revoking)],
        vec![same().with_revocations(denying)],
    ] {
        assert!(!after(changed).upholds(&who));
    }
}

/// A provider that is added may turn a good chain into one that leads to two.
#[test]
fn a_newcomer_that_could_have_issued_the_chain_is_looked_at() {
    let (x, y) = (Ca::root("x"), Ca::root("y"));
    let key = Arc::new(new_key());
    let by_x = x.cross_sign(Arc::clone(&key), common_name("i"), |draft| draft);
    let by_y = y.cross_sign(key, common_name("i"), |draft| draft);
    let chain = [by_x.leaf("a"), by_x.der.clone(), by_y.der.clone()];
    let alone = bundle(vec![provider("x", "x:", &[&x])]);
    let who = identify(&alone, &chain, now()).unwrap();
    let both = bundle(vec![provider("x", "x:", &[&x]), provider("y", "y:", &[&y])]);
    assert!(!both.upholds(&who));
    assert_eq!(said(identify(&both, &chain, now())), "Ambiguous");
}

#[test]
fn newcomers_that_crowd_a_leaf_without_key_id_are_looked_at() {
    let cas: Vec<_> = (0..17).map(|_| Ca::root("kubernetes")).collect();
    let trusting = |count: usize| {
        let of = |number: usize| {
            let name = format!("p{number:02}");
            provider(&name, &format!("{name}:"), &[&cas[number]])
        };
        bundle((0..count).map(of).collect())
    };
    let leaf = [cas[0].sign(&cas[0].draft("a").without(35))];
    let who = identify(&trusting(16), &leaf, now()).unwrap();
    assert!(trusting(16).upholds(&who));
    assert!(!trusting(17).upholds(&who));
}

/// Four CAs, of which two share a name, and two more below the first two.
struct World {
    roots: Vec<Ca>,
    lows: Vec<Ca>,
}

fn world() -> &'static World {
    static WORLD: std::sync::OnceLock<World> = std::sync::OnceLock::new();
    WORLD.get_or_init(|| {
        let roots = ["a", "b", "same", "same"].map(Ca::root);
        let key = Arc::new(new_key());
        let lows = [&roots[0], &roots[1]]
            .map(|root| root.cross_sign(Arc::clone(&key), common_name("low"), |draft| draft));
        World {
            roots: roots.into(),
            lows: lows.into(),
        }
    })
}

/// A bundle: which CAs each of up to three providers has, its prefix, and whether it denies leaves.
type Choice = Vec<(Vec<usize>, usize, bool)>;

fn chosen(choice: &Choice) -> TrustBundle {
    let world = world();
    let cas: Vec<&Ca> = world.roots.iter().chain(&world.lows).collect();
    let providers = choice
        .iter()
        .enumerate()
        .map(|(number, (own, prefix, denies))| {
            let own: Vec<&Ca> = own.iter().map(|at| cas[*at]).collect();
            let denied = denies.then(|| "serial:1234".parse().unwrap());
            provider(&format!("p{number}"), &format!("p{number}:{prefix}:"), &own).with_revocations(
                Revocations {
                    denied: denied.into_iter().collect(),
                    ..Revocations::default()
                },
            )
        });
    assemble(&TrustBundle::empty(), providers.collect::<Vec<_>>()).bundle
}

fn choices() -> impl Strategy<Value = Choice> {
    let own = prop::collection::vec(0..6_usize, 1..3);
    prop::collection::vec((own, 0..2_usize, prop::bool::weighted(0.2)), 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_upheld_is_what_identify_would_say(before in choices(), after in choices()) {
        let world = world();
        let (before, after) = (chosen(&before), chosen(&after));
        let low = &world.lows[0];
        let unsaid = world.roots[2].sign(&world.roots[2].draft("a").without(35));
        for chain in [
            vec![world.roots[0].leaf("a")],
            vec![unsaid],
            vec![low.leaf("a")],
            vec![low.leaf("a"), low.der.clone()],
            vec![low.leaf("a"), low.der.clone(), world.lows[1].der.clone()],
        ] {
            let Ok(who) = identify(&before, &chain, now()) else {
                continue;
            };
            if after.upholds(&who) {
                let again = identify(&after, &chain, now());
                let again = again.map(|it| (it.username().to_owned(), it.provider_digest(), it.valid_until()));
                prop_assert_eq!(again, Ok((who.username().to_owned(), who.provider_digest(), who.valid_until())));
            }
        }
    }
}

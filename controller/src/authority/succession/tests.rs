use gangplank_pki::issue::{Held, Kind, Request};
use gangplank_pki::{advances, successors};
use proptest::prelude::*;

use super::*;

const START: u64 = 1_800_000_000;

/// Small numbers; the rules are the same.
fn rules() -> Rules {
    Rules {
        common_name: "one.acme identities".to_owned(),
        lifetime: Duration::from_secs(60_000),
        overlap: Duration::from_secs(1_000),
        longest: Duration::from_secs(2_000),
    }
}

fn fingerprints(succession: &Succession) -> Vec<String> {
    let published = succession.published();
    published
        .iter()
        .map(|anchor| anchor.fingerprint().to_string())
        .collect()
}

#[test]
fn a_successor_is_published_then_used_and_the_old_one_retired() {
    let rules = rules();
    let mut succession = Succession::begin(&rules, at(START)).unwrap();
    let first = succession.current.anchor().clone();
    let step = |succession: &mut Succession, after: u64| {
        succession
            .advance(&rules, at(START + after), false)
            .unwrap()
    };
    assert_eq!(step(&mut succession, 39_000), []);
    let due = succession.due(&rules).as_secs() - START;
    assert!(
        (39_500..=40_000).contains(&due),
        "two thirds of its life: {due}"
    );
    assert_eq!(step(&mut succession, due), [Step::Published]);
    assert_eq!(succession.published().len(), 2);
    assert_eq!(
        succession.current.anchor().fingerprint(),
        first.fingerprint()
    );
    assert_eq!(step(&mut succession, due + 999), []);
    assert_eq!(step(&mut succession, due + 1_000), [Step::Used]);
    let second = succession.current.anchor().clone();
    assert_ne!(second.fingerprint(), first.fingerprint());
    assert_eq!(
        succession.published().len(),
        2,
        "the old one is still published"
    );
    let proof = succession.proofs.first().unwrap();
    assert!(advances(&first, &second, proof, at(START + due + 1_000)));
    assert_eq!(
        step(&mut succession, due + 4_000),
        [],
        "its last certificate, and an overlap"
    );
    assert_eq!(step(&mut succession, due + 4_001), [Step::Retired]);
    assert_eq!(
        fingerprints(&succession),
        [second.fingerprint().to_string()]
    );
}

#[test]
fn who_asks_gets_one_and_no_second_while_it_is_on_its_way() {
    let rules = rules();
    let mut succession = Succession::begin(&rules, at(START)).unwrap();
    let ask = |succession: &mut Succession, after: u64| {
        succession.advance(&rules, at(START + after), true).unwrap()
    };
    assert_eq!(ask(&mut succession, 10), [Step::Published]);
    assert_eq!(ask(&mut succession, 20), []);
    let mut moment = 20;
    for _ in 0..20 {
        moment += 1_000;
        ask(&mut succession, moment);
        assert!(succession.published().len() <= PREDECESSORS + 2);
    }
}

/// Nobody was there to prepare one.
#[test]
fn one_that_is_over_is_followed_at_once_and_without_a_proof() {
    let rules = rules();
    let mut succession = Succession::begin(&rules, at(START)).unwrap();
    let steps = succession
        .advance(&rules, at(START + 60_001), false)
        .unwrap();
    assert_eq!(steps, [Step::Published, Step::Used]);
    assert!(succession.proofs.is_empty());
    assert!(at(START + 60_001) <= succession.current.anchor().not_after());
}

#[test]
fn who_pinned_the_first_follows_to_the_last() {
    let rules = rules();
    let mut succession = Succession::begin(&rules, at(START)).unwrap();
    let first = succession.current.anchor().clone();
    for moment in [10, 1_010, 5_000, 6_000, 10_000, 11_000] {
        succession
            .advance(&rules, at(START + moment), true)
            .unwrap();
    }
    let last = std::slice::from_ref(succession.current.anchor());
    let now = at(START + 11_000);
    let followed = successors(&[first], last, &succession.proofs, now);
    assert_eq!(followed.len(), 1, "over three steps");
}

/// One certificate, and what was published at the moments before.
struct Leaf {
    held: Held,
    until: u64,
}

fn issue(succession: &Succession, rules: &Rules, now: u64) -> Leaf {
    let request = request(rules, now);
    let issued = succession.current.issue(&request).unwrap();
    let held = Held::parse(issued.cert_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap();
    let until = held.not_after().as_secs();
    Leaf { held, until }
}

fn request(rules: &Rules, now: u64) -> Request {
    Request {
        kind: Kind::Caller {
            common_name: "ns/a/id/b".to_owned(),
            uri: None,
        },
        lifetime: rules.longest,
        now: at(now),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whoever trusts what was published at any moment of the last overlap verifies every certificate that was issued and
    /// is not over, at every moment: whatever is asked for, and however late the controller comes to its work.
    #[test]
    fn what_is_in_use_verifies_by_what_was_published_an_overlap_ago(
        steps in prop::collection::vec((1_u64..9_000, any::<bool>()), 1..40)
    ) {
        let rules = rules();
        let overlap = rules.overlap.as_secs();
        let mut succession = Succession::begin(&rules, at(START)).unwrap();
        let mut leaves: Vec<Leaf> = Vec::new();
        // What was published, and from when on.
        let mut history = vec![(0, succession.published())];
        let mut now = START;
        for (pause, asked) in steps {
            now += pause;
            leaves.retain(|leaf| leaf.until >= now);
            // Before the controller acts, and after it.
            check(&leaves, &history, &rules, now)?;
            succession.advance(&rules, at(now), asked).unwrap();
            history.push((now, succession.published()));
            leaves.push(issue(&succession, &rules, now));
            // Nobody looks further back.
            while history.get(1).is_some_and(|(from, _)| *from + overlap <= now) {
                history.remove(0);
            }
            check(&leaves, &history, &rules, now)?;
        }
    }
}

fn check(
    leaves: &[Leaf],
    history: &[(u64, Vec<TrustAnchor>)],
    rules: &Rules,
    now: u64,
) -> Result<(), TestCaseError> {
    let overlap = rules.overlap.as_secs();
    for (place, (from, published)) in history.iter().enumerate() {
        // Only what counted at a moment of the last overlap.
        let end = history.get(place + 1).map_or(now, |(next, _)| *next);
        if end + overlap < now {
            continue;
        }
        for leaf in leaves {
            let good = leaf.held.satisfies(&request(rules, now), published);
            prop_assert!(
                good,
                "at {} by what was published from {}",
                now - START,
                from.saturating_sub(START)
            );
        }
    }
    Ok(())
}

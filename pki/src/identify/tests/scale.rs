//! What it costs with very many providers.

use super::*;
use crate::path::Chain;

const PROVIDERS: usize = 10_000;

/// All of one subject, as clusters made by one installer are.
fn namesakes(count: usize) -> Vec<Ca> {
    (0..count).map(|_| Ca::root("kubernetes")).collect()
}

fn trusting(cas: &[Ca]) -> TrustBundle {
    let providers = cas
        .iter()
        .enumerate()
        .map(|(number, ca)| provider(&format!("p{number:05}"), &format!("p{number:05}:"), &[ca]))
        .collect();
    bundle(providers)
}

fn candidates(trusted: &TrustBundle, leaf: CertificateDer<'static>) -> Result<usize, usize> {
    let sent = [leaf];
    let chain = Chain::read(&sent).unwrap();
    trusted
        .candidates(chain.issuers())
        .map(|candidates| candidates.len())
}

#[test]
fn ten_thousand_namesakes_cost_one_candidate_with_a_key_id_and_are_refused_without() {
    let cas = namesakes(PROVIDERS);
    let (few, many) = (trusting(&cas[..2]), trusting(&cas));
    for trusted in [&few, &many] {
        assert_eq!(candidates(trusted, cas[1].leaf("a")), Ok(1));
        assert_eq!(
            said(identify(trusted, &[cas[1].leaf("a")], now())),
            "p00001:a"
        );
    }
    let unsaid = || cas[1].sign(&cas[1].draft("a").without(35));
    assert_eq!(candidates(&few, unsaid()), Ok(2));
    assert_eq!(said(identify(&few, &[unsaid()], now())), "p00001:a");
    let refusal = Refusal::TooManyCandidates {
        candidates: PROVIDERS,
        most: 16,
    };
    assert_eq!(identify(&many, &[unsaid()], now()), Err(refusal));
}

#[test]
fn sixteen_candidates_are_tried_and_seventeen_are_not() {
    let cas = namesakes(17);
    let unsaid = || cas[15].sign(&cas[15].draft("a").without(35));
    let sixteen = trusting(&cas[..16]);
    assert_eq!(said(identify(&sixteen, &[unsaid()], now())), "p00015:a");
    assert_eq!(
        said(identify(&trusting(&cas), &[unsaid()], now())),
        "Ambiguous"
    );
}

#[test]
fn candidates_add_up_over_the_chain() {
    let cas = namesakes(10);
    let all: Vec<_> = cas
        .into_iter()
        .chain((0..10).map(|_| Ca::root("other")))
        .collect();
    let trusted = trusting(&all);
    let strip = |draft: crate::fixture::Draft| draft.without(35);
    let sub = all[0].subordinate_as("other", strip);
    let leaf = sub.sign(&strip(sub.draft("a")));
    assert_eq!(
        said(identify(&trusted, &[leaf, sub.der.clone()], now())),
        "Ambiguous"
    );
}

//! `identify` beside another implementation: Go's crypto/x509, which kube-apiserver judges clients with.
//!
//! Thousands of authorities and chains are drawn, and both are asked. Where they agree, they agree on who
//! it is, by whose authority and until when. Where they differ, the difference must be one of
//! [`DIFFERENCES`], which says why; each of these must be met, so that the list stays true; or of [`RARE`].
//!
//! ```text
//! GANGPLANK_SEED=7 GANGPLANK_CHAINS=1000000 cargo test -p gangplank-pki --lib verdicts -- --nocapture
//! ```

mod peer;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use peer::{Peer, Said};
use world::{Case, Trait, World, chance};

use super::*;
use crate::fixture::now;

/// Chains of `make test`.
const CHAINS: u64 = 10_200;

/// Chains of one world: reading its anchors takes longer than judging a chain.
const CHAINS_OF_A_WORLD: u64 = 12;

/// Worlds that Go is asked about at a time.
const WORLDS_AT_ONCE: u64 = 1_000;

/// A way in which the two may differ.
struct Difference {
    /// Our answer in a word: one of these, for a refusal names the path that came furthest.
    ours: &'static [&'static str],
    /// How Go's answer begins.
    theirs: &'static str,
    /// What the case must have for it to be this difference.
    because_of: Option<Trait>,
    /// Why it is as it should be.
    reason: &'static str,
}

const fn differs(
    ours: &'static [&'static str],
    theirs: &'static str,
    because_of: Option<Trait>,
    reason: &'static str,
) -> Difference {
    Difference {
        ours,
        theirs,
        because_of,
        reason,
    }
}

/// All of them, by the answers and by what the case must have. Where several fit, the first counts.
const DIFFERENCES: &[Difference] = &[
    // What Go takes and we do not.
    differs(
        &["Ambiguous"],
        "accepted by two",
        None,
        "Go knows one set of roots; here a chain that leads to two providers would have two usernames",
    ),
    differs(
        &["NotForClients"],
        "accepted",
        Some(Trait::LeafIsAuthority),
        "the certificate of a CA is nobody's; Go takes it for a client's",
    ),
    differs(
        &["Malformed"],
        "accepted",
        Some(Trait::Version1),
        "only version 3 can say what a certificate is for",
    ),
    differs(
        &["Malformed"],
        "accepted",
        Some(Trait::Critical),
        "each certificate that is sent must be understood; Go looks at those on a path only",
    ),
    differs(
        &["Malformed"],
        "accepted",
        Some(Trait::Serial),
        "a serial number has at most 20 bytes (RFC 5280 4.1.2.2); Go takes longer ones",
    ),
    differs(
        &["UnusableName"],
        "accepted",
        Some(Trait::Name),
        "Go takes whatever the subject has; a username needs exactly one plain common name",
    ),
    differs(
        &["TooComplex"],
        "accepted",
        Some(Trait::Long),
        "more than eight certificates are not looked at",
    ),
    differs(
        &["NotForClients"],
        "accepted",
        Some(Trait::AnyPurpose),
        "anyExtendedKeyUsage alone does not say clientAuth (webpki's reading)",
    ),
    differs(
        &["UnknownIssuer"],
        "accepted",
        Some(Trait::AnotherKeyId),
        "a certificate belongs to the anchor whose key identifier it names; Go tries the others, too",
    ),
    differs(
        &["NameNotPermitted"],
        "accepted",
        Some(Trait::NameConstraints),
        "constraints on URIs, mail and directory names refuse what they could be about (webpki)",
    ),
    // What both take, but Go by more paths than we.
    differs(
        &["accepted"],
        "accepted by two",
        Some(Trait::AnotherKeyId),
        "the second provider's anchor has another key identifier than the chain names",
    ),
    differs(
        &["accepted"],
        "accepted by two",
        Some(Trait::AnyPurpose),
        "the path to the second provider is for any purpose only",
    ),
    differs(
        &["accepted"],
        "accepted until another second",
        Some(Trait::AnotherKeyId),
        "the path that lasts longer ends at an anchor with another key identifier",
    ),
    // What we take and Go does not.
    differs(
        &["accepted"],
        "unreadable",
        Some(Trait::Serial),
        "the serial number of an authority decides nothing here; Go does not read it if it is malformed",
    ),
    differs(
        &["accepted"],
        "UnknownAuthority",
        Some(Trait::Serial),
        "the same where the authority is an anchor",
    ),
];

/// What so few chains show that ten thousand need not have one; looked up behind the others.
const RARE: &[Difference] = &[
    differs(
        &["TooComplex"],
        "accepted",
        None,
        "a handshake tries so many signatures and no more, and each authority of the same name costs one",
    ),
    differs(
        &[
            "Expired",
            "NotYetValid",
            "NotForClients",
            "IssuerNotAllowed",
            "UnsupportedAlgorithm",
        ],
        "accepted",
        Some(Trait::AnotherKeyId),
        "the path along the key identifiers is refused for this; Go finds one beside them",
    ),
    differs(
        &["UnknownIssuer", "NotYetValid", "Expired"],
        "accepted",
        Some(Trait::AnyPurpose),
        "without the path that is for any purpose only, this is what another one came to",
    ),
    differs(
        &["UnknownIssuer"],
        "accepted",
        Some(Trait::NameConstraints),
        "without the path that the constraints refuse, this is what another one came to",
    ),
    differs(
        &["Ambiguous"],
        "accepted",
        Some(Trait::Serial),
        "an authority on the way to the second provider has a serial number with which Go does not read it",
    ),
    differs(
        &["accepted"],
        "Expired",
        Some(Trait::Serial),
        "Go does not read the authority that is valid",
    ),
    differs(
        &["accepted"],
        "TooManyIntermediates",
        Some(Trait::Serial),
        "Go does not read the authority that would make the path shorter",
    ),
    differs(
        &["accepted"],
        "accepted until another second",
        Some(Trait::SameAuthorityTwice),
        "of two certificates of one intermediate the first that leads to the anchor counts, though the other lasts longer",
    ),
];

fn number(variable: &str, otherwise: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// One chain, judged twice.
struct Pair<'c> {
    world: &'c World,
    case: &'c Case,
    ours: Result<Identity, Refusal>,
    theirs: Said,
}

impl Pair<'_> {
    /// Our answer and Go's, each in a word or two.
    fn words(&self) -> (String, String) {
        let ours = match &self.ours {
            Ok(_) => "accepted".to_owned(),
            Err(refusal) => refusal.class().to_owned(),
        };
        let theirs = match &self.theirs {
            Said::Refused(why) => why.clone(),
            Said::Accepted(name, _) => self.way_of_accepting(name).to_owned(),
        };
        (ours, theirs)
    }

    fn way_of_accepting(&self, name: &str) -> &'static str {
        let providers = self.providers();
        match &self.ours {
            _ if providers.len() > 1 => "accepted by two",
            Err(_) => "accepted",
            Ok(identity) if !providers.contains(identity.provider()) => "accepted by another",
            Ok(identity) if identity.name() != name => "accepted under another name",
            Ok(identity) if self.last_second() < Some(identity.valid_until().as_secs()) => {
                "accepted for less long"
            }
            Ok(_) => "accepted until another second",
        }
    }

    /// The providers that Go's paths lead to.
    fn providers(&self) -> BTreeSet<&ProviderId> {
        let Said::Accepted(_, paths) = &self.theirs else {
            return BTreeSet::new();
        };
        let provider = |(anchor, _): &(usize, u64)| &self.world.anchors[*anchor].1;
        paths.iter().map(provider).collect()
    }

    /// Until when the longest of Go's paths is good.
    fn last_second(&self) -> Option<u64> {
        let Said::Accepted(_, paths) = &self.theirs else {
            return None;
        };
        paths.iter().map(|(_, until)| *until).max()
    }

    /// Whether both say the same: nobody, or the same name of the same provider until the same second.
    fn agrees(&self) -> bool {
        match (&self.ours, &self.theirs) {
            (Err(_), Said::Refused(_)) => true,
            (Ok(identity), Said::Accepted(name, _)) => {
                self.providers() == BTreeSet::from([identity.provider()])
                    && identity.name() == name
                    && Some(identity.valid_until().as_secs()) == self.last_second()
            }
            _ => false,
        }
    }

    /// The first difference of the lists that this one is.
    fn explained(&self) -> Option<usize> {
        let (ours, theirs) = self.words();
        DIFFERENCES.iter().chain(RARE).position(|difference| {
            let applies = difference
                .because_of
                .is_none_or(|it| self.case.traits.contains(&it));
            difference.ours.contains(&&*ours) && theirs.starts_with(difference.theirs) && applies
        })
    }
}

/// What was found so far.
#[derive(Default)]
struct Tally {
    refused: u64,
    accepted: u64,
    /// How often each difference of the list was met.
    met: [u64; DIFFERENCES.len() + RARE.len()],
    /// Differences that are not on it, how often, and the number of a world with it.
    unlisted: BTreeMap<String, (u64, u64)>,
}

impl Tally {
    fn count(&mut self, pair: &Pair<'_>, world: u64) {
        if pair.agrees() {
            self.refused += u64::from(pair.ours.is_err());
            self.accepted += u64::from(pair.ours.is_ok());
        } else if let Some(at) = pair.explained() {
            self.met[at] += 1;
        } else {
            let (ours, theirs) = pair.words();
            let key = format!("we: {ours}, Go: {theirs}, {:?}", pair.case.traits);
            self.unlisted.entry(key).or_insert((0, world)).0 += 1;
        }
    }

    fn print(&self) {
        println!(
            "{} chains accepted by both, {} refused",
            self.accepted, self.refused
        );
        for (difference, count) in DIFFERENCES.iter().chain(RARE).zip(&self.met) {
            let (theirs, reason) = (difference.theirs, difference.reason);
            let ours = difference.ours.join(" or ");
            println!("{count:>8} times we say {ours}, Go {theirs}: {reason}");
        }
    }
}

/// The worlds of these numbers, and chains in each.
fn draw(seed: u64, numbers: Range<u64>) -> Vec<(World, Vec<Case>)> {
    let draw = |number| {
        let mut rng = chance(seed, number);
        let world = World::draw(&mut rng);
        let cases = (0..CHAINS_OF_A_WORLD).map(|_| world.case(&mut rng));
        let cases = cases.collect();
        (world, cases)
    };
    numbers.map(draw).collect()
}

#[test]
fn differ_from_those_of_go_only_where_it_is_listed() {
    let seed = number("GANGPLANK_SEED", 1);
    let chains = number("GANGPLANK_CHAINS", CHAINS);
    let (peer, mut tally) = (Peer::build(), Tally::default());
    let (mut from, worlds) = (0, chains.div_ceil(CHAINS_OF_A_WORLD));
    while from < worlds {
        let to = worlds.min(from + WORLDS_AT_ONCE);
        let drawn = draw(seed, from..to);
        let mut said = peer.ask(&drawn).into_iter();
        for ((world, cases), number) in drawn.iter().zip(from..) {
            for case in cases {
                let pair = Pair {
                    world,
                    case,
                    ours: identify(&world.bundle, &case.chain, now()),
                    theirs: said.next().expect("an answer a chain"),
                };
                tally.count(&pair, number);
            }
        }
        from = to;
    }
    println!("seed {seed}");
    tally.print();
    let Tally { met, unlisted, .. } = tally;
    assert!(unlisted.is_empty(), "seed {seed}: {unlisted:#?}");
    let all_met = met[..DIFFERENCES.len()].iter().all(|count| *count > 0);
    assert!(
        all_met || chains < CHAINS,
        "the list is longer than it need be: {met:?}"
    );
}

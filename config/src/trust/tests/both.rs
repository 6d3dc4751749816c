//! One table of cases for both modes: what objects say means the same in files and at an API server.

use serde_json::Value;

use super::*;
use crate::fixture::{List, authority, base64};
use crate::object::Kind;

/// Objects that are handed in, looked at by hand.
pub(super) struct Handed {
    pub(super) feed: TrustFeed,
    pub(super) clock: Arc<ManualClock>,
    pub(super) state: State,
}

impl Handed {
    pub(super) fn nothing_yet(rules: TrustRules) -> Self {
        let clock = Arc::new(ManualClock::new(at(100)));
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let (feed, _woken) = TrustFeed::new();
        let origin = Origin::Objects(Objects::new(feed.clone()));
        let state = State::new(origin, rules, time);
        Self { feed, clock, state }
    }

    /// An API server without objects, read once.
    pub(super) fn empty(rules: TrustRules) -> Self {
        let mut handed = Self::nothing_yet(rules);
        for kind in TrustFeed::KINDS {
            handed.feed.replace(kind, Vec::new());
        }
        handed.look();
        handed
    }

    pub(super) fn look(&mut self) -> Vec<&'static str> {
        let look = self.state.look();
        let all = look.vanished.iter().chain(&look.faults);
        all.chain(&look.notices).map(Fault::reason).collect()
    }

    pub(super) fn prefixes(&self) -> Vec<String> {
        prefixes(self.state.bundle())
    }
}

/// A manifest as the API server has it: read by another parser than ours.
pub(super) fn json(manifest: &str) -> Value {
    serde_saphyr::from_str(manifest).unwrap()
}

pub(super) fn kind_of(object: &Value) -> Kind {
    match object["kind"].as_str() {
        Some("KnownCluster") => Kind::KnownCluster,
        _ => Kind::TrustedIdentityProvider,
    }
}

pub(super) fn pin(name: &str, cluster: &str, fingerprint: &str, pem: &str) -> String {
    let data = base64(pem);
    format!(
        "apiVersion: gangplank.dev/v1alpha1\nkind: KnownCluster\nmetadata:\n  name: {name}\nspec:\n  \
         accountName: acme\n  clusterName: {cluster}\n  identity:\n    fingerprints: [\"{fingerprint}\"]\n    \
         certificateAuthorityData: {data}\n"
    )
}

pub(super) fn referring(name: &str, prefix: &str, reference: &str) -> String {
    format!(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: TrustedIdentityProvider\nmetadata:\n  \
         name: {name}\n  namespace: namespace-a\nspec:\n  prefix: \"{prefix}\"\n  admiraltyReference: {reference}\n"
    )
}

/// What is done, and what holds afterwards.
struct Step {
    /// Objects by their name, written anew or taken away.
    done: Vec<(&'static str, Option<String>)>,
    prefixes: &'static [&'static str],
    reasons: &'static [&'static str],
}

fn step(
    done: &[(&'static str, Option<&str>)],
    prefixes: &'static [&'static str],
    reasons: &'static [&'static str],
) -> Step {
    let done = done.iter();
    Step {
        done: done
            .map(|(name, manifest)| (*name, manifest.map(str::to_owned)))
            .collect(),
        prefixes,
        reasons,
    }
}

fn rules() -> TrustRules {
    TrustRules {
        account: Some("acme".to_owned()),
        allowed_prefixes: Vec::new(),
    }
}

/// In files: each object in a file of its own.
fn in_files(what: &str, rules: TrustRules, steps: &[Step]) {
    let mut looked = Looked::under(rules, |_| {});
    for (number, step) in steps.iter().enumerate() {
        for (name, manifest) in &step.done {
            let file = format!("trust/{name}.yaml");
            match manifest {
                Some(manifest) => looked.place.replace(&file, manifest),
                None => looked.place.remove(&file),
            }
        }
        let reasons = looked.look();
        assert_eq!(
            looked.prefixes(),
            step.prefixes,
            "{what}, {number}, files: {reasons:?}"
        );
        assert_eq!(reasons, step.reasons, "{what}, {number}, files");
    }
}

/// At an API server: each object set or removed.
fn at_an_api_server(what: &str, rules: TrustRules, steps: &[Step]) {
    let mut handed = Handed::empty(rules);
    let mut there: std::collections::BTreeMap<&str, Value> = Default::default();
    for (number, step) in steps.iter().enumerate() {
        for (name, manifest) in &step.done {
            if let Some(manifest) = manifest {
                let object = json(manifest);
                handed.feed.set(kind_of(&object), &object);
                there.insert(name, object);
            } else if let Some(object) = there.remove(name) {
                handed.feed.remove(kind_of(&object), &object);
            }
        }
        let reasons = handed.look();
        assert_eq!(
            handed.prefixes(),
            step.prefixes,
            "{what}, {number}, objects: {reasons:?}"
        );
        assert_eq!(reasons, step.reasons, "{what}, {number}, objects");
    }
}

fn in_both(what: &str, rules: &TrustRules, steps: &[Step]) {
    in_files(what, rules.clone(), steps);
    at_an_api_server(what, rules.clone(), steps);
}

const A: &str = "spiffe://a/";

/// Cases A4 (a), (b), (c), (f): what one object says, and what it says beside others.
#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn what_a_provider_may_be() {
    let a = provider("a");
    let shared = authority_pem("shared");
    let keyed = |name: &str| provider_yaml(name, &format!("spiffe://{name}/"), &shared);
    let empty: &[&str] = &["EmptyText"];
    let reserved: &[&str] = &["PrefixReserved"];
    for (bad, reasons) in [
        ("", empty),
        ("s", reserved),
        ("system:", reserved),
        ("system:x", reserved),
    ] {
        let steps = [
            step(&[("a", Some(&a))], &[A], &[]),
            step(&[("b", Some(&with_prefix("b", bad)))], &[A], reasons),
        ];
        in_both(&format!("the prefix {bad:?}"), &rules(), &steps);
    }
    in_both(
        "a prefix that another one begins, while that is held",
        &rules(),
        &[
            step(&[("a", Some(&a))], &[A], &[]),
            step(
                &[("b", Some(&with_prefix("b", "spiffe://a/sub/")))],
                &[A],
                &["PrefixConflict"],
            ),
            step(&[("a", None)], &["spiffe://a/sub/"], &[]),
        ],
    );
    in_both(
        "one CA in two providers",
        &rules(),
        &[
            step(&[("a", Some(&keyed("a")))], &[A], &[]),
            step(&[("b", Some(&keyed("b")))], &[A], &["KeyConflict"]),
            step(&[("b", None)], &[A], &[]),
        ],
    );
    in_both(
        "an edit that is no good keeps what was",
        &rules(),
        &[
            step(
                &[("a", Some(&a)), ("b", Some(&provider("b")))],
                &[A, "spiffe://b/"],
                &[],
            ),
            step(
                &[("a", Some(&provider_yaml("a", "spiffe://z/", "nothing")))],
                &[A, "spiffe://b/"],
                &["NoCertificate"],
            ),
            step(
                &[("a", Some(&a.replace("prefix", "prefx")))],
                &[A, "spiffe://b/"],
                &["UnknownKey"],
            ),
            step(&[("a", None)], &["spiffe://b/"], &[]),
        ],
    );
}

/// Cases A4 with a reference: it leads to what a person has accepted and nowhere else.
#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn what_a_reference_leads_to() {
    let (ca, other) = (authority("source"), authority("other"));
    let (pem, print) = (ca.certificate_pem(), ca.anchor().fingerprint().to_string());
    let known = pin("known", "source-cluster", &print, pem);
    let refers = referring("a", A, "{ clusterName: source-cluster }");
    in_both(
        "no pin, a pin, and none again",
        &rules(),
        &[
            step(&[("a", Some(&refers))], &[], &["AwaitingPin"]),
            step(&[("known", Some(&known))], &[A], &[]),
            step(&[("known", None)], &[], &["AwaitingPin"]),
        ],
    );
    let both = format!("{pem}{}", other.certificate_pem());
    in_both(
        "certificates without a pinned fingerprint count for nothing",
        &rules(),
        &[
            step(
                &[
                    ("a", Some(&refers)),
                    (
                        "known",
                        Some(&pin("known", "source-cluster", &print, &both)),
                    ),
                ],
                &[A],
                &[],
            ),
            step(
                &[(
                    "b",
                    Some(&provider_yaml("b", "spiffe://b/", other.certificate_pem())),
                )],
                &[A, "spiffe://b/"],
                &[],
            ),
            step(
                &[(
                    "known",
                    Some(&pin(
                        "known",
                        "source-cluster",
                        &print,
                        other.certificate_pem(),
                    )),
                )],
                &["spiffe://b/"],
                &["AwaitingPin"],
            ),
        ],
    );
    in_both(
        "two pins for one cluster",
        &rules(),
        &[
            step(&[("a", Some(&refers)), ("known", Some(&known))], &[A], &[]),
            step(
                &[("again", Some(&known.replace("name: known", "name: again")))],
                &[],
                &["PinAmbiguous"],
            ),
            step(&[("again", None)], &[A], &[]),
        ],
    );
    in_both(
        "a pin whose edit is no good stays as it was",
        &rules(),
        &[
            step(&[("a", Some(&refers)), ("known", Some(&known))], &[A], &[]),
            step(
                &[("known", Some(&known.replace("sha256:", "sha1:")))],
                &[A],
                &["BadFingerprint"],
            ),
        ],
    );
    in_both(
        "another account",
        &rules(),
        &[step(
            &[
                (
                    "a",
                    Some(&referring(
                        "a",
                        A,
                        "{ clusterName: source-cluster, accountName: other }",
                    )),
                ),
                ("known", Some(&known)),
            ],
            &[],
            &["AwaitingPin"],
        )],
    );
    in_both(
        "no account of one's own",
        &TrustRules::default(),
        &[step(
            &[("a", Some(&refers)), ("known", Some(&known))],
            &[],
            &["AwaitingPin"],
        )],
    );
    let list = base64(List::numbered(1).pem(&other));
    let revoking = format!("{refers}  certificateRevocationListData: {list}\n");
    in_both(
        "a list of somebody else's beside a reference",
        &rules(),
        &[
            step(&[("a", Some(&refers)), ("known", Some(&known))], &[A], &[]),
            step(&[("a", Some(&revoking))], &[A], &["RevocationListOfNobody"]),
            step(&[("known", None)], &[], &["AwaitingPin"]),
        ],
    );
}

#[test]
fn what_an_administrator_allows() {
    let rules = TrustRules {
        account: None,
        allowed_prefixes: vec![AllowedPrefix {
            namespace: "namespace-a".to_owned(),
            prefix: A.to_owned(),
        }],
    };
    let elsewhere = provider("a").replace("namespace: namespace-a", "namespace: namespace-b");
    in_both(
        "prefixes",
        &rules,
        &[
            step(&[("a", Some(&provider("a")))], &[A], &[]),
            step(&[("b", Some(&provider("b")))], &[A], &["PrefixNotAllowed"]),
            step(
                &[("a", Some(&with_prefix("a", "spiffe://c/")))],
                &[A],
                &["PrefixNotAllowed", "PrefixNotAllowed"],
            ),
            step(
                &[("a", None), ("b", None), ("c", Some(&elsewhere))],
                &[],
                &["PrefixNotAllowed"],
            ),
        ],
    );
}

/// What is pinned is named, and what is to be done.
#[test]
fn what_awaits_a_pin_is_told_with_its_fingerprints() {
    let ca = authority("source");
    let seen = ca.anchor().fingerprint().to_string();
    let accepted = format!("sha256:{}", "00".repeat(32));
    let mut handed = Handed::empty(rules());
    for manifest in [
        referring("a", A, "{ clusterName: source-cluster }"),
        pin("known", "source-cluster", &accepted, ca.certificate_pem()),
    ] {
        let object = json(&manifest);
        handed.feed.set(kind_of(&object), &object);
    }
    let look = handed.state.look();
    let told = look.notices[0].to_string();
    for part in [
        "TrustedIdentityProvider namespace-a/a: ",
        "source-cluster.acme",
        &seen,
        &accepted,
        "gangplank accept",
        "gangplank trust add",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

//! Whatever is edited, broken, deleted and restarted: what counts is each object's last accepted version.
//!
//! A model, as plain as can be, says which version of each object and which list is accepted. After each
//! look the bundle must be the one that is loaded fresh from a directory with just these.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use gangplank_pki::Fingerprint;
use gangplank_pki::issue::CertificateAuthority;
use proptest::prelude::*;

use super::*;
use crate::fixture::{List, authority};

const NAMES: usize = 4;
const AUTHORITIES: usize = 4;
const PREFIXES: [&str; 5] = [
    "spiffe://a/",
    "spiffe://a/b/",
    "spiffe://b/",
    "spiffe://c/",
    "spiffe://d/",
];

/// What an object says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    prefix: usize,
    /// Sorted, each once.
    authorities: Vec<usize>,
    denied: Option<u8>,
}

/// What is done to the directory.
#[derive(Clone, Debug)]
enum Edit {
    Write(usize, Version),
    Break(usize),
    Delete(usize),
    WriteList(usize, u8),
    BreakList(usize),
    DeleteList(usize),
    Restart,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content<T> {
    Good(T),
    Broken,
}

#[derive(Debug, Default)]
struct Model {
    files: BTreeMap<usize, Content<Version>>,
    /// The last good version of each object, accepted or not.
    wished: BTreeMap<usize, Version>,
    accepted: BTreeMap<usize, Version>,
    list_files: BTreeMap<usize, Content<u8>>,
    lists: BTreeMap<usize, u8>,
}

impl Model {
    fn look(&mut self) {
        let before = std::mem::take(&mut self.wished);
        for (name, content) in &self.files {
            let wish = match content {
                Content::Good(version) => Some(version),
                Content::Broken => before.get(name),
            };
            let wish = wish.map(|version| (*name, version.clone()));
            self.wished.extend(wish);
        }
        let known = |model: &Self, authority: &usize| {
            let kept = model.accepted.iter();
            let kept = kept.filter(|(name, _)| model.wished.contains_key(name));
            let mut versions = model
                .wished
                .values()
                .chain(kept.map(|(_, version)| version));
            versions.any(|version| version.authorities.contains(authority))
        };
        let held = std::mem::take(&mut self.lists);
        for (authority, content) in &self.list_files {
            let number = match content {
                Content::Good(number) => held.get(authority).max(Some(number)),
                Content::Broken => held.get(authority),
            };
            if let Some(number) = number.filter(|_| known(self, authority)) {
                self.lists.insert(*authority, *number);
            }
        }
        self.accepted = resolve(&self.accepted, &self.wished);
        let lists = std::mem::take(&mut self.lists);
        self.lists = lists
            .into_iter()
            .filter(|(authority, _)| known(self, authority))
            .collect();
    }

    /// Nothing is remembered, and what is broken would not let the program start.
    fn restart(&mut self) {
        self.files.retain(|_, content| *content != Content::Broken);
        self.list_files
            .retain(|_, content| *content != Content::Broken);
        self.wished.clear();
        self.accepted.clear();
        self.lists.clear();
    }
}

/// The rule of the holder, in the words of the manual.
fn resolve(
    accepted: &BTreeMap<usize, Version>,
    wished: &BTreeMap<usize, Version>,
) -> BTreeMap<usize, Version> {
    let (mut holders, mut new) = (BTreeMap::new(), BTreeMap::new());
    for (name, wish) in wished {
        match accepted.get(name) {
            Some(old) if claims_nothing_beyond(wish, old) => holders.insert(*name, wish.clone()),
            _ => new.insert(*name, wish.clone()),
        };
    }
    let refuse = |names: Vec<usize>, holders: &mut BTreeMap<_, _>, new: &mut BTreeMap<_, _>| {
        for name in &names {
            new.remove(name);
            holders.extend(accepted.get(name).map(|old: &Version| (*name, old.clone())));
        }
        !names.is_empty()
    };
    let colliding = |with: &BTreeMap<usize, Version>, new: &BTreeMap<usize, Version>| {
        let collides = |(name, wish): &(&usize, &Version)| {
            let others = with.iter().filter(|(other, _)| other != name);
            others.into_iter().any(|(_, other)| collide(wish, other))
        };
        let names = new.iter().filter(collides).map(|(name, _)| *name);
        names.collect::<Vec<_>>()
    };
    while refuse(colliding(&holders, &new), &mut holders, &mut new) {}
    refuse(colliding(&new, &new), &mut holders, &mut new);
    while refuse(colliding(&holders, &new), &mut holders, &mut new) {}
    holders.append(&mut new);
    holders
}

fn claims_nothing_beyond(wish: &Version, old: &Version) -> bool {
    let mut authorities = wish.authorities.iter();
    wish.prefix == old.prefix && authorities.all(|it| old.authorities.contains(it))
}

fn collide(one: &Version, other: &Version) -> bool {
    let (a, b) = (PREFIXES[one.prefix], PREFIXES[other.prefix]);
    let mut authorities = one.authorities.iter();
    a.starts_with(b) || b.starts_with(a) || authorities.any(|it| other.authorities.contains(it))
}

fn authorities() -> &'static [CertificateAuthority] {
    static AUTHORITIES_MADE: OnceLock<Vec<CertificateAuthority>> = OnceLock::new();
    AUTHORITIES_MADE.get_or_init(|| {
        let names = (0..AUTHORITIES).map(|number| format!("ca {}", number / 2));
        names.map(|name| authority(&name)).collect()
    })
}

fn manifest(name: usize, version: &Version) -> String {
    let pem: String = version
        .authorities
        .iter()
        .map(|at| authorities()[*at].certificate_pem())
        .collect();
    let manifest = provider_yaml(&format!("p{name}"), PREFIXES[version.prefix], &pem);
    match version.denied {
        Some(serial) => format!("{manifest}  deniedCertificates: [\"serial:{serial:02x}\"]\n"),
        None => manifest,
    }
}

fn list(authority: usize, number: u8) -> Vec<u8> {
    static SIGNED: OnceLock<Vec<Vec<Vec<u8>>>> = OnceLock::new();
    let signed = SIGNED.get_or_init(|| {
        let of = |authority| (0..4).map(move |n| List::numbered(n).der(authority));
        authorities().iter().map(|it| of(it).collect()).collect()
    });
    signed[authority][usize::from(number)].clone()
}

/// All that decides: which version of which provider, lists included.
fn versions(bundle: &TrustBundle) -> Vec<(String, Fingerprint)> {
    let providers = bundle.providers().iter();
    let versions = providers.map(|provider| (provider.id().to_string(), provider.digest()));
    versions.collect()
}

fn fresh(model: &Model) -> Vec<(String, Fingerprint)> {
    let looked = Looked::with(|at| {
        for (name, version) in &model.accepted {
            at.write(&format!("trust/{name}.yaml"), manifest(*name, version));
        }
        for (authority, number) in &model.lists {
            at.write(&format!("trust/{authority}.crl"), list(*authority, *number));
        }
    });
    versions(looked.state.bundle())
}

impl Looked {
    /// Does to the directory, and to the model, what is asked.
    fn apply(&mut self, model: &mut Model, edit: &Edit) {
        match edit {
            Edit::Write(name, version) => {
                let file = format!("trust/{name}.yaml");
                self.place.write(&file, manifest(*name, version));
                model.files.insert(*name, Content::Good(version.clone()));
            }
            Edit::Break(name) => {
                self.place.write(&format!("trust/{name}.yaml"), "kind: [");
                model.files.insert(*name, Content::Broken);
            }
            Edit::Delete(name) => {
                self.gone(&format!("trust/{name}.yaml"));
                model.files.remove(name);
            }
            Edit::WriteList(authority, number) => {
                let file = format!("trust/{authority}.crl");
                self.place.write(&file, list(*authority, *number));
                model.list_files.insert(*authority, Content::Good(*number));
            }
            Edit::BreakList(authority) => {
                self.place.write(&format!("trust/{authority}.crl"), "half");
                model.list_files.insert(*authority, Content::Broken);
            }
            Edit::DeleteList(authority) => {
                self.gone(&format!("trust/{authority}.crl"));
                model.list_files.remove(authority);
            }
            Edit::Restart => {
                for (name, content) in &model.files {
                    if *content == Content::Broken {
                        self.gone(&format!("trust/{name}.yaml"));
                    }
                }
                for (authority, content) in &model.list_files {
                    if *content == Content::Broken {
                        self.gone(&format!("trust/{authority}.crl"));
                    }
                }
                model.restart();
                let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
                self.state = State::new(
                    Origin::Folder(Folder::new(&self.place.path("trust"))),
                    TrustRules::default(),
                    time,
                );
            }
        }
    }

    fn gone(&self, file: &str) {
        let path = self.place.path(file);
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
}

fn version() -> impl Strategy<Value = Version> {
    let authorities = prop::collection::btree_set(0..AUTHORITIES, 1..3);
    let denied = prop::option::weighted(0.3, 1..3_u8);
    (0..PREFIXES.len(), authorities, denied).prop_map(|(prefix, authorities, denied)| Version {
        prefix,
        authorities: authorities.into_iter().collect(),
        denied,
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        8 => (0..NAMES, version()).prop_map(|(name, version)| Edit::Write(name, version)),
        2 => (0..NAMES).prop_map(Edit::Break),
        2 => (0..NAMES).prop_map(Edit::Delete),
        4 => (0..AUTHORITIES, 0..4_u8).prop_map(|(at, number)| Edit::WriteList(at, number)),
        1 => (0..AUTHORITIES).prop_map(Edit::BreakList),
        1 => (0..AUTHORITIES).prop_map(Edit::DeleteList),
        1 => Just(Edit::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn end_in_what_a_fresh_load_of_the_accepted_versions_gives(
        looks in prop::collection::vec(prop::collection::vec(edit(), 1..4), 1..12),
    ) {
        let (mut looked, mut model) = (Looked::empty(), Model::default());
        for edits in looks {
            for edit in &edits {
                looked.apply(&mut model, edit);
            }
            looked.look();
            model.look();
            prop_assert_eq!(versions(looked.state.bundle()), fresh(&model), "{:?} {:#?}", edits, model);
        }
    }
}

//! What providers claim for themselves, and who collides with whom.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::MOST_CANDIDATES;
use super::assemble::Conflict;
use crate::fingerprint::Fingerprint;
use crate::provider::{Provider, ProviderId};

/// Providers by what they claim. Several may claim the same prefix or key.
#[derive(Default)]
pub(super) struct Claims {
    providers: BTreeMap<ProviderId, Arc<Provider>>,
    prefixes: BTreeMap<String, HashSet<ProviderId>>,
    keys: HashMap<Fingerprint, HashSet<ProviderId>>,
}

impl Claims {
    pub(super) fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values()
    }

    pub(super) fn into_providers(self) -> BTreeMap<ProviderId, Arc<Provider>> {
        self.providers
    }

    pub(super) fn add(&mut self, provider: Arc<Provider>) {
        let id = provider.id();
        self.prefixes
            .entry(provider.prefix().to_string())
            .or_default()
            .insert(id.clone());
        for anchor in provider.anchors() {
            self.keys
                .entry(anchor.key_fingerprint())
                .or_default()
                .insert(id.clone());
        }
        self.providers.insert(id.clone(), provider);
    }

    pub(super) fn remove(&mut self, id: &ProviderId) {
        let Some(provider) = self.providers.remove(id) else {
            return;
        };
        if let Some(ids) = self.prefixes.get_mut(provider.prefix().as_str()) {
            ids.remove(id);
            if ids.is_empty() {
                self.prefixes.remove(provider.prefix().as_str());
            }
        }
        for anchor in provider.anchors() {
            if let Some(ids) = self.keys.get_mut(&anchor.key_fingerprint()) {
                ids.remove(id);
            }
        }
    }

    /// Those whose claims collide with a holder's.
    pub(super) fn colliding_with(&self, holder: &Provider) -> Vec<(ProviderId, Conflict)> {
        let held = holder.prefix().as_str();
        let extending = self
            .prefixes
            .range(held.to_owned()..)
            .take_while(|(prefix, _)| prefix.starts_with(held))
            .map(|(_, ids)| ids);
        let beginning = (1..held.len()).filter_map(|length| self.prefixes.get(held.get(..length)?));
        let by_prefix = extending.chain(beginning).flatten().map(|id| {
            let with = holder.id().clone();
            (
                id.clone(),
                Conflict::Prefix {
                    with,
                    prefix: holder.prefix().clone(),
                },
            )
        });
        let by_key = holder.anchors().iter().flat_map(|anchor| {
            let key = anchor.key_fingerprint();
            self.keys.get(&key).into_iter().flatten().map(move |id| {
                (
                    id.clone(),
                    Conflict::Key {
                        with: holder.id().clone(),
                        key,
                    },
                )
            })
        });
        by_key
            .chain(by_prefix)
            .filter(|(id, _)| id != holder.id())
            .collect()
    }

    /// Those that collide with one another, each with one it collides with.
    pub(super) fn colliding_among_themselves(&self) -> BTreeMap<ProviderId, Conflict> {
        let mut colliding = BTreeMap::new();
        for (key, ids) in &self.keys {
            for (id, with) in each_with_another(ids) {
                colliding.insert(id, Conflict::Key { with, key: *key });
            }
        }
        self.collect_overlapping_prefixes(&mut colliding);
        colliding
    }

    /// In sorted order a prefix is followed by all that it begins, so one pass with the chain of
    /// prefixes that are still open finds every overlap.
    fn collect_overlapping_prefixes(&self, colliding: &mut BTreeMap<ProviderId, Conflict>) {
        let mut open: Vec<&Arc<Provider>> = Vec::new();
        let in_order = self.prefixes.values().flat_map(|ids| {
            let mut ids: Vec<_> = ids.iter().collect();
            ids.sort_unstable();
            ids.into_iter().filter_map(|id| self.providers.get(id))
        });
        for provider in in_order {
            let prefix = provider.prefix().as_str();
            while open
                .last()
                .is_some_and(|outer| !prefix.starts_with(outer.prefix().as_str()))
            {
                open.pop();
            }
            if let Some(outer) = open.last() {
                for (one, other) in [(provider, *outer), (*outer, provider)] {
                    colliding
                        .entry(one.id().clone())
                        .or_insert_with(|| Conflict::Prefix {
                            with: other.id().clone(),
                            prefix: other.prefix().clone(),
                        });
                }
            }
            open.push(provider);
        }
    }
}

/// When there are several: each, with another one. Deterministic whatever the order of the set.
fn each_with_another(ids: &HashSet<ProviderId>) -> Vec<(ProviderId, ProviderId)> {
    let mut sorted: Vec<_> = ids.iter().collect();
    sorted.sort_unstable();
    let others = sorted.iter().skip(1).chain(sorted.first());
    let pairs = sorted
        .iter()
        .zip(others)
        .filter(|(one, other)| one != other);
    pairs
        .map(|(one, other)| ((*one).clone(), (*other).clone()))
        .collect()
}

/// How many anchors share a name and a key identifier.
pub(super) struct Crowd<'p> {
    anchors: HashMap<(&'p [u8], &'p [u8]), usize>,
}

impl<'p> Crowd<'p> {
    pub(super) fn of(providers: impl Iterator<Item = &'p Arc<Provider>>) -> Self {
        let mut anchors: HashMap<_, usize> = HashMap::new();
        for anchor in providers.flat_map(|provider| provider.anchors()) {
            *anchors
                .entry((anchor.subject(), anchor.key_id()))
                .or_default() += 1;
        }
        Self { anchors }
    }

    /// Counts the provider in, unless that would be too many.
    pub(super) fn admit(&mut self, provider: &'p Provider) -> Option<Conflict> {
        let keys = || {
            let anchors = provider.anchors().iter();
            anchors.map(|anchor| (anchor.subject(), anchor.key_id()))
        };
        for key in keys() {
            *self.anchors.entry(key).or_default() += 1;
        }
        let conflict = self.conflict(provider);
        if conflict.is_some() {
            for key in keys() {
                if let Some(count) = self.anchors.get_mut(&key) {
                    *count = count.saturating_sub(1);
                }
            }
        }
        conflict
    }

    pub(super) fn conflict(&self, provider: &Provider) -> Option<Conflict> {
        let crowded = provider.anchors().iter().find(|anchor| {
            let key = (anchor.subject(), anchor.key_id());
            self.anchors
                .get(&key)
                .is_some_and(|count| *count > MOST_CANDIDATES)
        })?;
        Some(Conflict::CrowdedAuthority {
            subject: crowded.subject_text().to_owned(),
        })
    }
}

//! From what is wanted and what is held to what counts.
//!
//! No two providers may be able to mint one username, and no CA key may stand for two. Where wishes
//! collide, the holder keeps: what was accepted stays until its object is deleted or changed to
//! something that collides with nobody. An edit that claims nothing more than its object held goes in
//! whatever is new beside it, so that nobody can hold up a revocation by colliding with it. Of wishes that
//! are new at the same time and collide, the first in [`Rank`] is taken; files have no age to go by, so all
//! of theirs are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use super::TrustBundle;
use super::claims::{Claims, Crowd};
use crate::fingerprint::Fingerprint;
use crate::prefix::Prefix;
use crate::provider::{NewestLists, Provider, ProviderId};
use crate::revocation::RevocationList;

/// What is wished for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Providers, one an object.
    pub providers: Vec<Arc<Provider>>,
    /// Revocation lists that were found beside the objects. Each counts for the provider of the CA that
    /// signed it, whichever version of that provider is in force: a list speaks for itself.
    pub lists: Vec<Arc<RevocationList>>,
    /// What decides between wishes that are new at the same time, where anything does. Who is not in it
    /// comes last.
    pub ranks: Option<BTreeMap<ProviderId, Rank>>,
}

/// An object's place among those that are new at the same time: the least is the first. Where two are
/// equal, namespace and name decide.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    is_new_claim: bool,
    has_no_age: bool,
    created: String,
}

impl Rank {
    /// The rank of an object that was `accepted_before` as it is now, or was not, and was `created` then, as
    /// the API server writes it: a time of fixed length in UTC, which sorts as text.
    pub fn new(accepted_before: bool, created: Option<&str>) -> Self {
        Self {
            is_new_claim: !accepted_before,
            has_no_age: created.is_none(),
            created: created.unwrap_or_default().to_owned(),
        }
    }

    fn last() -> Self {
        Self::new(false, None)
    }
}

impl From<Vec<Provider>> for Wanted {
    fn from(providers: Vec<Provider>) -> Self {
        Self {
            providers: providers.into_iter().map(Arc::new).collect(),
            ..Self::default()
        }
    }
}

/// A new bundle, and what did not make it into it.
#[derive(Debug)]
pub struct Assembly {
    /// What counts from now on. The generation is the previous one when nothing changed.
    pub bundle: TrustBundle,
    /// Wishes that were refused, by namespace and name. Where the object had been accepted in an
    /// earlier version, that version is still in the bundle.
    pub refused: Vec<(ProviderId, Conflict)>,
}

/// Why a provider was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Conflict {
    /// Two objects of one namespace and name.
    #[error("the object is there twice; delete one")]
    SameObject,
    /// One could mint the usernames of the other.
    #[error(
        "the prefix overlaps `{prefix}` of {with}; choose one that neither begins nor extends it"
    )]
    Prefix {
        /// The other provider.
        with: ProviderId,
        /// Its prefix.
        prefix: Prefix,
    },
    /// A certificate of this CA would belong to both.
    #[error("the CA key {key} also belongs to {with}; remove it from one of them")]
    Key {
        /// The other provider.
        with: ProviderId,
        /// The key both have.
        key: Fingerprint,
    },
    /// Too many CAs claim one name and key identifier; certificates below them could not be told
    /// apart with bounded work.
    #[error("more than 16 CAs claim the name and key identifier of `{subject}`; remove some")]
    CrowdedAuthority {
        /// The name they share.
        subject: String,
    },
}

impl Conflict {
    /// The kind of conflict, for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::SameObject => "DuplicateObject",
            Self::Prefix { .. } => "PrefixConflict",
            Self::Key { .. } => "KeyConflict",
            Self::CrowdedAuthority { .. } => "CrowdedAuthority",
        }
    }
}

/// Takes in what is wanted, as far as it collides with nothing.
///
/// The cost grows with the number of providers only by sorting.
pub fn assemble(previous: &TrustBundle, wanted: impl Into<Wanted>) -> Assembly {
    let Wanted {
        providers,
        lists,
        ranks,
    } = wanted.into();
    let mut merge = Merge::sort_out(previous, providers);
    merge.ranks = ranks;
    merge.refuse_what_holders_exclude();
    if merge.ranks.is_some() {
        merge.refuse_the_later_of_what_collides();
    } else {
        merge.refuse_what_collides_among_the_new();
    }
    merge.refuse_what_holders_exclude();
    while merge.refuse_what_crowds_an_authority() {
        merge.refuse_what_holders_exclude();
    }
    merge.finish(&NewestLists::of(&lists))
}

/// The work in progress. Invariant: what is `held` is free of conflicts, for it claims a part of what the
/// previous bundle does.
struct Merge<'p> {
    previous: &'p TrustBundle,
    held: BTreeMap<ProviderId, Arc<Provider>>,
    /// Holders whose claims have not been held against the new ones yet.
    unchecked: Vec<Arc<Provider>>,
    /// New objects and edits of old ones.
    new: Claims,
    refused: BTreeMap<ProviderId, Conflict>,
    ranks: Option<BTreeMap<ProviderId, Rank>>,
}

impl<'p> Merge<'p> {
    fn sort_out(previous: &'p TrustBundle, wanted: Vec<Arc<Provider>>) -> Self {
        let mut merge = Self {
            previous,
            held: BTreeMap::new(),
            unchecked: Vec::new(),
            new: Claims::default(),
            refused: BTreeMap::new(),
            ranks: None,
        };
        let mut by_id: BTreeMap<ProviderId, Vec<Arc<Provider>>> = BTreeMap::new();
        for provider in wanted {
            by_id
                .entry(provider.id().clone())
                .or_default()
                .push(provider);
        }
        for (id, mut versions) in by_id {
            match (versions.pop(), previous.provider(&id)) {
                (Some(only), Some(old)) if versions.is_empty() => merge.compare(id, old, only),
                (Some(only), None) if versions.is_empty() => merge.new.add(only),
                _ => {
                    merge.keep(&id);
                    merge.refused.insert(id, Conflict::SameObject);
                }
            }
        }
        merge
    }

    fn compare(&mut self, id: ProviderId, old: &Arc<Provider>, wish: Arc<Provider>) {
        if wish.object_digest() == old.object_digest() {
            self.keep(&id);
        } else if wish.claims_nothing_beyond(old) {
            self.hold(id, wish);
        } else {
            self.new.add(wish);
        }
    }

    fn hold(&mut self, id: ProviderId, provider: Arc<Provider>) {
        self.unchecked.push(Arc::clone(&provider));
        self.held.insert(id, provider);
    }

    /// The held version of this object stays.
    fn keep(&mut self, id: &ProviderId) {
        if let Some(old) = self.previous.provider(id) {
            self.hold(id.clone(), Arc::clone(old));
        }
    }

    fn refuse(&mut self, id: ProviderId, conflict: Conflict) {
        self.new.remove(&id);
        self.keep(&id);
        self.refused.insert(id, conflict);
    }

    /// An edit that is refused makes its old version a holder again, which may exclude more.
    fn refuse_what_holders_exclude(&mut self) {
        while let Some(holder) = self.unchecked.pop() {
            for (id, conflict) in self.new.colliding_with(&holder) {
                self.refuse(id, conflict);
            }
        }
    }

    fn refuse_what_collides_among_the_new(&mut self) {
        for (id, conflict) in self.new.colliding_among_themselves() {
            self.refuse(id, conflict);
        }
    }

    /// An edit that is refused makes its old version a holder again, which may exclude whom it gave way to. So
    /// edits are refused one at a time, and the rest only when no edit is among them.
    fn refuse_the_later_of_what_collides(&mut self) {
        loop {
            let mut later = self.later_of_what_collides();
            let is_edit = |(id, _): &(ProviderId, Conflict)| self.previous.provider(id).is_some();
            let Some(edit) = later.iter().position(is_edit) else {
                for (id, conflict) in later {
                    self.refuse(id, conflict);
                }
                return;
            };
            let (id, conflict) = later.swap_remove(edit);
            self.refuse(id, conflict);
            self.refuse_what_holders_exclude();
        }
    }

    /// In the order of their ranks: who collides with an earlier one that does not itself give way.
    fn later_of_what_collides(&self) -> Vec<(ProviderId, Conflict)> {
        let mut later = Vec::new();
        let mut giving_way = BTreeSet::new();
        for provider in self.new_by_rank() {
            if giving_way.contains(provider.id()) {
                continue;
            }
            for (id, conflict) in self.new.colliding_with(provider) {
                if giving_way.insert(id.clone()) {
                    later.push((id, conflict));
                }
            }
        }
        later
    }

    fn new_by_rank(&self) -> Vec<&Arc<Provider>> {
        let mut new: Vec<_> = self.new.providers().collect();
        if let Some(ranks) = &self.ranks {
            let rank = |id: &ProviderId| ranks.get(id).cloned().unwrap_or_else(Rank::last);
            // Stable: those of one rank stay in the order of their ids.
            new.sort_by_cached_key(|provider| rank(provider.id()));
        }
        new
    }

    /// Did it refuse anything? Then edits went back to what they were, and may crowd something else.
    fn refuse_what_crowds_an_authority(&mut self) -> bool {
        let refused: Vec<_> = if self.ranks.is_some() {
            let mut crowd = Crowd::of(self.held.values());
            let by_rank = self.new_by_rank().into_iter();
            by_rank
                .filter_map(|provider| Some((provider.id().clone(), crowd.admit(provider)?)))
                .collect()
        } else {
            let crowded = Crowd::of(self.held.values().chain(self.new.providers()));
            let new = self.new.providers();
            new.filter_map(|provider| Some((provider.id().clone(), crowded.conflict(provider)?)))
                .collect()
        };
        let any = !refused.is_empty();
        for (id, conflict) in refused {
            self.refuse(id, conflict);
        }
        any
    }

    fn finish(mut self, lists: &NewestLists<'_>) -> Assembly {
        let previous = self.previous;
        self.held.append(&mut self.new.into_providers());
        let providers: Vec<_> = self
            .held
            .into_values()
            .map(|provider| provider.with_lists(lists).map_or(provider, Arc::new))
            .collect();
        let unchanged = providers.len() == previous.providers().len()
            && providers.iter().all(|p| previous.holds(p.id(), p.digest()));
        let bundle = if unchanged {
            previous.clone()
        } else {
            TrustBundle::of(previous.generation().saturating_add(1), providers)
        };
        Assembly {
            bundle,
            refused: self.refused.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests;

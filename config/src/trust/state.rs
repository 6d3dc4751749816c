//! From the objects to the bundle: what the writer task owns.

use std::collections::BTreeMap;
use std::sync::Arc;

use gangplank_pki::bundle::{self, Conflict, Wanted};
use gangplank_pki::clock::Clock;
use gangplank_pki::{Authorities, ProviderId, TrustBundle};
use rustls_pki_types::UnixTime;

use crate::fault::Fault;
use crate::trust::holding::Holding;
use crate::trust::lists::Lists;
use crate::trust::origin::{Origin, Reading};
use crate::trust::standing::{self, Standings};
use crate::trust::{Kept, TrustReport, TrustRules, notices};

/// All that is known of what is trusted.
#[derive(Debug)]
pub(super) struct State {
    origin: Origin,
    rules: TrustRules,
    holding: Holding,
    lists: Lists,
    bundle: TrustBundle,
    clock: Arc<dyn Clock>,
    /// What was wrong with the objects when they last changed.
    faults: Vec<Fault>,
    refused: BTreeMap<ProviderId, Conflict>,
    kept: BTreeMap<ProviderId, UnixTime>,
    vanished_since: Option<UnixTime>,
}

/// What one look at the origin found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Whether objects changed.
    pub(super) changed: bool,
    /// The origin itself cannot be read any more.
    pub(super) vanished: Option<Fault>,
    /// Faults of files and objects.
    pub(super) faults: Vec<Fault>,
    /// Good objects that contradict one another, or of which a part has expired.
    pub(super) notices: Vec<Fault>,
}

impl State {
    pub(super) fn new(origin: Origin, rules: TrustRules, clock: Arc<dyn Clock>) -> Self {
        Self {
            origin,
            rules,
            holding: Holding::default(),
            lists: Lists::default(),
            bundle: TrustBundle::empty(),
            clock,
            faults: Vec::new(),
            refused: BTreeMap::new(),
            kept: BTreeMap::new(),
            vanished_since: None,
        }
    }

    pub(super) fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// Looks at the origin and makes of it the bundle that counts now.
    pub(super) fn look(&mut self) -> Look {
        let now = self.clock.now();
        let Reading { changed, vanished } = self.origin.read();
        if changed {
            self.take_over();
        }
        if vanished.is_some() {
            self.vanished_since.get_or_insert(now);
            return Look {
                changed,
                vanished,
                ..Look::default()
            };
        }
        self.vanished_since = None;
        Look {
            changed,
            vanished: None,
            faults: self.faults.clone(),
            notices: self.notices(now),
        }
    }

    /// Makes of what the objects say the bundle that counts.
    fn take_over(&mut self) {
        self.faults = self.holding.take(self.origin.files(), &self.rules);
        // Of an object whose edit is refused the old version stays, and with it the lists of its CAs.
        let in_force = self.bundle.providers().iter();
        let in_force = in_force.filter(|provider| self.holding.wants(provider.id()));
        let in_force = in_force.flat_map(|provider| provider.anchors());
        let authorities = Authorities::over(self.holding.anchors().chain(in_force));
        self.faults
            .extend(self.lists.take(self.origin.files(), &authorities));
        let providers = || self.holding.providers().map(|(provider, _)| provider);
        let wanted = Wanted {
            providers: providers().cloned().collect(),
            ranks: self.origin.ranks(providers()),
            lists: self.lists.all().cloned().collect(),
        };
        let assembly = bundle::assemble(&self.bundle, wanted);
        self.bundle = assembly.bundle;
        self.refused = assembly.refused.into_iter().collect();
        let in_force = self.bundle.providers().iter();
        let in_force = in_force.flat_map(|provider| provider.anchors());
        let authorities = Authorities::over(self.holding.anchors().chain(in_force));
        self.lists.part_with_strays(&authorities);
        self.note_kept();
    }

    fn notices(&self, now: UnixTime) -> Vec<Fault> {
        let mut notices = self.lists.strays().to_vec();
        notices.extend_from_slice(self.holding.awaiting());
        for (provider, held) in self.holding.providers() {
            if let Some(conflict) = self.refused.get(provider.id()) {
                notices.push(notices::conflict(held, provider, conflict));
            }
            notices.extend(notices::expired_authorities(held, provider, now));
            if let Some(in_use) = self.bundle.provider(provider.id()) {
                notices.extend(notices::late_lists(held, in_use, &self.lists, now));
                notices.extend(notices::missing_lists(held, in_use));
            }
        }
        notices
    }

    /// Notes since when a provider in use is not the one that is written.
    fn note_kept(&mut self) {
        let now = self.clock.now();
        let in_use = |id: &ProviderId| self.bundle.provider(id);
        let outdated = self.holding.providers().filter(|(provider, held)| {
            in_use(provider.id()).is_some_and(|used| {
                held.outdated || used.object_digest() != provider.object_digest()
            })
        });
        let kept = outdated.map(|(provider, _)| {
            let id = provider.id().clone();
            let since = self.kept.get(&id).copied().unwrap_or(now);
            (id, since)
        });
        self.kept = kept.collect();
    }

    /// What is to be said about each provider, where there is something to say it in. `faults` are all that the look
    /// found.
    pub(super) fn standings(&self, faults: &[Fault]) -> Option<Standings> {
        let Origin::Objects(objects) = &self.origin else {
            return None;
        };
        let (holding, bundle) = (&self.holding, &self.bundle);
        let all = standing::standings(objects, holding, bundle, &self.refused, faults);
        Some(all)
    }

    /// The report after a look that found `faults`.
    pub(super) fn report(&self, faults: Vec<Fault>) -> TrustReport {
        let kept = self.kept.iter();
        TrustReport {
            generation: self.bundle.generation(),
            providers: self.bundle.providers().len(),
            faults,
            kept: kept
                .map(|(provider, since)| Kept {
                    provider: provider.clone(),
                    since: *since,
                })
                .collect(),
            vanished_since: self.vanished_since,
            awaited: self.origin.is_awaited(),
        }
    }
}

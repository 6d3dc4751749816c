//! From the files to the bundle: what the writer task owns.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use gangplank_pki::bundle::{self, Conflict, Wanted};
use gangplank_pki::clock::Clock;
use gangplank_pki::{Authorities, ProviderId, TrustBundle};
use rustls_pki_types::UnixTime;

use crate::fault::Fault;
use crate::trust::folder::Folder;
use crate::trust::holding::Holding;
use crate::trust::lists::Lists;
use crate::trust::{Kept, TrustReport, notices};

/// All that is known of the directory.
#[derive(Debug)]
pub(super) struct State {
    folder: Folder,
    holding: Holding,
    lists: Lists,
    bundle: TrustBundle,
    clock: Arc<dyn Clock>,
    /// What was wrong with the files when they last changed.
    faults: Vec<Fault>,
    refused: BTreeMap<ProviderId, Conflict>,
    kept: BTreeMap<ProviderId, UnixTime>,
    vanished_since: Option<UnixTime>,
}

/// What one look at the directory found wrong.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The directory itself could not be read, and nothing was changed.
    pub(super) vanished: Option<Fault>,
    /// Faults of files and objects.
    pub(super) faults: Vec<Fault>,
    /// Good objects that contradict one another, or of which a part has expired.
    pub(super) notices: Vec<Fault>,
}

impl State {
    pub(super) fn new(folder: Folder, clock: Arc<dyn Clock>) -> Self {
        Self {
            folder,
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

    pub(super) fn directory(&self) -> &Path {
        self.folder.directory()
    }

    /// Looks at the directory and makes of it the bundle that counts now.
    pub(super) fn look(&mut self) -> Look {
        let now = self.clock.now();
        match self.folder.read() {
            Ok(changed) => {
                self.vanished_since = None;
                if changed {
                    self.take_over();
                }
                Look {
                    vanished: None,
                    faults: self.faults.clone(),
                    notices: self.notices(now),
                }
            }
            Err(fault) => {
                self.vanished_since.get_or_insert(now);
                Look {
                    vanished: Some(fault),
                    ..Look::default()
                }
            }
        }
    }

    /// Makes of what the files hold the bundle that counts.
    fn take_over(&mut self) {
        self.faults = self.holding.take(self.folder.files());
        // Of an object whose edit is refused the old version stays, and with it the lists of its CAs.
        let in_force = self.bundle.providers().iter();
        let in_force = in_force.filter(|provider| self.holding.wants(provider.id()));
        let in_force = in_force.flat_map(|provider| provider.anchors());
        let authorities = Authorities::over(self.holding.anchors().chain(in_force));
        self.faults
            .extend(self.lists.take(self.folder.files(), &authorities));
        let providers = self.holding.providers();
        let wanted = Wanted {
            providers: providers
                .map(|(provider, _)| Arc::clone(provider))
                .collect(),
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
        }
    }
}

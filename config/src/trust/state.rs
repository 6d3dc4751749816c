//! From the files to the bundle: what the writer task owns.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use gangplank_pki::bundle::{self, Conflict};
use gangplank_pki::clock::{Clock, rfc3339};
use gangplank_pki::{Provider, ProviderId, TrustAnchor, TrustBundle};
use rustls_pki_types::UnixTime;

use crate::fault::Fault;
use crate::pem::told;
use crate::trust::folder::Folder;
use crate::trust::holding::{Held, Holding};
use crate::trust::{Kept, TrustReport};

/// All that is known of the directory.
#[derive(Debug)]
pub(super) struct State {
    folder: Folder,
    holding: Holding,
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
        let wanted: Vec<Provider> = self
            .holding
            .providers()
            .map(|(provider, _)| provider.clone())
            .collect();
        let assembly = bundle::assemble(&self.bundle, wanted);
        self.bundle = assembly.bundle;
        self.refused = assembly.refused.into_iter().collect();
        self.note_kept();
    }

    fn notices(&self, now: UnixTime) -> Vec<Fault> {
        let mut notices = Vec::new();
        for (provider, held) in self.holding.providers() {
            if let Some(conflict) = self.refused.get(provider.id()) {
                notices.push(conflict_fault(held, provider, conflict));
            }
            let anchors = provider.anchors().iter();
            let expired = anchors.filter(|anchor| anchor.not_after() < now);
            notices.extend(expired.map(|anchor| expired_fault(held, provider, anchor)));
        }
        notices
    }

    /// Notes since when a provider in use is not the one that is written.
    fn note_kept(&mut self) {
        let now = self.clock.now();
        let in_use = |id: &ProviderId| self.bundle.provider(id);
        let outdated = self.holding.providers().filter(|(provider, held)| {
            in_use(provider.id())
                .is_some_and(|used| held.outdated || used.digest() != provider.digest())
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

fn conflict_fault(held: &Held, provider: &Provider, conflict: &Conflict) -> Fault {
    let (message, remedy) = told(
        conflict,
        "change or remove one of the two; what was accepted first stays in use",
    );
    let message = format!("{} is refused: {message}", provider.id());
    Fault::new(&held.file, held.place, conflict.reason(), message, remedy)
}

/// An expired authority accepts nobody, but those beside it do: no reason not to start.
fn expired_fault(held: &Held, provider: &Provider, anchor: &TrustAnchor) -> Fault {
    let (subject, end) = (anchor.subject_text(), rfc3339(anchor.not_after()));
    let message = format!("the CA `{subject}` of {} expired at {end}", provider.id());
    let remedy = "remove it, and add its successor";
    Fault::new(&held.file, held.place, "AuthorityExpired", message, remedy)
}

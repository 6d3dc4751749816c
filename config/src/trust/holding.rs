//! Which version of each object counts: the newest good one, for as long as the object is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gangplank_pki::{Provider, ProviderId, TrustAnchor};

use crate::fault::{Fault, Place};
use crate::object::{Kind, KnownCluster, Object, ObjectId};
use crate::pem::told;
use crate::trust::TrustRules;
use crate::trust::folder::Content;
use crate::trust::lists::Older;
use crate::trust::pins::Pins;

/// The objects that count.
#[derive(Debug, Default)]
pub(super) struct Holding {
    objects: BTreeMap<ObjectId, Held>,
    /// Good objects that refer to what nobody has accepted.
    awaiting: Vec<Fault>,
}

/// A good version of an object.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) file: PathBuf,
    pub(super) place: Place,
    pub(super) object: Object,
    /// What it means, if it is a provider whose authorities are known.
    pub(super) provider: Option<Arc<Provider>>,
    /// Whether a newer version is there that is not good, or cannot be read.
    pub(super) outdated: bool,
}

/// Where an object stands, and whether it is good there.
struct Occurrence<'c> {
    file: &'c Path,
    place: Place,
    good: Option<&'c Object>,
    provider: Option<Arc<Provider>>,
}

impl Holding {
    /// Takes over what the files hold now, and tells what is wrong with them.
    pub(super) fn take<'f>(
        &mut self,
        files: impl Iterator<Item = (&'f Path, &'f Content)>,
        rules: &TrustRules,
    ) -> Vec<Fault> {
        let mut faults = Vec::new();
        let (present, unclear) = found(files, &mut faults);
        let mut objects = self.kept_of_unclear(&present, &unclear);
        let (providers, others): (Vec<_>, Vec<_>) = present
            .into_iter()
            .partition(|(id, _)| id.kind == Kind::TrustedIdentityProvider);
        for (id, occurrences) in others {
            faults.extend(duplicates(id, &occurrences));
            if let Some(held) = self.version_of(id, &occurrences) {
                objects.insert(id.clone(), held);
            }
        }
        let known: Vec<_> = known_clusters(&objects).cloned().collect();
        let pins = Pins::of(known.iter(), rules.account.as_deref());
        for (id, mut occurrences) in providers {
            faults.extend(duplicates(id, &occurrences));
            for occurrence in &mut occurrences {
                faults.extend(occurrence.make_out(id, &pins, rules));
            }
            faults.extend(self.refuse_older_lists(id, &mut occurrences));
            if let Some(held) = self.version_of(id, &occurrences) {
                objects.insert(id.clone(), held);
            }
        }
        self.awaiting = follow_references(&mut objects, &pins);
        self.objects = objects;
        faults
    }

    /// Good objects that refer to what nobody has accepted.
    pub(super) fn awaiting(&self) -> &[Fault] {
        &self.awaiting
    }

    /// Objects that are nowhere to be seen, but whose file does not tell what it holds.
    fn kept_of_unclear(
        &self,
        present: &BTreeMap<&ObjectId, Vec<Occurrence<'_>>>,
        unclear: &BTreeSet<&Path>,
    ) -> BTreeMap<ObjectId, Held> {
        let missing = self
            .objects
            .iter()
            .filter(|(id, _)| !present.contains_key(id));
        missing
            .filter(|(_, held)| unclear.contains(held.file.as_path()))
            .map(|(id, held)| {
                (
                    id.clone(),
                    Held {
                        outdated: true,
                        ..held.clone()
                    },
                )
            })
            .collect()
    }

    /// A version that brings an older revocation list than the one it had is no good version.
    fn refuse_older_lists(
        &self,
        id: &ObjectId,
        occurrences: &mut [Occurrence<'_>],
    ) -> Option<Fault> {
        let [occurrence] = occurrences else {
            return None;
        };
        let held = self.objects.get(id)?.provider.as_ref()?.own_lists();
        let now = occurrence.provider.as_ref()?.own_lists();
        let older = now.iter().find_map(|list| {
            let of_same = held
                .iter()
                .find(|held| held.authority() == list.authority())?;
            list.is_older_than(of_same)
                .then(|| Older::than(of_same, list))
        })?;
        occurrence.good = None;
        let (message, remedy) = told(&older, "fetch the newest");
        Some(Fault::new(
            occurrence.file,
            occurrence.place,
            Older::REASON,
            message,
            remedy,
        ))
    }

    /// The version of an object that is there: what stands there, if it stands there once and is good, or
    /// else the last good one.
    fn version_of(&self, id: &ObjectId, occurrences: &[Occurrence<'_>]) -> Option<Held> {
        let first = occurrences.first()?;
        let (file, place) = (first.file.to_owned(), first.place);
        if let [
            Occurrence {
                good: Some(object),
                provider,
                ..
            },
        ] = occurrences
        {
            return Some(Held {
                file,
                place,
                object: (*object).clone(),
                provider: provider.clone(),
                outdated: false,
            });
        }
        let last_good = self.objects.get(id)?;
        Some(Held {
            file,
            place,
            object: last_good.object.clone(),
            provider: last_good.provider.clone(),
            outdated: true,
        })
    }

    /// Is there an object of this provider, and is it known whom it means?
    pub(super) fn wants(&self, provider: &ProviderId) -> bool {
        self.wish(provider).is_some()
    }

    /// The good version of this provider's object.
    pub(super) fn wish(&self, provider: &ProviderId) -> Option<(&Arc<Provider>, &Held)> {
        let id = ObjectId {
            kind: Kind::TrustedIdentityProvider,
            namespace: provider.namespace.clone(),
            name: provider.name.clone(),
        };
        let held = self.objects.get(&id)?;
        Some((held.provider.as_ref()?, held))
    }

    /// All CAs of all providers, whether or not the provider is in force.
    pub(super) fn anchors(&self) -> impl Iterator<Item = &TrustAnchor> {
        self.providers()
            .flat_map(|(provider, _)| provider.anchors())
    }

    /// The providers among them.
    pub(super) fn providers(&self) -> impl Iterator<Item = (&Arc<Provider>, &Held)> {
        let objects = self.objects.values();
        objects.filter_map(|held| Some((held.provider.as_ref()?, held)))
    }
}

/// Where which objects stand.
type Present<'f> = BTreeMap<&'f ObjectId, Vec<Occurrence<'f>>>;

/// All objects, and the files that do not tell what they hold.
fn found<'f>(
    files: impl Iterator<Item = (&'f Path, &'f Content)>,
    faults: &mut Vec<Fault>,
) -> (Present<'f>, BTreeSet<&'f Path>) {
    let mut unclear = BTreeSet::new();
    let mut present = Present::new();
    for (file, content) in files {
        let documents = match content {
            Content::Documents(documents) => documents,
            Content::Lists(_) => continue,
            Content::Unreadable(fault) => {
                faults.push(fault.clone());
                unclear.insert(file);
                continue;
            }
        };
        if documents.last().is_some_and(|last| last.object.is_err()) {
            // The file may end there because it is not written to its end yet.
            unclear.insert(file);
        }
        for document in documents {
            faults.extend(
                document
                    .object
                    .as_ref()
                    .err()
                    .into_iter()
                    .flatten()
                    .cloned(),
            );
            let Some(id) = &document.id else {
                unclear.insert(file);
                continue;
            };
            let good = document.object.as_ref().ok();
            let occurrence = Occurrence {
                file,
                place: document.place,
                good,
                provider: None,
            };
            present.entry(id).or_default().push(occurrence);
        }
    }
    (present, unclear)
}

impl Occurrence<'_> {
    /// Makes out what the provider means here; if that is nothing good, it is no good version.
    fn make_out(&mut self, id: &ObjectId, pins: &Pins<'_>, rules: &TrustRules) -> Vec<Fault> {
        let made_out = match self.good {
            Some(Object::TrustedIdentityProvider(object)) => Ok(Arc::clone(&object.provider)),
            Some(Object::Referring(referring)) => match pins.follow(&referring.cluster) {
                Ok(anchors) => referring.with(anchors, self.file, id),
                // Nothing is wrong with the object itself.
                Err(_unpinned) => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        let refused = match made_out {
            Ok(provider) => {
                let Some(fault) = rules.refuse(&provider, self.file, self.place) else {
                    self.provider = Some(provider);
                    return Vec::new();
                };
                vec![fault]
            }
            Err(faults) => faults.into_iter().collect(),
        };
        self.good = None;
        refused
    }
}

fn known_clusters(objects: &BTreeMap<ObjectId, Held>) -> impl Iterator<Item = &KnownCluster> {
    objects.values().filter_map(|held| match &held.object {
        Object::KnownCluster(known) => Some(known),
        _ => None,
    })
}

/// Of every object that refers to another cluster, also of a version that was kept, what it means with the pins of
/// now: who is pinned no longer is trusted no longer. What leads nowhere is told.
fn follow_references(objects: &mut BTreeMap<ObjectId, Held>, pins: &Pins<'_>) -> Vec<Fault> {
    let mut awaiting = Vec::new();
    for (id, held) in objects {
        let Object::Referring(referring) = &held.object else {
            continue;
        };
        if !held.outdated && held.provider.is_some() {
            continue;
        }
        held.provider = match pins.follow(&referring.cluster) {
            Ok(anchors) => referring.with(anchors, &held.file, id).ok(),
            Err(unpinned) => {
                awaiting.push(unpinned.of(&held.file, held.place));
                None
            }
        };
    }
    awaiting
}

/// The same object twice: which one is meant cannot be told, so each place is named.
fn duplicates(id: &ObjectId, occurrences: &[Occurrence<'_>]) -> Vec<Fault> {
    if occurrences.len() < 2 {
        return Vec::new();
    }
    let place_of = |at: &Occurrence<'_>| {
        format!(
            "{}:{}",
            at.file.file_name().unwrap_or_default().display(),
            at.place.line
        )
    };
    let fault = |(index, occurrence): (usize, &Occurrence<'_>)| {
        let others = occurrences
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index);
        let others: Vec<String> = others.map(|(_, other)| place_of(other)).collect();
        let message = format!("{id} stands also at {}", others.join(", "));
        let remedy = "keep one of them; none is used";
        Fault::new(
            occurrence.file,
            occurrence.place,
            "DuplicateObject",
            message,
            remedy,
        )
    };
    occurrences.iter().enumerate().map(fault).collect()
}

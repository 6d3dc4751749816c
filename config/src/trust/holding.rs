//! Which version of each object counts: the newest good one, for as long as the object is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gangplank_pki::{Provider, ProviderId, TrustAnchor};

use crate::fault::{Fault, Place};
use crate::object::{Kind, Object, ObjectId};
use crate::pem::told;
use crate::trust::folder::Content;
use crate::trust::lists::Older;

/// The objects that count.
#[derive(Debug, Default)]
pub(super) struct Holding {
    objects: BTreeMap<ObjectId, Held>,
}

/// A good version of an object.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) file: PathBuf,
    pub(super) place: Place,
    pub(super) object: Object,
    /// Whether a newer version is there that is not good, or cannot be read.
    pub(super) outdated: bool,
}

/// Where an object stands, and whether it is good there.
struct Occurrence<'c> {
    file: &'c Path,
    place: Place,
    good: Option<&'c Object>,
}

impl Holding {
    /// Takes over what the files hold now, and tells what is wrong with them.
    pub(super) fn take<'f>(
        &mut self,
        files: impl Iterator<Item = (&'f Path, &'f Content)>,
    ) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut unclear = BTreeSet::new();
        let mut present: BTreeMap<&ObjectId, Vec<Occurrence<'_>>> = BTreeMap::new();
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
                };
                present.entry(id).or_default().push(occurrence);
            }
        }
        let mut objects = self.kept_of_unclear(&present, &unclear);
        for (id, mut occurrences) in present {
            faults.extend(duplicates(id, &occurrences));
            faults.extend(self.refuse_older_lists(id, &mut occurrences));
            if let Some(held) = self.version_of(id, &occurrences) {
                objects.insert(id.clone(), held);
            }
        }
        self.objects = objects;
        faults
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
        let Object::TrustedIdentityProvider(held) = &self.objects.get(id)?.object else {
            return None;
        };
        let Object::TrustedIdentityProvider(now) = occurrence.good? else {
            return None;
        };
        let (held, now) = (held.provider.own_lists(), now.provider.own_lists());
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
                good: Some(object), ..
            },
        ] = occurrences
        {
            return Some(Held {
                file,
                place,
                object: (*object).clone(),
                outdated: false,
            });
        }
        let last_good = self.objects.get(id)?;
        Some(Held {
            file,
            place,
            object: last_good.object.clone(),
            outdated: true,
        })
    }

    /// Is there an object of this provider?
    pub(super) fn wants(&self, provider: &ProviderId) -> bool {
        self.objects.contains_key(&ObjectId {
            kind: Kind::TrustedIdentityProvider,
            namespace: provider.namespace.clone(),
            name: provider.name.clone(),
        })
    }

    /// All CAs of all providers, whether or not the provider is in force.
    pub(super) fn anchors(&self) -> impl Iterator<Item = &TrustAnchor> {
        self.providers()
            .flat_map(|(provider, _)| provider.anchors())
    }

    /// The providers among them.
    pub(super) fn providers(&self) -> impl Iterator<Item = (&Arc<Provider>, &Held)> {
        self.objects.values().filter_map(|held| match &held.object {
            Object::TrustedIdentityProvider(object) => Some((&object.provider, held)),
            Object::Secret(_) => None,
        })
    }
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

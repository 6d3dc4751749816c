//! The objects of an API server, parsed again only when what they say changed.
//!
//! Each is to the rest of this module what a file with one document is, and its name stands where a file's does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gangplank_pki::bundle::Rank;
use gangplank_pki::{Provider, ProviderId};

use crate::fault::{Fault, Place};
use crate::object::{Kind, ObjectId, document_of_json};
use crate::trust::feed::{Told, TrustFeed};
use crate::trust::folder::Content;

/// The objects, and what they say.
#[derive(Debug)]
pub(super) struct Objects {
    feed: TrustFeed,
    objects: BTreeMap<PathBuf, Known>,
    /// Kinds that were never given as a whole.
    missing: BTreeSet<Kind>,
}

#[derive(Debug)]
struct Known {
    id: ObjectId,
    told: Told,
    content: Content,
}

impl Objects {
    pub(super) fn new(feed: TrustFeed) -> Self {
        Self {
            feed,
            objects: BTreeMap::new(),
            missing: TrustFeed::KINDS.into(),
        }
    }

    /// Takes in what was said; whether anything changed, and what is wrong with following it.
    pub(super) fn read(&mut self) -> (bool, Option<Fault>) {
        let mut inbox = self.feed.take();
        for kind in &inbox.whole {
            self.missing.remove(kind);
        }
        let before = self.objects.len();
        self.objects.retain(|_, known| {
            !inbox.whole.contains(&known.id.kind) || inbox.said.contains_key(&known.id)
        });
        let mut changed = before != self.objects.len() || !inbox.whole.is_empty();
        for (id, told) in std::mem::take(&mut inbox.said) {
            changed |= self.take(id, told);
        }
        let broken = inbox.broken.into_iter().next();
        let fault = broken.map(|(kind, why)| interrupted(kind, &why));
        let fault = fault.or_else(|| self.missing.first().map(|kind| awaited(*kind)));
        (changed && self.missing.is_empty(), fault)
    }

    /// Whether it says something else than before.
    fn take(&mut self, id: ObjectId, told: Option<Told>) -> bool {
        let path = PathBuf::from(id.to_string());
        let Some(told) = told else {
            return self.objects.remove(&path).is_some();
        };
        if let Some(known) = self.objects.get_mut(&path)
            && known.told.manifest == told.manifest
        {
            let is_same = known.told.generation == told.generation;
            known.told = told;
            return !is_same;
        }
        let document = document_of_json(&path, &told.manifest);
        let known = Known {
            id,
            told,
            content: Content::Documents(vec![document]),
        };
        self.objects.insert(path, known);
        true
    }

    /// Whether something was never told yet.
    pub(super) fn is_awaited(&self) -> bool {
        !self.missing.is_empty()
    }

    /// The objects, by the names that faults have.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, &Content)> {
        self.objects
            .iter()
            .map(|(path, known)| (path.as_path(), &known.content))
    }

    /// What decides between providers that are new at the same time.
    pub(super) fn rank(&self, provider: &Provider) -> Option<Rank> {
        let told = self.told(provider.id())?;
        let digest = provider.object_digest().to_string();
        let accepted = told.accepted.as_ref() == Some(&digest);
        Some(Rank::new(accepted, told.created.as_deref()))
    }

    /// The providers' objects, and which version of each is known.
    pub(super) fn providers(&self) -> impl Iterator<Item = (ProviderId, &Path, Option<i64>)> {
        let objects = self.objects.iter();
        let providers = objects.filter(|(_, known)| known.id.kind == Kind::TrustedIdentityProvider);
        providers.map(|(path, known)| {
            let id = ProviderId::new(known.id.namespace.clone(), known.id.name.clone());
            (id, path.as_path(), known.told.generation)
        })
    }

    fn told(&self, provider: &ProviderId) -> Option<&Told> {
        let id = ObjectId {
            kind: Kind::TrustedIdentityProvider,
            namespace: provider.namespace.clone(),
            name: provider.name.clone(),
        };
        let known = self.objects.get(Path::new(&id.to_string()))?;
        Some(&known.told)
    }
}

fn interrupted(kind: Kind, why: &str) -> Fault {
    let kind = kind.as_str();
    Fault::new(
        Path::new(kind),
        Place::WHOLE_FILE,
        "NotFollowed",
        format!("changes of {kind} objects cannot be heard: {why}"),
        "look at the API server, its custom resource definitions, and what this account may list and watch",
    )
}

fn awaited(kind: Kind) -> Fault {
    let kind = kind.as_str();
    Fault::new(
        Path::new(kind),
        Place::WHOLE_FILE,
        "NotListedYet",
        format!("the {kind} objects of the API server were not read yet"),
        "wait, or look at the API server",
    )
}

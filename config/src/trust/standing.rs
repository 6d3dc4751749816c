//! What is to be said about each provider's object in its status.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use gangplank_pki::bundle::Conflict;
use gangplank_pki::{Provider, ProviderId, TrustBundle};

use crate::fault::Fault;
use crate::trust::holding::Holding;
use crate::trust::objects::Objects;

/// Every provider's standing.
pub type Standings = BTreeMap<ProviderId, Standing>;

/// How a provider stands.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Which version of its object was looked at.
    pub generation: Option<i64>,
    /// What its object wishes, or its last good version did.
    pub wished: Option<Arc<Provider>>,
    /// What of it counts.
    pub in_force: Option<Arc<Provider>>,
    /// Whether that is what its object says now.
    pub is_current: bool,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// Who wants something that it holds, and why that was refused.
    pub contested: Vec<(ProviderId, &'static str)>,
}

impl PartialEq for Standing {
    fn eq(&self, other: &Self) -> bool {
        let digest = |it: &Option<Arc<Provider>>| it.as_ref().map(|provider| provider.digest());
        self.generation == other.generation
            && digest(&self.wished) == digest(&other.wished)
            && digest(&self.in_force) == digest(&other.in_force)
            && self.is_current == other.is_current
            && self.faults == other.faults
            && self.contested == other.contested
    }
}

/// `faults` are all that are told in this moment.
pub(super) fn standings(
    objects: &Objects,
    holding: &Holding,
    bundle: &TrustBundle,
    refused: &BTreeMap<ProviderId, Conflict>,
    faults: &[Fault],
) -> Standings {
    let mut by_object: BTreeMap<&Path, Vec<Fault>> = BTreeMap::new();
    for fault in faults {
        by_object
            .entry(&fault.file)
            .or_default()
            .push(fault.clone());
    }
    let mut standings: Standings = objects
        .providers()
        .map(|(id, path, generation)| {
            let wished = holding.wish(&id);
            let in_force = bundle.provider(&id);
            let is_current = wished
                .zip(in_force)
                .is_some_and(|((wished, held), in_force)| {
                    !held.outdated && wished.object_digest() == in_force.object_digest()
                });
            let standing = Standing {
                generation,
                wished: wished.map(|(wished, _)| Arc::clone(wished)),
                in_force: in_force.cloned(),
                is_current,
                faults: by_object.remove(path).unwrap_or_default(),
                contested: Vec::new(),
            };
            (id, standing)
        })
        .collect();
    for (id, conflict) in refused {
        if let Conflict::Prefix { with, .. } | Conflict::Key { with, .. } = conflict
            && let Some(holder) = standings.get_mut(with)
        {
            holder.contested.push((id.clone(), conflict.reason()));
        }
    }
    standings
}

//! Where trust objects come from.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use gangplank_pki::bundle::Rank;
use gangplank_pki::{Provider, ProviderId};

use crate::fault::Fault;
use crate::trust::folder::{Content, Folder};
use crate::trust::objects::Objects;

/// A place that can be read again and again.
#[derive(Debug)]
pub(super) enum Origin {
    /// Files.
    Folder(Folder),
    /// An API server.
    Objects(Objects),
}

/// What reading it brought.
#[derive(Debug)]
pub(super) struct Reading {
    /// Whether anything is other than it was.
    pub(super) changed: bool,
    /// Why it cannot be read, as a whole; then what was read last stays.
    pub(super) vanished: Option<Fault>,
}

impl Origin {
    pub(super) fn read(&mut self) -> Reading {
        match self {
            Self::Folder(folder) => match folder.read() {
                Ok(changed) => Reading {
                    changed,
                    vanished: None,
                },
                Err(fault) => Reading {
                    changed: false,
                    vanished: Some(fault),
                },
            },
            Self::Objects(objects) => {
                let (changed, vanished) = objects.read();
                Reading { changed, vanished }
            }
        }
    }

    /// What is there, by name.
    pub(super) fn files(&self) -> Box<dyn Iterator<Item = (&Path, &Content)> + '_> {
        match self {
            Self::Folder(folder) => Box::new(folder.files()),
            Self::Objects(objects) => Box::new(objects.files()),
        }
    }

    /// Files have no age.
    pub(super) fn ranks<'p>(
        &self,
        providers: impl Iterator<Item = &'p Arc<Provider>>,
    ) -> Option<BTreeMap<ProviderId, Rank>> {
        let Self::Objects(objects) = self else {
            return None;
        };
        let rank = |it: &Arc<Provider>| Some((it.id().clone(), objects.rank(it)?));
        Some(providers.filter_map(rank).collect())
    }

    /// Whether nothing is known yet.
    pub(super) fn is_awaited(&self) -> bool {
        match self {
            Self::Folder(_) => false,
            Self::Objects(objects) => objects.is_awaited(),
        }
    }
}

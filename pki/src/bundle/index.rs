//! Finds the anchors that may have signed a certificate, at a cost that does not grow with the
//! number of providers.

use std::collections::HashMap;
use std::sync::Arc;

use crate::anchor::TrustAnchor;
use crate::path::Trusted;
use crate::provider::Provider;

/// Most anchors that are tried for one chain. Each costs a signature check, of which webpki makes
/// 100 at most; and CAs that share name and key identifier are one CA issued anew, not sixteen.
pub(crate) const MOST_CANDIDATES: usize = 16;

/// Where an anchor is: which provider, and which of its anchors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    provider: usize,
    anchor: usize,
}

/// The anchors of one subject.
#[derive(Debug, Default)]
struct SameSubject {
    all: Vec<Place>,
    by_key_id: HashMap<Box<[u8]>, Vec<Place>>,
}

#[derive(Debug, Default)]
pub(crate) struct AnchorIndex {
    by_subject: HashMap<Box<[u8]>, SameSubject>,
}

/// An anchor that may have signed, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'b> {
    pub(crate) provider: &'b Arc<Provider>,
    pub(crate) anchor: &'b TrustAnchor,
}

impl<'b> Candidate<'b> {
    pub(crate) fn trusted(&self) -> Trusted<'b> {
        Trusted {
            anchor: self.anchor,
            provider: Some(self.provider),
        }
    }
}

impl AnchorIndex {
    pub(crate) fn over(providers: &[Arc<Provider>]) -> Self {
        let mut index = Self::default();
        for (number, provider) in providers.iter().enumerate() {
            for (position, anchor) in provider.anchors().iter().enumerate() {
                let place = Place {
                    provider: number,
                    anchor: position,
                };
                let same = index.by_subject.entry(anchor.subject().into()).or_default();
                same.all.push(place);
                same.by_key_id
                    .entry(anchor.key_id().into())
                    .or_default()
                    .push(place);
            }
        }
        index
    }

    pub(crate) fn candidates<'b, 'i>(
        &self,
        providers: &'b [Arc<Provider>],
        issuers: impl Iterator<Item = (&'i [u8], Option<&'i [u8]>)>,
    ) -> Result<Vec<Candidate<'b>>, usize> {
        let mut places = Vec::new();
        for (subject, key_id) in issuers {
            let Some(same) = self.by_subject.get(subject) else {
                continue;
            };
            let found = match key_id {
                Some(id) => same.by_key_id.get(id).map_or(&[][..], Vec::as_slice),
                None => &same.all,
            };
            if found.len() > MOST_CANDIDATES {
                return Err(found.len());
            }
            places.extend_from_slice(found);
        }
        places.sort_unstable();
        places.dedup();
        if places.len() > MOST_CANDIDATES {
            return Err(places.len());
        }
        Ok(places
            .into_iter()
            .filter_map(|place| at(providers, place))
            .collect())
    }
}

fn at(providers: &[Arc<Provider>], place: Place) -> Option<Candidate<'_>> {
    let provider = providers.get(place.provider)?;
    let anchor = provider.anchors().get(place.anchor)?;
    Some(Candidate { provider, anchor })
}

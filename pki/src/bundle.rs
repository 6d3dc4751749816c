//! All that is trusted at one moment.

mod assemble;
mod claims;
mod index;

use std::sync::Arc;

pub use assemble::{Assembly, Conflict, Rank, Wanted, assemble};
pub(crate) use index::{Candidate, MOST_CANDIDATES};

use crate::fingerprint::Fingerprint;
use crate::identify::Identity;
use crate::provider::{Provider, ProviderId};
use index::AnchorIndex;

/// The providers that count, unchangeable, and found by what a certificate says of its issuer. A
/// clone is cheap. Only [`assemble()`] makes one that holds anything.
#[derive(Debug, Clone)]
pub struct TrustBundle {
    generation: u64,
    providers: Arc<[Arc<Provider>]>,
    index: Arc<AnchorIndex>,
}

impl TrustBundle {
    /// Generation 0: nobody is trusted.
    pub fn empty() -> Self {
        Self::of(0, Vec::new())
    }

    /// `providers` are free of conflicts and sorted by id.
    fn of(generation: u64, providers: Vec<Arc<Provider>>) -> Self {
        let index = Arc::new(AnchorIndex::over(&providers));
        Self {
            generation,
            providers: providers.into(),
            index,
        }
    }

    /// Grows by one whenever anything that matters changes.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The providers, by namespace and name.
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// The provider of that id.
    pub fn provider(&self, id: &ProviderId) -> Option<&Arc<Provider>> {
        let at = self
            .providers
            .binary_search_by(|provider| provider.id().cmp(id))
            .ok()?;
        self.providers.get(at)
    }

    /// Is exactly this version of the provider in it?
    pub fn holds(&self, id: &ProviderId, digest: Fingerprint) -> bool {
        self.provider(id)
            .is_some_and(|provider| provider.digest() == digest)
    }

    /// Would [`identify`](crate::identify()) still say of this identity's certificates what it said of
    /// them for the moment it was asked about? Then, until [`Identity::valid_until`], it need not be asked
    /// again, whatever else changed in the bundle. This costs no signature.
    pub fn upholds(&self, identity: &Identity) -> bool {
        identity.grounds().stand_in(self)
    }

    /// The anchors that may have signed a certificate with one of these issuers, given as encoded
    /// name and, where the certificate says it, key identifier. `Err` is how many there are, when
    /// that is more than will be tried.
    pub(crate) fn candidates<'i>(
        &self,
        issuers: impl Iterator<Item = (&'i [u8], Option<&'i [u8]>)>,
    ) -> Result<Vec<Candidate<'_>>, usize> {
        self.index.candidates(&self.providers, issuers)
    }
}

impl Default for TrustBundle {
    fn default() -> Self {
        Self::empty()
    }
}

//! What an identity rests on in the bundle, to see without a signature whether it still does.

use crate::bundle::{Candidate, TrustBundle};
use crate::fingerprint::Fingerprint;
use crate::path::Chain;

/// The issuers that a chain names, and the versions of all providers that have a CA of such a name.
///
/// The verdict about a chain depends on nothing else in a bundle: not on providers without such a CA.
/// A newcomer that has one may make the chain ambiguous, so that looking at one's own provider alone
/// would not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grounds {
    issuers: Vec<Issuer>,
    /// By provider, each once.
    providers: Vec<Fingerprint>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Issuer {
    name: Box<[u8]>,
    key_id: Option<Box<[u8]>>,
}

impl Grounds {
    pub(super) fn of(chain: &Chain<'_>, candidates: &[Candidate<'_>]) -> Self {
        let issuers = chain.issuers().map(|(name, key_id)| Issuer {
            name: name.into(),
            key_id: key_id.map(Into::into),
        });
        Self {
            issuers: issuers.collect(),
            providers: versions(candidates).collect(),
        }
    }

    pub(crate) fn stand_in(&self, bundle: &TrustBundle) -> bool {
        let issuers = self
            .issuers
            .iter()
            .map(|issuer| (&*issuer.name, issuer.key_id.as_deref()));
        bundle
            .candidates(issuers)
            .is_ok_and(|found| versions(&found).eq(self.providers.iter().copied()))
    }
}

/// Candidates come in the order of the providers' ids.
fn versions(candidates: &[Candidate<'_>]) -> impl Iterator<Item = Fingerprint> {
    let starts = candidates.chunk_by(|one, next| one.provider.id() == next.provider.id());
    starts.filter_map(|same| same.first().map(|candidate| candidate.provider.digest()))
}

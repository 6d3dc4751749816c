//! Who a certificate chain is here.
//!
//! One pure function, [`identify`], and the [`Identity`] that nothing else can make: what forwards a
//! request takes an `Identity`, so that forgetting to ask does not compile.

mod grounds;
mod name;

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, UnixTime};

pub(crate) use grounds::Grounds;
pub use name::NameFault;
pub(crate) use name::{check_common_name, check_uri};

use crate::bundle::{Candidate, MOST_CANDIDATES, TrustBundle};
use crate::fingerprint::Fingerprint;
use crate::path::{self, Chain, Path, Usage};
use crate::prefix::Prefix;
use crate::provider::{Provider, ProviderId};
use crate::refusal::Refusal;

/// Who a certificate is here, until when, and by which version of whose trust. Made by [`identify`]
/// alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    username: String,
    prefix: Prefix,
    name: String,
    groups: Vec<String>,
    provider: ProviderId,
    provider_digest: Fingerprint,
    valid_until: UnixTime,
    certificate: Fingerprint,
    serial: String,
    generation: u64,
    grounds: Arc<Grounds>,
}

impl Identity {
    /// The whole username: prefix and name, byte for byte.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The provider's prefix.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// What follows the prefix: the common name, or the rest of the URI.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The groups the provider gives, sorted; none begins with `system:`.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Whose CA it was.
    pub fn provider(&self) -> &ProviderId {
        &self.provider
    }

    /// Which version of that provider.
    pub fn provider_digest(&self) -> Fingerprint {
        self.provider_digest
    }

    /// The last second in which this holds: the earliest end of leaf, intermediates, anchor, and, where
    /// the provider is strict, of the revocation lists that were asked.
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
    }

    /// SHA-256 over the leaf.
    pub fn certificate(&self) -> Fingerprint {
        self.certificate
    }

    /// The serial number of the leaf, in lower-case hexadecimal.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The generation of the bundle that was asked.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What in the bundle decided it.
    pub(crate) fn grounds(&self) -> &Grounds {
        &self.grounds
    }
}

/// Decides who the owner of the key of `chain`'s first certificate is at the time `now`.
///
/// A certificate belongs to the provider whose *key* verified its chain, never to the name of an
/// issuer: the anchors tried are those whose subject, and whose key identifier where the chain gives
/// one, match an issuer named in the chain. All paths to all of them are looked at, so that neither
/// the order of the chain nor that of the bundle decides. Among several paths within one provider
/// the one that lasts longest counts.
///
/// Notes on single rules, beyond RFC 5280 as webpki reads it:
/// a certificate without extended key usage is accepted, one with `anyExtendedKeyUsage` alone is not
/// (webpki's reading; Go would accept it);
/// name constraints on DNS names and addresses are applied, those on URIs refuse every certificate
/// with a URI, those on directory names every certificate (webpki);
/// there is no leeway on any clock. Every way in which the verdict differs from Go's crypto/x509, which
/// kube-apiserver judges clients with, is listed with its reason in `tests/verdicts.rs`, and checked there.
///
/// The proof that the peer has the key is the handshake's, not this function's.
///
/// # Errors
/// [`Refusal`], with the class of the cause.
pub fn identify(
    bundle: &TrustBundle,
    chain: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<Identity, Refusal> {
    let chain = Chain::read(chain)?;
    let candidates =
        bundle
            .candidates(chain.issuers())
            .map_err(|candidates| Refusal::TooManyCandidates {
                candidates,
                most: MOST_CANDIDATES,
            })?;
    let trusted: Vec<_> = candidates.iter().map(Candidate::trusted).collect();
    let paths = path::verify(&chain, &trusted, Usage::CallerAtExit, now)?;
    let provider = only_provider(&candidates, &paths, &chain)?;
    let name = name::of(chain.leaf(), provider)?;
    let valid_until = paths
        .iter()
        .map(|path| path.valid_until)
        .max()
        .unwrap_or(now);
    Ok(Identity {
        username: format!("{}{name}", provider.prefix()),
        prefix: provider.prefix().clone(),
        name: name.to_owned(),
        groups: provider.groups().to_vec(),
        provider: provider.id().clone(),
        provider_digest: provider.digest(),
        valid_until,
        certificate: chain.fingerprint(),
        serial: chain.serial().to_string(),
        generation: bundle.generation(),
        grounds: Arc::new(Grounds::of(&chain, &candidates)),
    })
}

/// The provider that all paths lead to.
fn only_provider<'b>(
    candidates: &[Candidate<'b>],
    paths: &[Path],
    chain: &Chain<'_>,
) -> Result<&'b Provider, Refusal> {
    let mut reached: Vec<&Arc<Provider>> = paths
        .iter()
        .filter_map(|path| candidates.get(path.anchor))
        .map(|candidate| candidate.provider)
        .collect();
    reached.sort_unstable_by_key(|provider| provider.id());
    reached.dedup_by_key(|provider| provider.id());
    match reached.as_slice() {
        [] => Err(chain.unknown_issuer()),
        [provider] => Ok(provider),
        [one, other, ..] => Err(Refusal::Ambiguous {
            providers: Box::new([one.id().clone(), other.id().clone()]),
        }),
    }
}

#[cfg(test)]
mod tests;

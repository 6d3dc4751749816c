//! The token of a service account as a proof of which cluster asks (Kubernetes' bound tokens, KEP-1205).

use std::sync::Arc;

use gangplank_config::role::relay::JoiningAccount;
use gangplank_config::{Fault, KeySet};
use gangplank_pki::TunnelName;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

/// What a token may be signed with: only what has a public key, so that a key set is never taken for a secret.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// How far the clocks of the relay and of the cluster may differ, in seconds.
const LEEWAY: u64 = 10;

/// The service accounts that may join.
#[derive(Debug, Clone)]
pub(crate) struct Accounts(Arc<[JoiningAccount]>);

/// Why a token proves nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofFault {
    #[error("no service account may join as {0}")]
    NoAccount(TunnelName),
    #[error("the keys of the issuer cannot be read")]
    Keys(#[source] Fault),
    #[error("it is no token that a service account has")]
    NoToken,
    #[error("it is signed with a key that is not in the key set of the cluster")]
    UnknownKey,
    #[error("{0}")]
    Refused(jsonwebtoken::errors::Error),
}

/// The claims are checked while decoding; none is of further use.
#[derive(Deserialize)]
struct Claims {}

impl Accounts {
    pub(crate) fn new(accounts: &[JoiningAccount]) -> Self {
        Self(accounts.into())
    }

    /// Whether `token` proves to come from a service account that may join as `tunnel`. Reads files.
    pub(crate) fn prove(&self, tunnel: &TunnelName, token: &[u8]) -> Result<(), ProofFault> {
        let mut refused = ProofFault::NoAccount(tunnel.clone());
        for account in self.0.iter().filter(|account| account.cluster == *tunnel) {
            let keys = account.keys.read().map_err(ProofFault::Keys)?;
            match verify(account, &keys, token) {
                Ok(()) => return Ok(()),
                Err(fault) => refused = fault,
            }
        }
        Err(refused)
    }
}

fn verify(account: &JoiningAccount, keys: &KeySet, token: &[u8]) -> Result<(), ProofFault> {
    let header = decode_header(token).map_err(|_unreadable| ProofFault::NoToken)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(ProofFault::NoToken);
    }
    let named = header.kid.as_deref().and_then(|kid| keys.keys().find(kid));
    let key = named.ok_or(ProofFault::UnknownKey)?;
    let key = DecodingKey::from_jwk(key).map_err(|_unusable| ProofFault::UnknownKey)?;
    let mut rules = Validation::new(header.alg);
    rules.leeway = LEEWAY;
    rules.validate_nbf = true;
    rules.set_audience(&[&account.audience]);
    rules.set_issuer(&[&account.issuer]);
    rules.sub = Some(account.subject.clone());
    rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    decode::<Claims>(token, &key, &rules)
        .map(|_claims| ())
        .map_err(ProofFault::Refused)
}

#[cfg(test)]
mod tests;

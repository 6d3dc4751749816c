//! Certificates as data: anchors, the trust bundle, who a chain is, usernames, issuing.
//!
//! Nothing here does input or output and nothing here asks the system for the time, except
//! [`clock::SystemClock`], which is handed to whatever needs one. Everything else in the program
//! that verifies, issues or names a certificate does it through this crate. As it lies below all others,
//! the one way to show an error lies here too: [`WithCauses`].

pub mod bundle;
pub mod caller;
pub mod clock;
pub mod crypto;
pub mod entrance;
pub mod identify;
pub mod inspect;
pub mod issue;
pub mod peer;
pub mod pem;

mod anchor;
mod causes;
mod certificate;
mod denied;
mod distinguished_name;
mod fingerprint;
mod path;
mod prefix;
mod provider;
mod refusal;
mod revocation;
mod serial;
mod signed;
mod spiffe;
mod succession;
mod tunnel_name;
mod twin;

pub use anchor::{AnchorFault, TrustAnchor};
pub use bundle::TrustBundle;
pub use causes::WithCauses;
pub use denied::{Denied, DeniedFault};
pub use entrance::{EntranceDomain, EntranceFault};
pub use fingerprint::{Fingerprint, FingerprintFault};
pub use identify::{Identity, NameFault, identify};
pub use prefix::{Prefix, PrefixFault};
pub use provider::{LateList, Provider, ProviderFault, ProviderId, Revocations, UsernameFrom};
pub use refusal::{IssuerRule, Link, Purpose, Refusal, Revoker};
pub use revocation::{Authorities, AuthorityId, RevocationList, RevocationListFault, UnprovenList};
pub use serial::{Serial, SerialFault};
pub use succession::{advances, successors};
pub use tunnel_name::{TunnelName, TunnelNameFault};

#[cfg(test)]
mod fixture;

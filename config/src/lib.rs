//! What was written, and what is meant by it.
//!
//! Role files ([`role`]), Kubernetes objects ([`object`]) and letters between administrators ([`letter`]) are read here into types that can only hold
//! what makes sense; everything that does not is a [`Fault`] with file, line and column. What may change
//! while the program runs is followed: a directory of objects by [`trust`], single files by [`reload`].
//!
//! Not here: what certificates mean (`gangplank-pki`), and which flag or environment variable overrides a
//! file (the binary). Called by the binary at start, and by the roles for the reader halves.

pub mod fault;
pub mod letter;
pub mod material;
pub mod object;
pub mod reload;
pub mod role;
pub mod trust;
pub mod upstream;

mod encoding;
mod file;
mod http_proxy;
mod pem;
mod scalar;
mod section;
mod sheet;
mod suggestion;
mod wake;
mod yaml;

#[cfg(test)]
mod fixture;

/// Reads a duration as files have them: whole numbers with units, such as `500ms`, `2s` or `1h30m`.
///
/// # Errors
/// What is wrong with it, and what to write, for a person.
pub fn duration(written: &str) -> Result<std::time::Duration, String> {
    scalar::duration(written)
        .map_err(|complaint| format!("{}; {}", complaint.message, complaint.remedy))
}

pub use fault::{Fault, Faults, Place};
pub use http_proxy::{HttpProxy, ProxyEnvironment};
pub use material::{Anchors, KeyPair, KeySet, Material, Token};
pub use reload::{Reloaded, Reloader};
pub use scalar::{HostName, HostNameFault, HostPort};
pub use trust::{TrustDirectory, TrustFeed, TrustObjects, TrustRules, TrustSource, TrustWatcher};
pub use upstream::{Credential, Upstream};

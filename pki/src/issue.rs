//! Making certificates: a small CA, and the four kinds it issues.
//!
//! Agents make their own keys and send a request ([`AgentRequest`]); for the others the key is made here.
//! ECDSA on P-256, random 128-bit serial numbers, key identifiers on both sides, one extended key
//! usage a kind. Times are arguments; randomness comes from aws-lc-rs.

mod agent_request;
mod authority;
mod held;
mod request;

use std::fmt;

use thiserror::Error;

use crate::anchor::AnchorFault;
use crate::identify::NameFault;
use crate::pem::{KeyFault, PemFault};
use crate::refusal::Refusal;

pub use agent_request::{AgentRequest, AgentRequestFault, RequestedKey};
pub use authority::CertificateAuthority;
pub use held::Held;
pub use request::{Kind, Request};

/// A certificate that was issued, with its key.
#[derive(Clone)]
pub struct Issued {
    /// The leaf, PEM.
    pub cert_pem: String,
    /// Its private key, PKCS#8 PEM. Secret.
    pub key_pem: String,
    /// The certificate of the CA, PEM: what the other side has to trust.
    pub ca_pem: String,
}

impl fmt::Debug for Issued {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("cert_pem", &self.cert_pem)
            .finish_non_exhaustive()
    }
}

/// Why nothing was issued.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IssueFault {
    /// The CA's certificate or key file is broken.
    #[error("the CA's certificate or key cannot be read")]
    Pem(#[source] PemFault),
    /// The CA's certificate does not go with its key.
    #[error("the CA's certificate and key do not belong together")]
    Key(#[source] KeyFault),
    /// What was given as CA is none.
    #[error("what was given as CA cannot be one")]
    Authority(#[source] AnchorFault),
    /// The CA's time has not come or is over.
    #[error("the CA is not valid at the requested time; create a new one")]
    AuthorityNotValid,
    /// Nobody could be identified by that name.
    #[error("the requested name cannot become a username: {}", .0.remedy())]
    Name(#[source] NameFault),
    /// Not a host name or an address.
    #[error("`{name}` is neither a host name nor an IP address; correct it")]
    Host {
        /// What was asked for.
        name: String,
    },
    /// A server without a name.
    #[error("a server's certificate needs at least one name; give one")]
    NoHost,
    /// A lifetime of nothing, or beyond the calendar.
    #[error("the requested lifetime is empty or beyond the year 9999; choose another")]
    Lifetime,
    /// The library refused; the CA's key may be of a kind it cannot sign with.
    #[error("the certificate could not be made; create a new CA if this one is of an unusual kind")]
    Library(#[source] rcgen::Error),
    /// What was issued does not verify against the CA it was issued by.
    #[error("what this CA issues does not verify; create a new CA")]
    Unverifiable(#[source] Refusal),
    /// A CA of another shape than those that are made here, which its predecessor cannot certify.
    #[error(
        "the CA cannot be certified by its predecessor: it was not made here, or is not valid now"
    )]
    Succession,
    /// No randomness to be had.
    #[error("the system gives no randomness")]
    Randomness,
}

impl IssueFault {
    /// The kind of fault, for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Pem(fault) => fault.reason(),
            Self::Key(fault) => fault.reason(),
            Self::Authority(fault) => fault.reason(),
            Self::AuthorityNotValid => "AuthorityNotValid",
            Self::Name(_) => "UnusableName",
            Self::Host { .. } => "NotAHostName",
            Self::NoHost => "NoHostName",
            Self::Lifetime => "InvalidLifetime",
            Self::Library(_) => "IssuingFailed",
            Self::Unverifiable(_) => "Unverifiable",
            Self::Succession => "NoSuccession",
            Self::Randomness => "NoRandomness",
        }
    }
}

#[cfg(test)]
mod tests;

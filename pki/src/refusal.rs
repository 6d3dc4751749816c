//! Why a certificate chain does not make anyone someone here.

use std::fmt;

use rustls_pki_types::UnixTime;
use thiserror::Error;

use crate::clock::rfc3339;
use crate::identify::NameFault;
use crate::provider::ProviderId;

/// What a certificate is used for (its extended key usage, RFC 5280 §4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To say who dials.
    Client,
    /// To say who is dialled.
    Server,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "clientAuth",
            Self::Server => "serverAuth",
        })
    }
}

/// Which certificate of a path something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// The one whose key was proven.
    Leaf,
    /// One between leaf and anchor, sent along.
    Intermediate,
    /// The certificate of the authority that is trusted here.
    Anchor,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leaf => "certificate",
            Self::Intermediate => "intermediate certificate",
            Self::Anchor => "certificate of the trusted CA",
        })
    }
}

/// Which rule for issuers a path breaks (RFC 5280 §6.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IssuerRule {
    /// A certificate without the CA bit signed another.
    NotAnAuthority,
    /// The key usage of an issuer does not allow to sign certificates.
    KeyUsage,
    /// More intermediates than an issuer allows below itself.
    PathLength,
}

impl fmt::Display for IssuerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnAuthority => "is no CA",
            Self::KeyUsage => "may not sign certificates (key usage)",
            Self::PathLength => "allows fewer intermediates (path length)",
        })
    }
}

/// Who took a certificate back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revoker {
    /// The CA that issued it, in its revocation list.
    Authority,
    /// The administrator here, by naming it.
    Administrator,
}

impl fmt::Display for Revoker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authority => "was revoked by its CA",
            Self::Administrator => "is denied here",
        })
    }
}

/// Why nobody was identified. [`Refusal::class`] is the kind, stable and safe to count;
/// [`Refusal::remedy`] says what to do next. The message is safe to show to the refused party: what
/// it repeats of a certificate is escaped and cut.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// None was sent.
    #[error("no certificate was sent")]
    NoCertificate,
    /// A certificate cannot be read, or is not one that RFC 5280 allows.
    #[error("certificate {position} of the chain {problem}")]
    Malformed {
        /// Which, counted from 1 for the leaf.
        position: usize,
        /// What is wrong with it, as the end of a sentence.
        problem: &'static str,
    },
    /// More certificates than a chain can need.
    #[error("the chain has {certificates} certificates, {most} at most are looked at")]
    TooLong {
        /// How many were sent.
        certificates: usize,
        /// How many are looked at.
        most: usize,
    },
    /// The budget for signatures or paths was used up.
    #[error("the chain can be put together in too many ways")]
    TooComplex,
    /// No authority trusted here signed it.
    #[error("no provider trusts the issuer `{issuer}` (or its key is another)")]
    UnknownIssuer {
        /// The issuer of the leaf, for people.
        issuer: String,
    },
    /// Too many authorities of that name, and nothing in the chain tells which one it was.
    #[error("{candidates} trusted CAs could have issued it, {most} at most are tried")]
    TooManyCandidates {
        /// How many.
        candidates: usize,
        /// How many are tried.
        most: usize,
    },
    /// Its paths end at authorities of two providers.
    #[error("the chain leads to more than one provider")]
    Ambiguous {
        /// Two of them, in order.
        providers: Box<[ProviderId; 2]>,
    },
    /// The time of a certificate is over.
    #[error("the {link} expired at {}", rfc3339(*.not_after))]
    Expired {
        /// Which.
        link: Link,
        /// Its last valid second.
        not_after: UnixTime,
    },
    /// The time of a certificate has not come.
    #[error("the {link} is valid only from {}", rfc3339(*.not_before))]
    NotYetValid {
        /// Which.
        link: Link,
        /// Its first valid second.
        not_before: UnixTime,
    },
    /// A certificate was taken back.
    #[error("the {link} {by}")]
    Revoked {
        /// Which.
        link: Link,
        /// By whom.
        by: Revoker,
    },
    /// Whether it was taken back cannot be said, and must be.
    #[error(
        "the CA's revocation list was to be renewed by {}, and without its successor nobody is let in",
        rfc3339(*.next_update)
    )]
    RevocationUnknown {
        /// The last second of the list.
        next_update: UnixTime,
    },
    /// An extended key usage forbids this use, or a required one is missing.
    #[error("the extended key usage of the chain does not allow {purpose}")]
    WrongPurpose {
        /// The use.
        purpose: Purpose,
    },
    /// A CA's certificate was sent where a client's or a server's belongs.
    #[error("this is the certificate of a CA, not of one {purpose} is for")]
    IsAuthority {
        /// The use.
        purpose: Purpose,
    },
    /// An issuer on the path was not allowed to issue it.
    #[error("an issuer in the chain {rule}")]
    IssuerNotAllowed {
        /// The rule it breaks.
        rule: IssuerRule,
    },
    /// A name in the certificate lies outside the name constraints of an issuer.
    #[error("a name in the certificate lies outside what its issuer may name")]
    NameNotPermitted,
    /// SHA-1, MD5, short RSA keys, unknown curves.
    #[error("{what} is too weak or not supported")]
    UnsupportedAlgorithm {
        /// The key or signature.
        what: String,
    },
    /// The name in it cannot become a username.
    #[error("the name in the certificate is not usable: {0}")]
    UnusableName(NameFault),
}

impl Refusal {
    /// The kind of cause: the word in warnings, metrics and conditions.
    pub fn class(&self) -> &'static str {
        match self {
            Self::NoCertificate => "NoCertificate",
            Self::Malformed { .. } => "Malformed",
            Self::TooLong { .. } | Self::TooComplex => "TooComplex",
            Self::UnknownIssuer { .. } => "UnknownIssuer",
            Self::TooManyCandidates { .. } | Self::Ambiguous { .. } => "Ambiguous",
            Self::Expired { .. } => "Expired",
            Self::NotYetValid { .. } => "NotYetValid",
            Self::Revoked { .. } => "Revoked",
            Self::RevocationUnknown { .. } => "RevocationUnknown",
            Self::WrongPurpose { purpose } | Self::IsAuthority { purpose } => match purpose {
                Purpose::Client => "NotForClients",
                Purpose::Server => "NotForServers",
            },
            Self::IssuerNotAllowed { .. } => "IssuerNotAllowed",
            Self::NameNotPermitted => "NameNotPermitted",
            Self::UnsupportedAlgorithm { .. } => "UnsupportedAlgorithm",
            Self::UnusableName(_) => "UnusableName",
        }
    }

    /// What to do about it, for the one who was refused.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoCertificate => "send a certificate of a CA that is trusted here",
            Self::Malformed { .. } => "have the certificate issued anew",
            Self::TooLong { .. } | Self::TooComplex => {
                "send only the certificate and its intermediates"
            }
            Self::UnknownIssuer { .. } => {
                "send the intermediates too, or ask the cluster's administrator to trust the CA"
            }
            Self::TooManyCandidates { .. } => {
                "have certificates issued with an authority key identifier"
            }
            Self::Ambiguous { .. } => "send only the intermediates of the provider you mean",
            Self::Expired {
                link: Link::Leaf, ..
            } => "renew the certificate",
            Self::Expired {
                link: Link::Intermediate,
                ..
            } => "send the current intermediate certificate",
            Self::Expired {
                link: Link::Anchor, ..
            } => "ask the cluster's administrator to trust the renewed CA",
            Self::NotYetValid { .. } => "check the clocks of both sides, or wait",
            Self::Revoked { .. } => "have a new certificate issued, with a new key",
            Self::RevocationUnknown { .. } => {
                "ask the cluster's administrator to fetch the CA's current revocation list"
            }
            Self::WrongPurpose {
                purpose: Purpose::Client,
            } => "use a certificate with the extended key usage clientAuth",
            Self::WrongPurpose {
                purpose: Purpose::Server,
            } => "use a certificate with the extended key usage serverAuth",
            Self::IsAuthority { .. } => "use a certificate that the CA issued, not the CA's own",
            Self::IssuerNotAllowed { .. } => "have the certificate issued by the CA itself",
            Self::NameNotPermitted => "have it issued for a name its CA may name",
            Self::UnsupportedAlgorithm { .. } => {
                "use RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519 with SHA-2"
            }
            Self::UnusableName(fault) => fault.remedy(),
        }
    }
}

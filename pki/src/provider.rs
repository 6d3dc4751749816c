//! A TrustedIdentityProvider as it is meant: whose CAs, and which usernames they may mint.

mod revocations;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::anchor::TrustAnchor;
use crate::denied::Denied;
use crate::fingerprint::Fingerprint;
use crate::prefix::Prefix;
use crate::refusal::Purpose;
use crate::revocation::RevocationList;
use crate::spiffe;

pub(crate) use revocations::{Issuer, NewestLists};

/// Most groups a provider may give: they ride on every request as a header each.
const MOST_GROUPS: usize = 64;

/// Longest group name, in bytes, as for a prefix.
const LONGEST_GROUP: usize = 512;

/// Most CAs of one provider: far more than a rotation needs, and it bounds what one object costs.
const MOST_ANCHORS: usize = 1024;

/// Which object a provider is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId {
    /// The namespace of the TrustedIdentityProvider.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ProviderId {
    /// The object of that namespace and name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Which part of a certificate becomes the username.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum UsernameFrom {
    /// Prefix and the one common name of the subject.
    #[default]
    CommonName,
    /// The one URI among the alternative names, which begins with the prefix.
    Uri,
}

/// What a revocation list counts for once its successor should be there and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LateList {
    /// As much as before: whoever keeps a list from being renewed cannot shut everybody out.
    #[default]
    Keep,
    /// Nobody of its authority is accepted until the successor is there: whoever keeps a list from being
    /// renewed cannot keep a revoked certificate in use.
    Strict,
}

/// What a provider's object says about certificates that are no longer good.
#[derive(Debug, Clone, Default)]
pub struct Revocations {
    /// Lists of its CAs.
    pub lists: Vec<Arc<RevocationList>>,
    /// What becomes of a list that is late.
    pub late: LateList,
    /// Single certificates.
    pub denied: Vec<Denied>,
}

/// Some CAs and what the certificates below them are worth here.
#[derive(Debug, Clone)]
pub struct Provider {
    id: ProviderId,
    prefix: Prefix,
    anchors: Arc<[TrustAnchor]>,
    username_from: UsernameFrom,
    groups: Vec<String>,
    /// As its object has them: of each CA its newest list, by authority; `denied` is sorted.
    revocations: Revocations,
    /// Of each of its CAs the newest list there is, wherever it was found, sorted by authority.
    lists: Arc<[Arc<RevocationList>]>,
    object_digest: Fingerprint,
    digest: Fingerprint,
}

impl Provider {
    /// Puts a provider together. The same certificate twice counts once.
    ///
    /// # Errors
    /// When there is no CA, one that is not for clients, a group that may not be given, or a prefix
    /// under which no URI can be named although the username comes from one.
    pub fn new(
        id: ProviderId,
        prefix: Prefix,
        mut anchors: Vec<TrustAnchor>,
        username_from: UsernameFrom,
        mut groups: Vec<String>,
    ) -> Result<Self, ProviderFault> {
        let mut seen = HashSet::new();
        anchors.retain(|anchor| seen.insert(anchor.fingerprint()));
        check_anchors(&anchors)?;
        if username_from == UsernameFrom::Uri && !spiffe::is_identity(&format!("{prefix}x")) {
            return Err(ProviderFault::PrefixNotUri { prefix });
        }
        check_groups(&groups)?;
        groups.sort();
        groups.dedup();
        let provider = Self {
            object_digest: Fingerprint::of(&[]),
            digest: Fingerprint::of(&[]),
            id,
            prefix,
            anchors: anchors.into(),
            username_from,
            groups,
            revocations: Revocations::default(),
            lists: Arc::default(),
        };
        Ok(provider.with_revocations(Revocations::default()))
    }

    /// The same provider, with what its object says of certificates that are no longer good.
    #[must_use]
    pub fn with_revocations(mut self, mut revocations: Revocations) -> Self {
        revocations.denied.sort_unstable();
        revocations.denied.dedup();
        revocations.lists = NewestLists::of(&revocations.lists).sorted();
        self.revocations = revocations;
        self.object_digest = Fingerprint::of(&self.description());
        self.put_in_force(self.revocations.lists.clone());
        self
    }

    /// Which object it is.
    pub fn id(&self) -> &ProviderId {
        &self.id
    }

    /// What its usernames begin with.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// Its CAs.
    pub fn anchors(&self) -> &[TrustAnchor] {
        &self.anchors
    }

    /// Where the username comes from.
    pub fn username_from(&self) -> UsernameFrom {
        self.username_from
    }

    /// The groups its users are given, sorted, each once.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The lists of its object, the newest of each CA.
    pub fn own_lists(&self) -> &[Arc<RevocationList>] {
        &self.revocations.lists
    }

    /// The newest list of each of its CAs that has one.
    pub fn lists(&self) -> &[Arc<RevocationList>] {
        &self.lists
    }

    /// What becomes of a list that is late.
    pub fn late_list(&self) -> LateList {
        self.revocations.late
    }

    /// Its CAs that have no list.
    pub fn anchors_without_list(&self) -> impl Iterator<Item = &TrustAnchor> {
        let has_list = |anchor: &TrustAnchor| {
            let id = (anchor.subject(), anchor.key_fingerprint());
            self.lists.iter().any(|list| list.authority().parts() == id)
        };
        self.anchors.iter().filter(move |anchor| !has_list(anchor))
    }

    /// Single certificates that are refused, sorted.
    pub fn denied(&self) -> &[Denied] {
        &self.revocations.denied
    }

    /// SHA-256 over all that decides who someone is, revocation lists included: equal for two versions
    /// that make no difference.
    pub fn digest(&self) -> Fingerprint {
        self.digest
    }

    /// The same over what its object says alone, without lists that were found beside it.
    pub fn object_digest(&self) -> Fingerprint {
        self.object_digest
    }

    /// Does it claim no prefix and no certificate of a CA that `other` does not claim?
    pub(crate) fn claims_nothing_beyond(&self, other: &Self) -> bool {
        self.prefix == other.prefix
            && self.anchors.iter().all(|anchor| {
                let same = |held: &TrustAnchor| held.fingerprint() == anchor.fingerprint();
                other.anchors.iter().any(same)
            })
    }

    /// Everything that matters, each part with its length before it, so that no two providers have
    /// the same description.
    fn description(&self) -> Vec<u8> {
        let mut description = Vec::new();
        let mut add = |part: &[u8]| {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            description.extend_from_slice(&length.to_be_bytes());
            description.extend_from_slice(part);
        };
        add(self.id.namespace.as_bytes());
        add(self.id.name.as_bytes());
        add(self.prefix.as_str().as_bytes());
        add(match self.username_from {
            UsernameFrom::CommonName => b"CommonName",
            UsernameFrom::Uri => b"URI",
        });
        add(self.groups.len().to_string().as_bytes());
        self.groups.iter().for_each(|group| add(group.as_bytes()));
        let mut anchors: Vec<_> = self.anchors.iter().map(TrustAnchor::fingerprint).collect();
        anchors.sort_unstable();
        add(anchors.len().to_string().as_bytes());
        anchors.iter().for_each(|anchor| add(anchor.as_bytes()));
        add(match self.revocations.late {
            LateList::Keep => b"Keep",
            LateList::Strict => b"Strict",
        });
        add(self.denied().len().to_string().as_bytes());
        for denied in self.denied() {
            add(denied.to_string().as_bytes());
        }
        for list in self.own_lists() {
            add(list.fingerprint().as_bytes());
        }
        description
    }
}

fn check_anchors(anchors: &[TrustAnchor]) -> Result<(), ProviderFault> {
    if anchors.is_empty() {
        return Err(ProviderFault::NoAnchors);
    }
    if anchors.len() > MOST_ANCHORS {
        return Err(ProviderFault::TooManyAnchors {
            anchors: anchors.len(),
        });
    }
    anchors
        .iter()
        .find(|anchor| !anchor.allows(Purpose::Client))
        .map_or(Ok(()), |anchor| {
            Err(ProviderFault::AnchorNotForClients {
                subject: anchor.subject_text().to_owned(),
            })
        })
}

fn check_groups(groups: &[String]) -> Result<(), ProviderFault> {
    if groups.len() > MOST_GROUPS {
        return Err(ProviderFault::TooManyGroups {
            groups: groups.len(),
        });
    }
    groups
        .iter()
        .find(|group| !is_group(group))
        .map_or(Ok(()), |group| {
            Err(ProviderFault::Group {
                group: group.escape_default().take(LONGEST_GROUP).collect(),
            })
        })
}

/// Printable ASCII, no outer blanks, and none of Kubernetes' own.
fn is_group(group: &str) -> bool {
    (1..=LONGEST_GROUP).contains(&group.len())
        && group.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && group.trim() == group
        && !group.starts_with("system:")
}

/// Why parts do not make a provider.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProviderFault {
    /// It would accept nobody.
    #[error("the provider has no CA certificate; give at least one")]
    NoAnchors,
    /// More than 1024.
    #[error("the provider has {anchors} CA certificates; give 1024 at most")]
    TooManyAnchors {
        /// How many.
        anchors: usize,
    },
    /// Its extended key usage excludes clients.
    #[error("the CA `{subject}` is not for client certificates (extended key usage); give another")]
    AnchorNotForClients {
        /// Whose certificate.
        subject: String,
    },
    /// Usernames come from URIs, and none can begin so.
    #[error(
        "no URI can begin with the prefix `{prefix}`; with `usernameFrom: URI` write one such as \
         `spiffe://trust-domain/`"
    )]
    PrefixNotUri {
        /// The prefix.
        prefix: Prefix,
    },
    /// More than 64.
    #[error("the provider gives {groups} groups; give 64 at most")]
    TooManyGroups {
        /// How many.
        groups: usize,
    },
    /// Empty, too long, not printable, or one of Kubernetes' own.
    #[error(
        "the group `{group}` cannot be given: groups are printable ASCII, up to 512 bytes, and \
         never begin with `system:`"
    )]
    Group {
        /// Which, escaped.
        group: String,
    },
}

impl ProviderFault {
    /// The kind of fault, for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoAnchors => "NoAnchors",
            Self::TooManyAnchors { .. } => "TooManyAnchors",
            Self::AnchorNotForClients { .. } => "AnchorNotForClients",
            Self::PrefixNotUri { .. } => "PrefixNotUri",
            Self::TooManyGroups { .. } => "TooManyGroups",
            Self::Group { .. } => "GroupNotAllowed",
        }
    }
}

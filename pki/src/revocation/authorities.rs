//! The authorities that a list may be of.

use std::collections::HashMap;
use std::sync::Arc;

use crate::anchor::TrustAnchor;
use crate::fingerprint::Fingerprint;

/// Which authority a list speaks for: one name, one key. Serial numbers are unique below a name, and only
/// the key tells authorities of one name apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorityId {
    subject: Arc<[u8]>,
    key: Fingerprint,
}

impl AuthorityId {
    pub(crate) fn of(anchor: &TrustAnchor) -> Self {
        Self {
            subject: anchor.subject().into(),
            key: anchor.key_fingerprint(),
        }
    }

    /// Its name as encoded, and SHA-256 over its subjectPublicKeyInfo.
    pub(crate) fn parts(&self) -> (&[u8], Fingerprint) {
        (&self.subject, self.key)
    }
}

/// Anchors by their name, so that thousands of lists find theirs among thousands.
#[derive(Debug, Default)]
pub struct Authorities<'a> {
    by_name: HashMap<&'a [u8], Vec<&'a TrustAnchor>>,
}

impl<'a> Authorities<'a> {
    /// All of these.
    pub fn over(anchors: impl IntoIterator<Item = &'a TrustAnchor>) -> Self {
        let mut by_name: HashMap<&[u8], Vec<_>> = HashMap::new();
        for anchor in anchors {
            by_name.entry(anchor.subject()).or_default().push(anchor);
        }
        Self { by_name }
    }

    /// Is this one among them?
    pub fn has(&self, authority: &AuthorityId) -> bool {
        let (subject, key) = authority.parts();
        self.of_name(subject)
            .iter()
            .any(|anchor| anchor.key_fingerprint() == key)
    }

    pub(super) fn of_name(&self, subject: &[u8]) -> &[&'a TrustAnchor] {
        self.by_name.get(subject).map_or(&[], Vec::as_slice)
    }
}

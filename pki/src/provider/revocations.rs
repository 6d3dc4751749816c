//! Which of a provider's certificates are no longer good: by lists of its CAs, and by name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rustls_pki_types::UnixTime;

use super::{LateList, Provider};
use crate::anchor::TrustAnchor;
use crate::certificate::Certificate;
use crate::denied::Denied;
use crate::fingerprint::Fingerprint;
use crate::refusal::{Link, Refusal, Revoker};
use crate::revocation::{AuthorityId, RevocationList};
use crate::serial::Serial;
use crate::twin::other_forms;

/// Of every authority the newest of some lists.
#[derive(Debug, Default)]
pub(crate) struct NewestLists<'l> {
    by_authority: HashMap<(&'l [u8], Fingerprint), &'l Arc<RevocationList>>,
}

impl<'l> NewestLists<'l> {
    pub(crate) fn of(lists: impl IntoIterator<Item = &'l Arc<RevocationList>>) -> Self {
        let mut newest = Self::default();
        lists.into_iter().for_each(|list| newest.add(list));
        newest
    }

    fn add(&mut self, list: &'l Arc<RevocationList>) {
        match self.by_authority.entry(list.authority().parts()) {
            Entry::Vacant(place) => {
                place.insert(list);
            }
            Entry::Occupied(mut held) if held.get().is_older_than(list) => {
                held.insert(list);
            }
            Entry::Occupied(_) => {}
        }
    }

    /// By authority.
    pub(super) fn sorted(self) -> Vec<Arc<RevocationList>> {
        let mut lists: Vec<_> = self.by_authority.into_values().cloned().collect();
        lists.sort_unstable_by(|one, two| one.authority().cmp(two.authority()));
        lists
    }

    fn get(&self, anchor: &TrustAnchor) -> Option<&'l Arc<RevocationList>> {
        let key = (anchor.subject(), anchor.key_fingerprint());
        self.by_authority.get(&key).copied()
    }
}

/// Who issued a certificate of a path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Issuer<'p> {
    /// A certificate that was sent.
    Intermediate(&'p Certificate<'p>),
    /// One that is trusted.
    Anchor(&'p TrustAnchor),
}

impl Issuer<'_> {
    fn is(self, authority: &AuthorityId) -> bool {
        let (subject, key) = authority.parts();
        match self {
            Self::Intermediate(certificate) => {
                certificate.subject() == subject && Fingerprint::of(certificate.public_key()) == key
            }
            Self::Anchor(anchor) => anchor.subject() == subject && anchor.key_fingerprint() == key,
        }
    }
}

impl Provider {
    /// This version with the newest lists of its CAs, those of its object and `found` ones; `None` when
    /// it has them already.
    pub(crate) fn with_lists(&self, found: &NewestLists<'_>) -> Option<Self> {
        let lists = self.newest_lists(found);
        let present = self.lists.iter().map(|list| list.fingerprint());
        if present.eq(lists.iter().map(|list| list.fingerprint())) {
            return None;
        }
        let mut provider = self.clone();
        provider.put_in_force(lists);
        Some(provider)
    }

    fn newest_lists(&self, found: &NewestLists<'_>) -> Vec<Arc<RevocationList>> {
        let of_anchors = self.anchors.iter().filter_map(|anchor| found.get(anchor));
        NewestLists::of(self.own_lists().iter().chain(of_anchors)).sorted()
    }

    pub(super) fn put_in_force(&mut self, lists: Vec<Arc<RevocationList>>) {
        self.digest = if lists.is_empty() {
            self.object_digest
        } else {
            let digests = lists.iter().map(|list| *list.fingerprint().as_bytes());
            let all: Vec<_> = std::iter::once(*self.object_digest.as_bytes())
                .chain(digests)
                .collect();
            Fingerprint::of(&all.concat())
        };
        self.lists = lists.into();
    }

    /// Is anything revoked or denied here at all? Most providers know of nothing, and then nothing needs
    /// to be looked up.
    pub(crate) fn revokes_something(&self) -> bool {
        !self.lists.is_empty() || !self.denied().is_empty()
    }

    /// Is this certificate of a path still good? If so, until when that can be said.
    pub(crate) fn check_standing(
        &self,
        certificate: &Certificate<'_>,
        link: Link,
        issuer: Issuer<'_>,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, Refusal> {
        let serial = certificate.serial();
        if self.denies(serial, certificate.der()) {
            let by = Revoker::Administrator;
            return Err(Refusal::Revoked { link, by });
        }
        let Some(list) = self.lists.iter().find(|list| issuer.is(list.authority())) else {
            return Ok(None);
        };
        if serial.is_none_or(|serial| list.revokes(serial)) {
            let by = Revoker::Authority;
            return Err(Refusal::Revoked { link, by });
        }
        match self.late_list() {
            LateList::Keep => Ok(None),
            LateList::Strict if now > list.next_update() => Err(Refusal::RevocationUnknown {
                next_update: list.next_update(),
            }),
            LateList::Strict => Ok(Some(list.next_update())),
        }
    }

    fn denies(&self, serial: Option<Serial>, der: &[u8]) -> bool {
        let is_listed = |denied| self.denied().binary_search(&denied).is_ok();
        let is_denied = |der: &[u8]| is_listed(Denied::Certificate(Fingerprint::of(der)));
        !self.denied().is_empty()
            && (serial.is_some_and(|serial| is_listed(Denied::Serial(serial)))
                || is_denied(der)
                || other_forms(der).iter().any(|it| is_denied(it)))
    }

    /// Is this CA of its own denied by name?
    pub(crate) fn denies_anchor(&self, anchor: &TrustAnchor) -> bool {
        let denied = Denied::Certificate(anchor.fingerprint());
        self.denied().binary_search(&denied).is_ok()
    }
}

//! Which revocation lists of the directory's files count: of each authority the newest good one, for as
//! long as there is one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gangplank_pki::{Authorities, AuthorityId, Fingerprint, RevocationList, RevocationListFault};

use crate::fault::{Fault, Place};
use crate::pem::{FoundList, fault_of_list, told};
use crate::trust::folder::Content;

/// The lists that count.
#[derive(Debug, Default)]
pub(super) struct Lists {
    by_authority: BTreeMap<AuthorityId, Held>,
    /// What was proven already, by the list's digest: a signature check a list, not one a look.
    proven: HashMap<Fingerprint, Arc<RevocationList>>,
    /// Lists of authorities that nobody here trusts. They change nothing, so they stop nothing.
    strays: Vec<Fault>,
}

/// A good list and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) file: PathBuf,
    pub(super) place: Place,
    pub(super) list: Arc<RevocationList>,
}

impl Lists {
    /// Takes over what the files hold now, proven by one of `authorities`, and tells what is wrong.
    pub(super) fn take<'f>(
        &mut self,
        files: impl Iterator<Item = (&'f Path, &'f Content)>,
        authorities: &Authorities<'_>,
    ) -> Vec<Fault> {
        let before = std::mem::take(self);
        let mut faults = Vec::new();
        let mut unclear = BTreeSet::new();
        for (file, content) in files {
            match content {
                Content::Documents(_) => {}
                // What is wrong with it was told with the objects.
                Content::Unreadable(_) => {
                    unclear.insert(file);
                }
                Content::Lists(found) => {
                    for found in found {
                        match before.prove(found, authorities) {
                            Ok(list) => self.add(file, found.line, list),
                            Err(fault) => {
                                let told = fault_of_list(found.line, &fault).of_file(file);
                                if matches!(fault, RevocationListFault::UnknownAuthority { .. }) {
                                    self.strays.push(told);
                                } else {
                                    faults.push(told);
                                    unclear.insert(file);
                                }
                            }
                        }
                    }
                }
            }
        }
        faults.extend(self.keep(before, &unclear));
        faults
    }

    fn prove(
        &self,
        found: &FoundList,
        authorities: &Authorities<'_>,
    ) -> Result<Arc<RevocationList>, RevocationListFault> {
        match self.proven.get(&found.list.fingerprint()) {
            Some(list) => Ok(Arc::clone(list)),
            None => found.list.prove(authorities).map(Arc::new),
        }
    }

    /// Of several lists of an authority the newest counts.
    fn add(&mut self, file: &Path, line: usize, list: Arc<RevocationList>) {
        self.proven.insert(list.fingerprint(), Arc::clone(&list));
        let held = Held {
            file: file.to_owned(),
            place: Place::line(line),
            list,
        };
        self.by_authority
            .entry(held.list.authority().clone())
            .and_modify(|other| {
                if other.list.is_older_than(&held.list) {
                    *other = held.clone();
                }
            })
            .or_insert(held);
    }

    /// Keeps what was good before where the files say nothing newer: because they cannot be read, or
    /// because they went back to a list that revokes less.
    fn keep(&mut self, before: Self, unclear: &BTreeSet<&Path>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (authority, mut held) in before.by_authority {
            match self.by_authority.get(&authority) {
                Some(now) if now.list.is_older_than(&held.list) => {
                    faults.push(stepped_back(now, &held.list));
                    // Where its authority's list stands now, however old.
                    (held.file, held.place) = (now.file.clone(), now.place);
                }
                None if unclear.contains(held.file.as_path()) => {}
                Some(_) | None => continue,
            }
            self.proven
                .insert(held.list.fingerprint(), Arc::clone(&held.list));
            self.by_authority.insert(authority, held);
        }
        faults
    }

    /// Lets go of the lists whose authority is none of these.
    pub(super) fn part_with_strays(&mut self, authorities: &Authorities<'_>) {
        let held = std::mem::take(&mut self.by_authority);
        for (authority, held) in held {
            if authorities.has(&authority) {
                self.by_authority.insert(authority, held);
            } else {
                let issuer = held.list.issuer_text().to_owned();
                let fault = RevocationListFault::UnknownAuthority { issuer };
                let told = fault_of_list(held.place.line, &fault);
                self.strays.push(told.of_file(&held.file));
            }
        }
    }

    /// Every list that counts.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<RevocationList>> {
        self.by_authority.values().map(|held| &held.list)
    }

    /// Where this list stands, if it is one of these.
    pub(super) fn place_of(&self, list: &RevocationList) -> Option<&Held> {
        let held = self.by_authority.get(list.authority())?;
        (held.list.fingerprint() == list.fingerprint()).then_some(held)
    }

    /// Lists that are of no authority here.
    pub(super) fn strays(&self) -> &[Fault] {
        &self.strays
    }
}

fn stepped_back(now: &Held, held: &RevocationList) -> Fault {
    let (message, remedy) = told(&Older::than(held, &now.list), "fetch the newest");
    Fault::new(&now.file, now.place, Older::REASON, message, remedy)
}

/// Why a list does not take the place of a newer one.
#[derive(Debug, thiserror::Error)]
#[error(
    "the revocation list of `{issuer}` went back from {newer} to {older}; fetch the CA's newest list, or, \
     if the CA began anew, take this one away first"
)]
pub(super) struct Older {
    issuer: String,
    newer: String,
    older: String,
}

impl Older {
    pub(super) const REASON: &str = "RevocationListWentBack";

    pub(super) fn than(newer: &RevocationList, older: &RevocationList) -> Self {
        let named = |list: &RevocationList| match list.number() {
            Some(number) => format!("number {number}"),
            None => format!(
                "that of {}",
                gangplank_pki::clock::rfc3339(list.this_update())
            ),
        };
        Self {
            issuer: newer.issuer_text().to_owned(),
            newer: named(newer),
            older: named(older),
        }
    }
}

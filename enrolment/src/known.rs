//! What a relay has in its memory of the register, so that nobody who comes has to wait for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use gangplank_pki::{Fingerprint, TunnelName, WithCauses};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::register::RegisterFault;

/// The revoked certificates of agents, by SHA-256.
pub type Revoked = BTreeSet<Fingerprint>;

/// The clusters that have joined and were not revoked.
pub type Names = BTreeSet<TunnelName>;

/// The register at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The revoked certificates.
    pub revoked: Revoked,
    /// The clusters that have joined.
    pub names: Names,
}

/// Whether the memory still follows the register.
#[derive(Debug, Clone, Default)]
pub enum Contact {
    /// It does.
    #[default]
    Held,
    /// It does not.
    Lost {
        /// The first failure's time.
        since: Instant,
        /// What it was, with its causes.
        why: Arc<str>,
    },
}

/// The memory. One follower writes ([`Register::follow`](crate::Register::follow)); clones are the same memory.
/// While the register cannot be read what was known stays in force: no tunnel ends for it, and none that was
/// revoked comes back.
#[derive(Debug, Clone, Default)]
pub struct Known {
    revoked: watch::Sender<Arc<Revoked>>,
    names: watch::Sender<Arc<Names>>,
    contact: watch::Sender<Contact>,
}

impl Known {
    /// A memory that begins with this.
    pub fn new(snapshot: Snapshot) -> Self {
        let known = Self::default();
        known.learn(snapshot);
        known
    }

    /// The revoked certificates, and news of them.
    pub fn revoked(&self) -> watch::Receiver<Arc<Revoked>> {
        self.revoked.subscribe()
    }

    /// The clusters that have joined.
    pub fn names(&self) -> watch::Receiver<Arc<Names>> {
        self.names.subscribe()
    }

    /// Whether it follows.
    pub fn contact(&self) -> watch::Receiver<Contact> {
        self.contact.subscribe()
    }

    /// The register was read; this is its state.
    pub(crate) fn learn(&self, snapshot: Snapshot) {
        let Snapshot { revoked, names } = snapshot;
        replace(&self.revoked, revoked);
        replace(&self.names, names);
        self.held();
    }

    /// The register could be asked.
    pub(crate) fn held(&self) {
        self.contact.send_if_modified(|contact| {
            let Contact::Lost { since, .. } = contact else {
                return false;
            };
            tracing::info!(
                seconds = since.elapsed().as_secs(),
                "the register is followed again"
            );
            *contact = Contact::Held;
            true
        });
    }

    /// The register cannot be read; said once.
    pub fn lost(&self, fault: &RegisterFault) {
        self.contact.send_if_modified(|contact| {
            if matches!(contact, Contact::Lost { .. }) {
                return false;
            }
            let why = WithCauses(fault).to_string();
            tracing::error!(
                error = %why,
                "revocations cannot be followed, those that are known stay in force"
            );
            *contact = Contact::Lost {
                since: Instant::now(),
                why: why.into(),
            };
            true
        });
    }
}

fn replace<T: PartialEq>(held: &watch::Sender<Arc<T>>, now: T) {
    held.send_if_modified(|held| {
        let differs = **held != now;
        if differs {
            *held = Arc::new(now);
        }
        differs
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault() -> RegisterFault {
        RegisterFault {
            place: "there".to_owned(),
            done: "read",
            cause: "no answer".into(),
        }
    }

    #[tokio::test]
    async fn a_loss_takes_nothing_away_and_is_told_until_it_is_over() {
        let revoked = Revoked::from([Fingerprint::of(b"a")]);
        let names = Names::from([TunnelName::parse("edge-1.acme").unwrap()]);
        let snapshot = Snapshot { revoked, names };
        let known = Known::new(snapshot.clone());
        let (mut heard, contact) = (known.revoked(), known.contact());
        known.lost(&fault());
        known.lost(&fault());
        let Contact::Lost { why, .. } = contact.borrow().clone() else {
            panic!("it is lost");
        };
        assert_eq!(&*why, "the register there cannot be read: no answer");
        assert_eq!(**known.revoked().borrow(), snapshot.revoked);
        assert_eq!(**known.names().borrow(), snapshot.names);
        known.learn(snapshot);
        assert!(matches!(*contact.borrow(), Contact::Held));
        assert!(!heard.has_changed().unwrap(), "the same is no news");
        known.learn(Snapshot::default());
        assert!(heard.borrow_and_update().is_empty());
    }
}

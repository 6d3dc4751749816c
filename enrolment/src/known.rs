//! What a relay has in its memory of the register, so that nobody who comes has to wait for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gangplank_pki::{Fingerprint, TunnelName, WithCauses};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::register::RegisterFault;

/// After how long a loss is an error: a member of an etcd that is restarted in good order is away for less, and
/// nobody need get up for it.
const GRAVE: Duration = Duration::from_secs(5);

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
        /// When it was last heard of.
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
    /// Whether a loss was called an error already.
    is_grave: Arc<AtomicBool>,
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

    /// The register cannot be read, and was last heard of then. Said at once, and once more when it is grave.
    pub fn lost(&self, fault: &RegisterFault, heard: Instant) {
        let why = || WithCauses(fault).to_string();
        self.contact.send_if_modified(|contact| match contact {
            Contact::Lost { since, why: said } => {
                if since.elapsed() >= GRAVE && !self.is_grave.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        error = %why(),
                        seconds = since.elapsed().as_secs(),
                        "revocations cannot be followed, those that are known stay in force"
                    );
                }
                // What stood in the way at first need not be what does now.
                *said = why().into();
                true
            }
            Contact::Held => {
                let why = why();
                tracing::warn!(error = %why, "the register is lost; it is tried again");
                self.is_grave.store(false, Ordering::Relaxed);
                *contact = Contact::Lost {
                    since: heard,
                    why: why.into(),
                };
                true
            }
        });
    }

    #[cfg(test)]
    fn is_grave(&self) -> bool {
        self.is_grave.load(Ordering::Relaxed)
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
    use tokio::time::advance;

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
        known.lost(&fault(), Instant::now());
        known.lost(&fault(), Instant::now());
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
    #[tokio::test(start_paused = true)]
    async fn a_short_loss_is_no_error_and_counts_from_the_last_contact() {
        let known = Known::default();
        let heard = Instant::now();
        advance(Duration::from_secs(4)).await;
        known.lost(&fault(), heard);
        let Contact::Lost { since, .. } = known.contact().borrow().clone() else {
            panic!("it is lost");
        };
        assert_eq!(since, heard);
        known.lost(&fault(), Instant::now());
        assert!(!known.is_grave());
        advance(Duration::from_secs(1)).await;
        known.lost(&fault(), Instant::now());
        assert!(known.is_grave());
        known.held();
        known.lost(&fault(), Instant::now());
        assert!(!known.is_grave(), "another loss");
    }
}

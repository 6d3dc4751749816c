//! What is seen of renewing from outside.

use std::sync::Arc;

use gangplank_config::{KeyPair, Reloaded};
use parking_lot::Mutex;
use rustls_pki_types::UnixTime;

use super::due;

/// How renewing the agent's certificate goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalView {
    /// When the next renewal begins.
    pub due: UnixTime,
    /// Why the last attempt failed, if it did.
    pub last_fault: Option<String>,
}

/// What is seen of the renewal: the certificate of the moment, and what its task notes.
#[derive(Debug, Clone)]
pub(crate) struct RenewalNote {
    pub(crate) identity: Reloaded<KeyPair>,
    pub(crate) last_fault: Arc<Mutex<Option<String>>>,
}

impl RenewalNote {
    pub(crate) fn of(identity: Reloaded<KeyPair>) -> Self {
        Self {
            identity,
            last_fault: Arc::default(),
        }
    }

    /// The last attempt failed for this reason, or did not.
    pub(crate) fn note(&self, fault: Option<String>) {
        *self.last_fault.lock() = fault;
    }

    pub(crate) fn look(&self) -> Option<RenewalView> {
        let last_fault = self.last_fault.lock();
        Some(RenewalView {
            due: due(&self.identity.current())?,
            last_fault: last_fault.clone(),
        })
    }
}

//! What is revoked, in the memory of a relay.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gangplank_pki::{Fingerprint, WithCauses};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::register::{Register, RegisterFault};

/// The revoked certificates of agents, by SHA-256.
pub type Revoked = BTreeSet<Fingerprint>;

/// How often the register is asked whether something was revoked. A revoked tunnel is to end within a second,
/// and asking costs one read of one number.
const LOOK: Duration = Duration::from_millis(250);

/// Follows the register's revocations until `shutdown`, and gives them out. While the register cannot be
/// read what was known stays in force, which is said once: no tunnel ends for it, and none that was revoked
/// comes back.
pub async fn follow_revocations(
    register: Arc<dyn Register>,
    revoked: watch::Sender<Arc<Revoked>>,
    shutdown: CancellationToken,
) {
    let mut known = None;
    let mut readable = true;
    while shutdown.run_until_cancelled(sleep(LOOK)).await.is_some() {
        match look(&*register, known).await {
            Ok(None) => readable = true,
            Ok(Some((revision, now_revoked))) => {
                readable = true;
                known = Some(revision);
                revoked.send_if_modified(|held| {
                    let differs = **held != now_revoked;
                    if differs {
                        *held = Arc::new(now_revoked);
                    }
                    differs
                });
            }
            Err(fault) if readable => {
                readable = false;
                tracing::error!(
                    error = %WithCauses(&fault),
                    "revocations cannot be followed, those that are known stay in force"
                );
            }
            Err(_again) => {}
        }
    }
}

/// The revocations, if they are not those of revision `known`.
async fn look(
    register: &dyn Register,
    known: Option<u64>,
) -> Result<Option<(u64, Revoked)>, RegisterFault> {
    // Read before what it counts: a revocation in between costs one look too many, never one too few.
    let revision = register.revision().await?;
    if known == Some(revision) {
        return Ok(None);
    }
    Ok(Some((revision, register.revoked().await?)))
}

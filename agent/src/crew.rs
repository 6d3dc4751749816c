//! What every dialler of an agent has in common.

use std::sync::Arc;
use std::time::Duration;

use gangplank_config::{KeyPair, Reloaded};
use gangplank_pki::clock::Clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::boarding::Handoff;
use crate::dial::Endpoints;
use crate::random::Random;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Crew {
    pub(crate) endpoints: Endpoints,
    pub(crate) identity: Reloaded<KeyPair>,
    pub(crate) handoff: Arc<dyn Handoff>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Random,
    pub(crate) instance: u128,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
    pub(crate) drain_limit: Duration,
}

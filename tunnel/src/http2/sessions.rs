//! All sessions of one side, for their common end.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The drivers of one side's sessions. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions {
    pub(super) drivers: TaskTracker,
    /// This side is going away.
    pub(super) leaving: CancellationToken,
}

impl Sessions {
    /// Ends every session; their peers are told that this side is going away.
    pub(super) fn close(&self) {
        self.leaving.cancel();
        self.drivers.close();
    }

    /// Waits until every peer was told.
    pub(super) async fn wait_idle(&self) {
        self.drivers.wait().await;
    }
}

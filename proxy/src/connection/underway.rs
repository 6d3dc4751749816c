//! Which requests of a connection are under way, for what is read meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts a connection's requests from their whole head to the end of their answer.
#[derive(Debug, Default)]
pub(crate) struct Underway {
    begun: AtomicU64,
    over: AtomicU64,
}

impl Underway {
    /// A request's head is whole.
    pub(crate) fn one_begun(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// A request's answer has ended, or the request.
    pub(crate) fn one_over(&self) {
        self.over.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have begun; nothing while one of them is not over.
    pub(super) fn between(&self) -> Option<u64> {
        let begun = self.begun.load(Ordering::Relaxed);
        (begun == self.over.load(Ordering::Relaxed)).then_some(begun)
    }
}

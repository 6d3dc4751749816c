//! A number of places, which are taken and given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many places and no more. Nobody waits for one.
#[derive(Debug)]
pub(crate) struct Places {
    taken: AtomicU64,
    most: u64,
}

impl Places {
    pub(crate) const fn of(most: u64) -> Self {
        Self {
            taken: AtomicU64::new(0),
            most,
        }
    }

    /// Takes one, if one is free.
    pub(super) fn take(&self) -> bool {
        let next = |count: u64| (count < self.most).then(|| count + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.is_ok()
    }

    pub(super) fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes one that gives itself back.
    pub(crate) fn place(self: &Arc<Self>) -> Option<Place> {
        self.take().then(|| Place(Arc::clone(self)))
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

/// One of them, taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

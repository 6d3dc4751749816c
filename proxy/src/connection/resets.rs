//! Requests that their caller takes back before they are answered.
//!
//! Each has cost the API server as much as one that is answered, but leaves room for the next at once, so
//! that neither the number of streams nor anything that is awaited bounds them (rapid reset,
//! CVE-2023-44487). h2 itself counts only those that were reset before we looked at them.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::limits::{RESETS_A_SECOND, RESETS_AT_ONCE};
use crate::shares::Bucket;

/// How many a connection's caller has taken back of late.
#[derive(Debug)]
pub(super) struct Resets {
    began: Instant,
    allowed: Bucket,
    are_too_many: AtomicBool,
}

impl Resets {
    pub(super) fn none() -> Self {
        Self {
            began: Instant::now(),
            allowed: Bucket::new(RESETS_A_SECOND, RESETS_AT_ONCE),
            are_too_many: AtomicBool::new(false),
        }
    }

    /// Counts one; answers whether it is the first that is too many.
    pub(super) fn note(&self) -> bool {
        self.allowed.take(self.began.elapsed()).is_err()
            && !self.are_too_many.swap(true, Ordering::Relaxed)
    }

    pub(super) fn are_too_many(&self) -> bool {
        self.are_too_many.load(Ordering::Relaxed)
    }
}

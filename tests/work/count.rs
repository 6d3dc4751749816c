//! What a part has done until a moment, and the counting itself.

use std::path::PathBuf;

use dhat::{HeapStats, Profiler};
use serde::{Deserialize, Serialize};

/// Frames kept of an allocation's stack while only numbers are wanted; fewer are faster.
const NO_FRAMES: usize = 1;

/// Frames kept in a profile: from the allocator through the libraries up to a task of ours.
const FRAMES: usize = 64;

/// Everything a part has done since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    /// Blocks that were allocated or reallocated.
    pub(crate) blocks: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Bytes that are allocated now.
    pub(crate) held: u64,
    /// Datagrams of the tunnel, either way; an agent's alone.
    pub(crate) datagrams: u64,
}

/// Counts the allocations of this process for as long as it lives.
pub(crate) struct Counting(Option<Profiler>);

impl Counting {
    /// Begins; the numbers count from here.
    pub(crate) fn begin() -> Self {
        let profiler = Profiler::builder().testing();
        Self(Some(profiler.trim_backtraces(Some(NO_FRAMES)).build()))
    }

    /// Begins anew with stacks, which go into `file` at [`end_profile`](Self::end_profile).
    pub(crate) fn begin_profile(&mut self, file: PathBuf) {
        drop(self.0.take());
        let profiler = Profiler::builder().file_name(file);
        self.0 = Some(profiler.trim_backtraces(Some(FRAMES)).build());
    }

    /// Writes the profile and goes on without one, from nothing.
    pub(crate) fn end_profile(&mut self) {
        drop(self.0.take());
        *self = Self::begin();
    }

    /// How it stands, if it was begun; `datagrams` is the caller's to know.
    pub(crate) fn now(&self, datagrams: u64) -> Option<Count> {
        self.0.as_ref()?;
        let heap = HeapStats::get();
        Some(Count {
            blocks: heap.total_blocks,
            bytes: heap.total_bytes,
            held: u64::try_from(heap.curr_bytes).unwrap_or(u64::MAX),
            datagrams,
        })
    }
}

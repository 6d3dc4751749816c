//! What is counted.

use crate::count::Count;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Heap blocks that were allocated.
    Blocks,
    /// Heap bytes that were allocated.
    Bytes,
    /// Heap bytes that are held afterwards and were not before.
    Held,
    /// Datagrams of the tunnel, both ways.
    Datagrams,
}

/// All of them.
pub(crate) const MEASURES: [Measure; 4] = [
    Measure::Blocks,
    Measure::Bytes,
    Measure::Held,
    Measure::Datagrams,
];

impl Measure {
    /// What it is called in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Bytes => "bytes",
            Self::Held => "bytes held",
            Self::Datagrams => "datagrams",
        }
    }

    /// How much more of it there is in `after`; less, where more was freed than taken.
    pub(crate) fn between(self, before: &Count, after: &Count) -> f64 {
        let (before, after) = match self {
            Self::Blocks => (before.blocks, after.blocks),
            Self::Bytes => (before.bytes, after.bytes),
            Self::Held => (before.held, after.held),
            Self::Datagrams => (before.datagrams, after.datagrams),
        };
        #[expect(
            clippy::as_conversions,
            clippy::cast_precision_loss,
            reason = "exact up to 2^53, which no run comes near"
        )]
        let difference = after as f64 - before as f64;
        difference
    }
}

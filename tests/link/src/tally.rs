//! What became of the packets of one protocol in one direction.

use std::collections::BTreeMap;
use std::time::Duration;

/// Counts of packets; bytes are those of IP packets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Came from the sender.
    pub offered: u64,
    /// How many of each size came from the sender.
    pub sizes: BTreeMap<usize, u64>,
    /// Dropped: their protocol was refused.
    pub refused: u64,
    /// Dropped: larger than what passes.
    pub too_large: u64,
    /// Dropped: the link was cut.
    pub cut: u64,
    /// Dropped: the queue was full.
    pub overflowed: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Given to the receiver, copies included.
    pub delivered: u64,
    /// Bytes given to the receiver.
    pub delivered_bytes: u64,
    /// Copies among what was delivered.
    pub duplicated: u64,
    /// Held until others had overtaken them.
    pub overtaken: u64,
    /// How much later than due the latest was delivered: what the machine adds, not the link.
    pub latest: Duration,
}

impl Tally {
    /// How many have come that were neither dropped nor delivered yet.
    pub const fn on_the_way(&self) -> u64 {
        let dropped = self.refused + self.too_large + self.cut + self.overflowed + self.lost;
        (self.offered + self.duplicated).saturating_sub(dropped + self.delivered)
    }

    pub(crate) fn offer(&mut self, bytes: usize) {
        self.offered += 1;
        *self.sizes.entry(bytes).or_default() += 1;
    }

    pub(crate) fn deliver(&mut self, bytes: usize) {
        self.delivered += 1;
        self.delivered_bytes += u64::try_from(bytes).unwrap_or_default();
    }
}

//! What a link is like in one direction. The default is a wire that neither delays nor loses.

use std::time::Duration;

use crate::chance::Share;
use crate::packet::Protocol;

/// Bytes that may wait for a line of limited rate unless said otherwise: what 100 Mbit/s carry in 40 ms, one
/// round trip of a wide area.
const QUEUE: usize = 500_000;

/// What a link is like in one direction.
#[derive(Debug, Clone)]
pub struct Conditions {
    /// Bits of IP packets a second; without it the line is as fast as the machine, and nothing waits for it.
    pub rate: Option<u64>,
    /// Bytes that may wait for the rate, the packet that is being sent included. What finds no room is dropped.
    pub queue: usize,
    /// From the last bit's leaving to its arrival.
    pub delay: Duration,
    /// How much of what was sent does not arrive. It has had its turn on the line.
    pub loss: Share,
    /// How much arrives twice, the copy right behind.
    pub duplication: Share,
    /// What arrives behind packets that were sent later.
    pub reordering: Option<Reordering>,
    /// Larger packets vanish, and nobody is told: a black hole.
    pub largest: Option<usize>,
    /// Protocols of which nothing passes, and nobody is told.
    pub refused: Vec<Protocol>,
    /// Nothing passes, and what is on its way is lost.
    pub cut: bool,
}

/// What arrives late, and how late.
#[derive(Debug, Clone)]
pub struct Reordering {
    /// How much is overtaken.
    pub share: Share,
    /// By how many packets.
    pub overtaken_by: u32,
    /// How long it waits for them; then it arrives without having been overtaken by all.
    pub at_most: Duration,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            rate: None,
            queue: QUEUE,
            delay: Duration::ZERO,
            loss: Share::NONE,
            duplication: Share::NONE,
            reordering: None,
            largest: None,
            refused: Vec::new(),
            cut: false,
        }
    }
}

impl Conditions {
    /// A wide area: 20 ms each way, 100 Mbit/s, a queue of one round trip, and so much loss.
    pub fn wide_area(loss: Share) -> Self {
        Self {
            rate: Some(100_000_000),
            delay: Duration::from_millis(20),
            loss,
            ..Self::default()
        }
    }

    /// How long the line is busy with so many bytes.
    pub(crate) fn time_to_send(&self, bytes: usize) -> Duration {
        let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(8);
        let nanoseconds = |rate| bits.saturating_mul(1_000_000_000) / rate;
        // A rate of nothing is no rate: to cut is another condition.
        self.rate
            .filter(|rate| *rate > 0)
            .map_or(Duration::ZERO, |rate| {
                Duration::from_nanos(nanoseconds(rate))
            })
    }
}

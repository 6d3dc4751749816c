//! What loss leaves of the window. Loss by chance leaves it as it is; more than that does not, nor does a path that says it is
//! congested.

use super::model::MOST;
use super::rate::percent;
use super::round::Came;

/// Loss that is taken for chance, in hundredths of what was sent over about eight rounds, as BBR has it; and so much of one
/// round that no chance explains it.
const CHANCE: u64 = 2;
const NO_CHANCE: u64 = 10;

/// Datagrams that must be lost before either counts: of few, one is a large part. A slow path sends a hundred in eight rounds, of
/// which chance often takes three, but hardly ever ten; and where it takes one of a hundred, it takes four of forty in
/// fewer than one round of a thousand.
const STEADY_LOSS_DATAGRAMS: u64 = 10;
const SUDDEN_LOSS_DATAGRAMS: u64 = 4;

/// What is left of the window by loss beyond chance, in hundredths: as much as RFC 8511 leaves Cubic after a mark. Cubic's own 70
/// is for a queue that is full; ours is short, and loss that goes on is answered again. And the most that it gets back with a
/// round without: one in the first, two in the second, and so on, up to the eighth by which the allowance lets the rate grow.
const AFTER_LOSS: u64 = 85;
const MOST_RECOVERY: u64 = 12;

/// The bound, and what it is weighed by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ceiling {
    /// Delivered and lost of late: an eighth of each is forgotten with every round.
    delivered: u64,
    lost: u64,
    /// None when it is [`MOST`].
    bytes: u64,
    /// Rounds since without such loss.
    clean_rounds: u64,
}

/// What the window is when loss is weighed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// If nothing were to drain, under the ceiling as it is.
    pub(super) undrained: u64,
    /// Without a ceiling.
    pub(super) cruising: u64,
    /// What may always be under way.
    pub(super) least: u64,
    pub(super) datagram: u64,
    /// Whether what the round brought was sent while less was under way than fits.
    pub(super) drained: bool,
}

impl Ceiling {
    /// None.
    pub(super) const NONE: Self = Self {
        delivered: 0,
        lost: 0,
        bytes: MOST,
        clean_rounds: 0,
    };

    /// The bound.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Weighs what a round has lost; true when the path takes no more.
    pub(super) fn weigh(&mut self, came: &Came, window: &Window) -> bool {
        let fade = |sum: u64| sum.saturating_sub(sum / 8);
        self.delivered = fade(self.delivered).saturating_add(came.delivered);
        self.lost = fade(self.lost).saturating_add(came.lost);
        let beyond = |lost: u64, delivered: u64, part: u64, datagrams: u64| {
            let sent = delivered.saturating_add(lost);
            lost >= window.datagram.saturating_mul(datagrams) && lost > percent(sent, part)
        };
        let sudden = beyond(came.lost, came.delivered, NO_CHANCE, SUDDEN_LOSS_DATAGRAMS);
        let steady = beyond(self.lost, self.delivered, CHANCE, STEADY_LOSS_DATAGRAMS);
        if !(sudden || steady || came.marked) {
            self.recover(came, window);
            return false;
        }
        // Draining has made it smaller for a moment; loss would otherwise take from what is left of that for long.
        let left = percent(window.undrained, AFTER_LOSS);
        let left = if sudden && !came.app_limited {
            // What came through is what fits. Who had little to send learns nothing of that.
            left.min(came_through(came, window))
        } else {
            left
        };
        // Below what is always under way it would bound nothing, and be rounds away from doing so again; at nothing
        // it would stay there.
        *self = Self {
            bytes: left.max(window.least),
            ..Self::NONE
        };
        true
    }

    fn recover(&mut self, came: &Came, window: &Window) {
        if self.bytes >= MOST || came.app_limited {
            return;
        }
        self.clean_rounds = self.clean_rounds.saturating_add(1);
        let more = self.clean_rounds.min(MOST_RECOVERY);
        self.bytes = percent(self.bytes, more.saturating_add(100));
        if self.bytes > window.cruising.saturating_mul(2) {
            self.bytes = MOST;
        }
    }
}

/// What would have come through of a whole window: of one that was drained the part of it is known alone.
fn came_through(came: &Came, window: &Window) -> u64 {
    if !window.drained {
        return came.delivered;
    }
    let sent = came.delivered.saturating_add(came.lost);
    let part = u128::from(window.undrained).saturating_mul(u128::from(came.delivered));
    let part = part.checked_div(u128::from(sent)).unwrap_or_default();
    u64::try_from(part).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DATAGRAM: u64 = 1_250;
    const LEAST: u64 = 4 * DATAGRAM;
    const WINDOW: u64 = 500_000;

    fn window(drained: bool) -> Window {
        Window {
            undrained: WINDOW,
            cruising: WINDOW,
            least: LEAST,
            datagram: DATAGRAM,
            drained,
        }
    }

    fn came(delivered: u64, lost: u64, app_limited: bool) -> Came {
        Came {
            rate: None,
            delivered,
            lost,
            marked: false,
            trip: None,
            took: Duration::from_millis(40),
            app_limited,
        }
    }

    #[test]
    fn loss_leaves_a_part_of_what_fits_and_never_less_than_is_always_under_way() {
        for (what, delivered, lost, app_limited, drained, left) in [
            ("chance", 490_000, 3_750, false, false, MOST),
            ("more than a tenth", 400_000, 100_000, false, false, 400_000),
            (
                "little more than that",
                480_000,
                60_000,
                false,
                false,
                425_000,
            ),
            ("nearly all of it", 2_500, 500_000, false, false, LEAST),
            (
                "of who had little to send",
                10_000,
                5_000,
                true,
                false,
                425_000,
            ),
            // Half of what fits was under way, or less: what came through of that says nothing of the other half.
            ("a fifth, in a drain", 200_000, 50_000, false, true, 400_000),
            (
                "a fifth, late in a drain",
                20_000,
                5_000,
                false,
                true,
                400_000,
            ),
            ("half, in a drain", 5_000, 5_000, false, true, 250_000),
            ("nearly all, in a drain", 1_250, 248_750, false, true, LEAST),
        ] {
            let mut ceiling = Ceiling::NONE;
            let is_loss = ceiling.weigh(&came(delivered, lost, app_limited), &window(drained));
            assert_eq!(ceiling.bytes(), left, "{what}");
            assert_eq!(is_loss, left != MOST, "{what}");
        }
    }

    #[test]
    fn it_comes_back_from_the_least() {
        let mut ceiling = Ceiling::NONE;
        ceiling.weigh(&came(1, 500_000, false), &window(false));
        assert_eq!(ceiling.bytes(), LEAST);
        let rounds = (0..100).find(|_| {
            ceiling.weigh(&came(ceiling.bytes(), 0, false), &window(false));
            ceiling.bytes() == MOST
        });
        assert!(rounds.is_some(), "{ceiling:?}");
    }

    #[test]
    fn a_mark_is_answered_as_loss_is() {
        let mut ceiling = Ceiling::NONE;
        let marked = Came {
            marked: true,
            ..came(WINDOW, 0, false)
        };
        assert!(ceiling.weigh(&marked, &window(false)));
        assert_eq!(ceiling.bytes(), 425_000);
    }
}

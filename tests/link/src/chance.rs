//! Randomness that comes out the same each time: which packets are hit is known beforehand.

/// A part of all packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    per_million: u32,
}

/// All of them, as [`Share`] counts.
const MILLION: u32 = 1_000_000;

impl Share {
    /// None of them.
    pub const NONE: Self = Self { per_million: 0 };

    /// So many of a hundred.
    pub const fn percent(hundredths: u32) -> Self {
        Self::per_mille(hundredths * 10)
    }

    /// So many of a thousand.
    pub const fn per_mille(thousandths: u32) -> Self {
        Self {
            per_million: thousandths * (MILLION / 1000),
        }
    }
}

/// A seeded generator (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The one of a seed.
    pub const fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Whether the next packet is among this share.
    pub fn hits(&mut self, share: Share) -> bool {
        self.draw() % u64::from(MILLION) < u64::from(share.per_million)
    }

    const fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.state;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^ (drawn >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(seed: u64, share: Share, times: usize) -> usize {
        let mut chance = Chance::seeded(seed);
        (0..times).filter(|_| chance.hits(share)).count()
    }

    #[test]
    fn a_share_is_hit_about_so_often() {
        for (share, expected) in [
            (Share::NONE, 0),
            (Share::per_mille(1), 100),
            (Share::percent(1), 1_000),
            (Share::percent(100), 100_000),
        ] {
            let hit = hits(7, share, 100_000);
            // Six standard deviations, but the seed is fixed anyway.
            assert!(hit.abs_diff(expected) <= 200, "{share:?}: {hit}");
        }
    }

    #[test]
    fn the_seed_decides() {
        let drawn = |seed| {
            let mut chance = Chance::seeded(seed);
            (0..64)
                .map(|_| chance.hits(Share::percent(50)))
                .collect::<Vec<_>>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }
}

//! Bytes a second.

use std::time::Duration;

/// Bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rate(u64);

impl Rate {
    /// Nothing is known yet.
    pub(super) const UNKNOWN: Self = Self(0);

    /// So many bits a second.
    pub(super) const fn of_bits(bits: u64) -> Self {
        Self(bits / 8)
    }

    /// The root of how many times another rate is this one, in hundredths.
    pub(super) fn root_below(self, other: Self) -> u64 {
        let times = other.0.saturating_mul(10_000).checked_div(self.0);
        times.unwrap_or(u64::MAX).isqrt()
    }

    /// That of so many bytes in a time; `None` when no time has passed.
    pub(super) fn of(bytes: u64, time: Duration) -> Option<Self> {
        let nanoseconds = time.as_nanos();
        let scaled = u128::from(bytes).saturating_mul(1_000_000_000);
        let rate = scaled.checked_div(nanoseconds)?;
        Some(Self(u64::try_from(rate).unwrap_or(u64::MAX)))
    }

    /// Bytes that pass at this rate in a time.
    pub(super) fn bytes_in(self, time: Duration) -> u64 {
        let bytes = u128::from(self.0).saturating_mul(time.as_nanos()) / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// So many hundredths of it.
    pub(super) fn percent(self, hundredths: u64) -> Self {
        Self(percent(self.0, hundredths))
    }

    /// Whether nothing is known yet.
    pub(super) const fn is_unknown(self) -> bool {
        self.0 == 0
    }

    /// Bits a second, for who traces.
    pub(super) const fn bits(self) -> u64 {
        self.0.saturating_mul(8)
    }
}

/// So many hundredths of a number.
pub(super) fn percent(number: u64, hundredths: u64) -> u64 {
    let part = u128::from(number).saturating_mul(u128::from(hundredths)) / 100;
    u64::try_from(part).unwrap_or(u64::MAX)
}

//! How many streams the peer may have open: little at first, more as they are used.

/// A side's stream credit towards its peer. Pure: the session applies what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamCredit {
    granted: u32,
    limit: u32,
}

impl StreamCredit {
    pub(super) const fn new(granted: u32, limit: u32) -> Self {
        Self { granted, limit }
    }

    /// With `open` streams in use: the new credit, if it is time to double it. Half used is the
    /// mark, so that the peer does not have to wait for the other half.
    pub(super) fn after_use(&mut self, open: usize) -> Option<u32> {
        let half = usize::try_from(self.granted / 2).unwrap_or(usize::MAX);
        if open < half.max(1) {
            return None;
        }
        self.at_least(self.granted.saturating_mul(2))
    }

    /// The new credit, if `streams` are more than were granted.
    pub(super) fn at_least(&mut self, streams: u32) -> Option<u32> {
        let wanted = streams.min(self.limit);
        if wanted <= self.granted {
            return None;
        }
        self.granted = wanted;
        Some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_when_half_is_used_and_stops_at_the_limit() {
        let mut credit = StreamCredit::new(8, 40);
        assert_eq!(credit.after_use(3), None);
        assert_eq!(credit.after_use(4), Some(16));
        assert_eq!(credit.after_use(5), None);
        assert_eq!(credit.after_use(8), Some(32));
        assert_eq!(credit.after_use(16), Some(40));
        assert_eq!(credit.after_use(40), None);
    }

    #[test]
    fn is_never_lowered_and_never_beyond_the_limit() {
        let mut credit = StreamCredit::new(8, 40);
        assert_eq!(credit.at_least(7), None);
        assert_eq!(credit.at_least(20), Some(20));
        assert_eq!(credit.at_least(u32::MAX), Some(40));
        assert_eq!(credit.at_least(u32::MAX), None);
    }

    #[test]
    fn a_side_that_accepts_one_stream_never_grows() {
        let mut credit = StreamCredit::new(1, 1);
        assert_eq!(credit.after_use(1), None);
    }
}

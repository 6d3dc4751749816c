//! How often connections for plain reads are opened: a count and a clock.

use tokio::time::{Duration, Instant};

use crate::upstream::limits::READING_CONNECTIONS;

/// The dials of one spell. It begins with its first dial.
#[derive(Debug, Default)]
pub(super) struct Spell {
    began: Option<Instant>,
    dials: usize,
}

impl Spell {
    /// Takes one of the dials that a spell of this length has, if one is left.
    pub(super) fn take(&mut self, length: Duration) -> bool {
        if self.began.is_none_or(|began| began.elapsed() >= length) {
            *self = Self {
                began: Some(Instant::now()),
                dials: 0,
            };
        }
        let left = self.dials < READING_CONNECTIONS;
        self.dials += usize::from(left);
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_spell_has_as_many_dials_as_there_may_be_connections() {
        let length = Duration::from_secs(10);
        let mut spell = Spell::default();
        for _ in 0..2 {
            assert!((0..READING_CONNECTIONS).all(|_| spell.take(length)));
            assert!(!spell.take(length));
            tokio::time::advance(length - Duration::from_millis(1)).await;
            assert!(!spell.take(length));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
    }
}

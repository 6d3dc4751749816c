//! The sessions to one relay that have not ended: the newest, and older ones that somebody is still on board of.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// Sessions that one relay may have standing at a time. An honest relay ends a session when its last caller
/// has left, and one that drains or is renewed beside seldom has three. A relay that drains each session at
/// once and ends none would otherwise gather two a minute for ever.
const MOST: usize = 64;

/// The sessions to one relay.
#[derive(Debug)]
pub(crate) struct Moorings<S: ?Sized>(Mutex<VecDeque<Weak<S>>>);

impl<S: ?Sized> Default for Moorings<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S: ?Sized> Moorings<S> {
    /// Another one stands. Answers the oldest when they are too many: it is to be ended.
    pub(crate) fn add(&self, session: &Arc<S>) -> Option<Arc<S>> {
        let mut standing = self.0.lock();
        standing.retain(|session| session.strong_count() > 0);
        standing.push_back(Arc::downgrade(session));
        if standing.len() <= MOST {
            return None;
        }
        standing.pop_front()?.upgrade()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_session_goes_when_a_relay_ends_none() {
        let moorings = Moorings::default();
        let sessions: Vec<Arc<usize>> = (0..MOST + 3).map(Arc::new).collect();
        let ended: Vec<_> = sessions.iter().map(|it| moorings.add(it)).collect();
        let ended: Vec<usize> = ended.into_iter().flatten().map(|it| *it).collect();
        assert_eq!(ended, [0, 1, 2]);
    }

    #[test]
    fn sessions_that_have_ended_leave_their_place() {
        let moorings = Moorings::default();
        let oldest = Arc::new(0);
        assert_eq!(moorings.add(&oldest), None);
        for number in 0..10 * MOST {
            assert_eq!(moorings.add(&Arc::new(number)), None);
        }
    }
}

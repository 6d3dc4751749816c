//! Which HTTP/2 connections there are and how many of their streams are taken: arithmetic only.

use std::time::Duration;

use tokio::time::Instant;

use crate::upstream::h2_connection::{Sender, StreamLimit};
use crate::upstream::limits::RESERVE_DIVISOR;

/// A connection that may have ceased to take requests.
pub(super) trait Usable: Clone {
    /// Whether a request may still be given to it, as far as is known.
    fn is_usable(&self) -> bool;
}

impl Usable for Sender {
    fn is_usable(&self) -> bool {
        !self.is_closed()
    }
}

/// Names one connection for as long as the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemberId(u64);

/// The connections, the oldest first.
#[derive(Debug)]
pub(super) struct Roster<C> {
    members: Vec<Member<C>>,
    next: u64,
}

#[derive(Debug)]
struct Member<C> {
    id: MemberId,
    connection: C,
    limit: StreamLimit,
    used: usize,
    idle_since: Instant,
}

impl<C: Usable> Roster<C> {
    pub(super) const fn new() -> Self {
        Self {
            members: Vec::new(),
            next: 0,
        }
    }

    pub(super) fn admit(&mut self, connection: C, limit: StreamLimit) -> MemberId {
        let id = MemberId(self.next);
        self.next += 1;
        let idle_since = Instant::now();
        self.members.push(Member {
            id,
            connection,
            limit,
            used: 0,
            idle_since,
        });
        id
    }

    pub(super) const fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn any_usable(&self) -> bool {
        self.members
            .iter()
            .any(|member| member.connection.is_usable())
    }

    /// Takes a place on the oldest connection that has one: so the younger ones become idle, and are
    /// closed, when there is less to do.
    pub(super) fn take(&mut self) -> Option<(MemberId, C)> {
        let member = self.members.iter_mut().find(|member| member.free() > 0)?;
        member.used += 1;
        Some((member.id, member.connection.clone()))
    }

    /// Gives a place back.
    pub(super) fn release(&mut self, id: MemberId) {
        if let Some(member) = self.members.iter_mut().find(|member| member.id == id) {
            member.used = member.used.saturating_sub(1);
            member.idle_since = Instant::now();
        }
    }

    /// Offers no more places of this connection; those that are taken stay so.
    pub(super) fn retire(&mut self, id: MemberId) {
        self.members.retain(|member| member.id != id);
    }

    /// Retires a connection that nobody has used for `limit`.
    pub(super) fn retire_if_idle(&mut self, id: MemberId, limit: Duration) {
        self.members.retain(|member| {
            member.id != id || member.used > 0 || member.idle_since.elapsed() < limit
        });
    }

    /// Whether so few places are free that another connection should be opened in advance.
    pub(super) fn runs_short(&self) -> bool {
        let Some(last) = self.members.last() else {
            return false;
        };
        let free: usize = self.members.iter().map(Member::free).sum();
        free < (last.limit.now() / RESERVE_DIVISOR).max(1)
    }
}

impl<C: Usable> Member<C> {
    fn free(&self) -> usize {
        if self.connection.is_usable() {
            self.limit.now().saturating_sub(self.used)
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Usable for bool {
        fn is_usable(&self) -> bool {
            *self
        }
    }

    #[test]
    fn the_oldest_connection_is_filled_first_and_never_beyond_its_limit() {
        let mut roster = Roster::new();
        let first = roster.admit(true, StreamLimit::new(2));
        let second = roster.admit(true, StreamLimit::new(1));
        let taken: Vec<_> = std::iter::from_fn(|| roster.take())
            .map(|(id, _)| id)
            .collect();
        assert_eq!(taken, [first, first, second]);
        roster.release(first);
        assert_eq!(roster.take().unwrap().0, first);
        assert!(roster.take().is_none());
    }

    #[test]
    fn a_limit_above_ours_is_not_used_up() {
        let mut roster = Roster::new();
        roster.admit(true, StreamLimit::new(usize::MAX));
        assert_eq!(std::iter::from_fn(|| roster.take()).count(), 100);
    }

    #[test]
    fn closed_and_retired_connections_have_no_places() {
        let mut roster = Roster::new();
        roster.admit(false, StreamLimit::new(5));
        let second = roster.admit(true, StreamLimit::new(5));
        assert_eq!(roster.take().unwrap().0, second);
        roster.retire(second);
        assert!(roster.take().is_none());
        assert!(!roster.any_usable());
        // The place that was taken is given back to nobody.
        roster.release(second);
        assert!(roster.take().is_none());
    }

    #[test]
    fn one_eighth_is_kept_in_reserve() {
        let mut roster = Roster::new();
        roster.admit(true, StreamLimit::new(100));
        let mut taken = 0;
        while !roster.runs_short() {
            roster.take().unwrap();
            taken += 1;
        }
        assert_eq!(taken, 89);
        roster.admit(true, StreamLimit::new(100));
        assert!(!roster.runs_short());
    }

    #[test]
    fn a_server_with_one_stream_a_connection_always_has_a_spare_one() {
        let mut roster = Roster::new();
        roster.admit(true, StreamLimit::new(1));
        assert!(!roster.runs_short());
        roster.take().unwrap();
        assert!(roster.runs_short());
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_idle_for_long_enough_is_retired() {
        let limit = Duration::from_secs(60);
        let mut roster = Roster::new();
        let busy = roster.admit(true, StreamLimit::new(1));
        let idle = roster.admit(true, StreamLimit::new(1));
        roster.take().unwrap();
        tokio::time::advance(limit / 2).await;
        roster.retire_if_idle(idle, limit);
        assert_eq!(roster.len(), 2);
        tokio::time::advance(limit / 2).await;
        roster.retire_if_idle(idle, limit);
        roster.retire_if_idle(busy, limit);
        assert_eq!(roster.len(), 1);
        roster.release(busy);
        roster.retire_if_idle(busy, limit);
        assert_eq!(roster.len(), 1, "it has been idle for no time yet");
    }
}

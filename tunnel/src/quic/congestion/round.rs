//! A round trip: it ends with the acknowledgement of a packet that was sent within it.

use std::time::Duration;

use super::rate::Rate;

/// The round that is on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    began: Duration,
    /// When the newest packet was sent that is acknowledged, now and when the round began.
    newest: Duration,
    newest_before: Duration,
    delivered: u64,
    lost: u64,
    marked: bool,
    trip: Option<Duration>,
    app_limited: bool,
}

/// What a round came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    /// What was delivered in it, a second; unknown for a moment's round.
    pub(super) rate: Option<Rate>,
    pub(super) delivered: u64,
    pub(super) lost: u64,
    /// Whether the path has said that it is congested (ECN).
    pub(super) marked: bool,
    /// Its shortest round trip.
    pub(super) trip: Option<Duration>,
    /// How long it was.
    pub(super) took: Duration,
    /// Whether there was nothing to send at times: then the path could have carried more.
    pub(super) app_limited: bool,
}

impl Round {
    /// A packet is acknowledged.
    pub(super) fn acknowledge(&mut self, now: Duration, sent: Duration, bytes: u64) {
        self.delivered = self.delivered.saturating_add(bytes);
        self.newest = self.newest.max(sent);
        let trip = now.saturating_sub(sent);
        self.trip = Some(self.trip.map_or(trip, |known| known.min(trip)));
    }

    /// Bytes are lost.
    pub(super) const fn lose(&mut self, bytes: u64) {
        self.lost = self.lost.saturating_add(bytes);
    }

    /// The path says that it is congested.
    pub(super) const fn mark(&mut self) {
        self.marked = true;
    }

    /// When the newest packet was sent that is acknowledged.
    pub(super) const fn newest(&self) -> Duration {
        self.newest
    }

    /// A batch of acknowledgements is complete. Answers what the round came to, if this ends it.
    pub(super) fn end(&mut self, now: Duration, app_limited: bool) -> Option<Came> {
        self.app_limited |= app_limited;
        if self.delivered == 0 || self.newest < self.began {
            return None;
        }
        let took = now.saturating_sub(self.began);
        // Acknowledgements that were held up come in a bunch; what they acknowledge was sent over a longer time.
        let sent_over = self.newest.saturating_sub(self.newest_before);
        let came = Came {
            rate: Rate::of(self.delivered, took.max(sent_over)),
            delivered: self.delivered,
            lost: self.lost,
            marked: self.marked,
            trip: self.trip,
            took,
            app_limited: self.app_limited,
        };
        *self = Self {
            began: now,
            newest: self.newest,
            newest_before: self.newest,
            app_limited,
            ..Self::default()
        };
        Some(came)
    }
}

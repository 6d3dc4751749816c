//! What a request asks for.

use crate::clock::nanoseconds;

/// The kinds of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// A small object.
    Small,
    /// A body of so many bytes.
    Bytes(u64),
    /// Events until the caller leaves.
    Watch(Rhythm),
    /// Larger events until the caller leaves, without a pause.
    Busy,
    /// To take a body, whose length is answered.
    Taking,
    /// How many bytes of large bodies and busy watches were written so far.
    Written,
    /// An upgraded stream that echoes.
    Echo,
}

/// When the events of a watch come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rhythm {
    /// Milliseconds from one to the next; 0: none ever comes.
    period: u64,
    /// Milliseconds after each whole period of the clock, so that watches take turns.
    phase: u64,
    /// Whether one comes at once, whatever the period.
    pub(super) first: bool,
}

impl Asked {
    /// By the target's query.
    pub(super) fn by(target: &str) -> Self {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let value = |wanted: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find_map(|(name, value)| (name == wanted).then_some(value))
        };
        let number = |name| value(name).and_then(|text| text.parse().ok());
        if let Some(bytes) = number("bytes") {
            Self::Bytes(bytes)
        } else if value("busy").is_some() {
            Self::Busy
        } else if value("taking").is_some() {
            Self::Taking
        } else if value("written").is_some() {
            Self::Written
        } else if value("watch").is_some() {
            Self::Watch(Rhythm {
                period: number("period").unwrap_or_default(),
                phase: number("phase").unwrap_or_default(),
                first: value("first").is_some(),
            })
        } else if value("command").is_some() {
            Self::Echo
        } else {
            Self::Small
        }
    }
}

impl Rhythm {
    /// Waits until the next event is due. For ever, when none is.
    pub(super) async fn next(self) {
        let Some(now) = (nanoseconds() / 1_000_000).checked_rem(self.period) else {
            return std::future::pending().await;
        };
        let wait = (self.phase % self.period + self.period - now - 1) % self.period + 1;
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
    }
}

/// What an event holds besides its frame: a small Pod's worth.
const SMALL_EVENT: usize = 200;

/// What a busy watch's event holds: a Pod as kubectl shows it.
const BUSY_EVENT: usize = 4000;

/// An event: a line that says when it was written.
pub(super) fn event() -> String {
    event_of(SMALL_EVENT)
}

/// An event of a busy watch.
pub(super) fn busy_event() -> String {
    event_of(BUSY_EVENT)
}

fn event_of(length: usize) -> String {
    let padding = "x".repeat(length);
    format!(
        "{{\"type\":\"MODIFIED\",\"at\":\"{:020}\",\"object\":\"{padding}\"}}\n",
        nanoseconds()
    )
}

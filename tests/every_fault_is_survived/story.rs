//! What a fault was like: when it was noticed, when callers were served again, what ended and what went on. One shape for
//! all of them, and one row of the table.

use std::fmt;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

use super::ledger::{Entry, How, Kind, seconds};
use crate::support::gangplank;

/// The table's head.
pub(super) const HEAD: &str = "| fault | noticed after | served again after | what ended | what went on |\n|---|---|---|---|---|";

/// A moment, as this process and as the log of another has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) at: Instant,
    clock: SystemTime,
}

impl Mark {
    /// Now.
    pub(super) fn now() -> Self {
        Self {
            at: Instant::now(),
            clock: SystemTime::now(),
        }
    }
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) fault: String,
    pub(super) noticed: String,
    pub(super) back: String,
    pub(super) ended: String,
    pub(super) went_on: String,
    /// What must not have been.
    pub(super) wrongs: Vec<String>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fault,
            noticed,
            back,
            ended,
            went_on,
            wrongs: _,
        } = self;
        write!(f, "| {fault} | {noticed} | {back} | {ended} | {went_on} |")
    }
}

/// From the fault until it was over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) struck: Mark,
    pub(super) mended: Mark,
}

impl Stretch {
    /// When the first event of that kind was logged from the fault on, and the reason that stands there.
    fn first(&self, log: &str, message: &str) -> Option<(Duration, String)> {
        gangplank::events(log).into_iter().find_map(|event| {
            let logged = OffsetDateTime::parse(event["timestamp"].as_str()?, &Rfc3339).ok()?;
            let after = logged - OffsetDateTime::from(self.struck.clock);
            let hit = event["message"] == message && after.is_positive();
            let reason = event["reason"].as_str().unwrap_or_default().to_owned();
            hit.then(|| (after.unsigned_abs(), reason))
        })
    }

    /// Who noticed when that the tunnel is gone, by what they logged.
    pub(super) fn noticed(&self, relay: &str, agent: &str) -> String {
        let sides = [
            ("relay", self.first(relay, "tunnel withdrawn")),
            ("agent", self.first(agent, "tunnel down")),
        ];
        let told: Vec<_> = sides
            .into_iter()
            .filter_map(|(side, noticed)| {
                let (after, reason) = noticed?;
                Some(format!("{side} {} ({reason})", seconds(after)))
            })
            .collect();
        if told.is_empty() {
            return "the tunnel stood".to_owned();
        }
        told.join(", ")
    }

    /// How long after the end of the fault the first caller was served who came anew.
    pub(super) fn back(&self, entries: &[Entry]) -> Option<Duration> {
        let served = entries.iter().filter(|entry| {
            entry.kind == Kind::New && entry.how == How::Served && entry.ended >= self.mended.at
        });
        let first = served.map(|entry| entry.ended).min()?;
        Some(first - self.mended.at)
    }

    /// What ended with an error that had begun before the fault was over.
    pub(super) fn ended(&self, entries: &[Entry]) -> String {
        let hit: Vec<_> = entries
            .iter()
            .filter(|it| it.ended >= self.struck.at && it.begun <= self.mended.at)
            .filter(|it| it.how != How::Served)
            .collect();
        let count = |kinds: &[Kind]| hit.iter().filter(|it| kinds.contains(&it.kind)).count();
        let ran = |it: &&&Entry| it.begun < self.struck.at;
        let last = hit.iter().filter(ran).map(|it| it.ended).max();
        let mut told: Vec<_> = [
            ("watches", count(&[Kind::Watch])),
            ("requests", count(&[Kind::Get, Kind::Body])),
            ("POSTs", count(&[Kind::Post])),
            ("new callers", count(&[Kind::New])),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{count} {what}"))
        .collect();
        if told.is_empty() {
            return "nothing".to_owned();
        }
        if let Some(last) = last {
            told.push(format!(
                "what ran within {}",
                seconds(last - self.struck.at)
            ));
        }
        told.join(", ")
    }

    /// What had begun before it and was there after it, and how long the slowest answer of the time took.
    pub(super) fn went_on(&self, entries: &[Entry]) -> String {
        let watches: Vec<_> = entries
            .iter()
            .filter(|it| it.kind == Kind::Watch && it.begun < self.struck.at)
            .filter(|it| it.ended >= self.struck.at)
            .collect();
        let on = watches.iter().filter(|it| it.how == How::Served).count();
        let slowest = entries
            .iter()
            .filter(|it| it.kind != Kind::Watch && it.how == How::Served)
            .filter(|it| it.ended >= self.struck.at && it.begun <= self.mended.at)
            .map(|it| it.ended - it.begun)
            .max();
        let slowest = slowest.map_or(String::new(), |slowest| {
            format!("; the slowest answer took {}", seconds(slowest))
        });
        format!("{on} of {} watches{slowest}", watches.len())
    }
}

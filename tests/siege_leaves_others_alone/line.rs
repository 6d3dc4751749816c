//! One line of the table: an attack, and what it was like for the victim and for the path.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::victim::Window;

/// Above this the same victim is measured beside a control.
pub(super) const WORTH_A_CONTROL: f64 = 2.0;

/// What a process held, in KiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) before: u64,
    pub(super) peak: u64,
    pub(super) after: u64,
}

impl Memory {
    /// The same, and what was left after a further time.
    pub(super) const fn followed_by(self, later: Self) -> Self {
        Self {
            after: later.after,
            ..self
        }
    }
}

/// The line.
pub(super) struct Line {
    pub(super) case: &'static str,
    pub(super) attack: &'static str,
    pub(super) size: &'static str,
    pub(super) became: String,
    pub(super) before: Window,
    pub(super) during: Window,
    pub(super) after: Window,
    pub(super) control: Option<Window>,
    pub(super) relay: Option<Memory>,
    pub(super) exit: Memory,
    /// Cores that the path used for the attack, without what the victim cost before.
    pub(super) cores: f64,
}

/// What stands above the lines.
pub(super) const HEAD: &str = "\
| attack | size | what became of it | p50, p99 before | during | p99 ratio | control | p99 after | new: p99 before, during | relay MiB | exit MiB | cores |\n\
|---|---|---|---|---|---|---|---|---|---|---|---|";

impl Line {
    /// How many times as long as before.
    pub(super) fn ratio(&self) -> f64 {
        self.during.p99.as_secs_f64() / self.before.p99.as_secs_f64()
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let control = self
            .control
            .as_ref()
            .map(|control| control.p99.as_secs_f64() / self.before.p99.as_secs_f64());
        write!(
            f,
            "| {} {} | {} | {} | {}, {} | {}, {} | {:.1} | {} | {} | {}, {} | {} | {} | {:.1} |",
            self.case,
            self.attack,
            self.size,
            self.became,
            ms(self.before.p50),
            ms(self.before.p99),
            ms(self.during.p50),
            ms(self.during.p99),
            self.ratio(),
            control.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}")),
            ms(self.after.p99),
            ms(self.before.newcomers_p99),
            ms(self.during.newcomers_p99),
            self.relay
                .map_or_else(|| "-".to_owned(), |memory| memory.to_string()),
            self.exit,
            self.cores,
        )
    }
}

impl Display for Memory {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mib = |kib: u64| kib.div_ceil(1024);
        write!(
            f,
            "{}, {}, {}",
            mib(self.before),
            mib(self.peak),
            mib(self.after)
        )
    }
}

fn ms(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e3)
}

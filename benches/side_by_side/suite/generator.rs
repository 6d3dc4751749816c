//! The load generator as the suite sees it.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::attendant::Attendant;
use crate::load::{DONE_WITHIN, End, GO, Job, Outcome, READY};

/// How long connecting may take: thousands of handshakes through a slow tunnel.
const CONNECTING: Duration = Duration::from_secs(90);

/// How long the generator may take to count after its window.
const COUNTING: Duration = Duration::from_secs(30);

/// A generator with a job. Dropping it ends it.
pub(super) struct Generator {
    attendant: Attendant,
    /// How long its window may last.
    window: Duration,
}

impl Generator {
    /// Starts it and waits until it is warm.
    pub(super) fn warm(job: &Job) -> anyhow::Result<Self> {
        let mut attendant = Attendant::start("load")?;
        attendant.say(&serde_json::to_string(job)?)?;
        let warm = Duration::from_millis(job.warm_ms);
        let answer = attendant.hear(CONNECTING + warm)?;
        ensure!(answer == READY, "the load generator: {answer}");
        Ok(Self {
            attendant,
            window: match job.load.end() {
                End::Done => DONE_WITHIN,
                End::Clock | End::Word => Duration::from_millis(job.window_ms),
            },
        })
    }

    /// The window begins.
    pub(super) fn go(&mut self) -> anyhow::Result<()> {
        self.attendant.say(GO)
    }

    /// What came of it, after the window. A generator that holds watches is told to let go.
    pub(super) fn outcome(&self) -> anyhow::Result<Outcome> {
        let answer = self.attendant.hear(self.window + COUNTING)?;
        serde_json::from_str(&answer).with_context(|| format!("the load generator: {answer}"))
    }

    /// Lets go of what is held.
    pub(super) fn release(&mut self) -> anyhow::Result<()> {
        self.attendant.say("end")
    }
}

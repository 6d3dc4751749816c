//! The load generator as the suite sees it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::load::{DONE_WITHIN, End, GO, Job, Outcome, READY};

/// How long connecting may take: thousands of handshakes through a slow tunnel.
const CONNECTING: Duration = Duration::from_secs(90);

/// How long the generator may take to count after its window.
const COUNTING: Duration = Duration::from_secs(30);

/// A generator with a job. Dropping it ends it.
pub(super) struct Generator {
    child: Child,
    words: ChildStdin,
    answers: Receiver<String>,
    /// How long its window may last.
    window: Duration,
}

impl Generator {
    /// Starts it and waits until it is warm.
    pub(super) fn warm(job: &Job) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("load")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let words = child.stdin.take().context("a pipe")?;
        let output = BufReader::new(child.stdout.take().context("a pipe")?);
        let (said, answers) = sync_channel(4);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        let mut generator = Self {
            child,
            words,
            answers,
            window: match job.load.end() {
                End::Done => DONE_WITHIN,
                End::Clock | End::Word => Duration::from_millis(job.window_ms),
            },
        };
        generator.say(&serde_json::to_string(job)?)?;
        let warm = Duration::from_millis(job.warm_ms);
        let answer = generator.hear(CONNECTING + warm)?;
        ensure!(answer == READY, "the load generator: {answer}");
        Ok(generator)
    }

    /// The window begins.
    pub(super) fn go(&mut self) -> anyhow::Result<()> {
        self.say(GO)
    }

    /// What came of it, after the window. A generator that holds watches is told to let go.
    pub(super) fn outcome(&self) -> anyhow::Result<Outcome> {
        let answer = self.hear(self.window + COUNTING)?;
        serde_json::from_str(&answer).with_context(|| format!("the load generator: {answer}"))
    }

    /// Lets go of what is held.
    pub(super) fn release(&mut self) -> anyhow::Result<()> {
        self.say("end")
    }

    fn say(&mut self, word: &str) -> anyhow::Result<()> {
        writeln!(self.words, "{word}").context("the load generator has ended")
    }

    fn hear(&self, limit: Duration) -> anyhow::Result<String> {
        let heard = self.answers.recv_timeout(limit);
        heard.context("the load generator says nothing")
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

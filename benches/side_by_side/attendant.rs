//! A role of this program as the suite sees it: it is told lines, and answers with lines.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::Context as _;

/// A role in a process of its own. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Attendant {
    role: &'static str,
    child: Child,
    words: ChildStdin,
    answers: Receiver<String>,
}

impl Attendant {
    /// Starts it.
    pub(crate) fn start(role: &'static str) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(role)
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
        Ok(Self {
            role,
            child,
            words,
            answers,
        })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it a line.
    pub(crate) fn say(&mut self, word: &str) -> anyhow::Result<()> {
        writeln!(self.words, "{word}").with_context(|| format!("`{}` has ended", self.role))
    }

    /// Its next line.
    pub(crate) fn hear(&self, limit: Duration) -> anyhow::Result<String> {
        let heard = self.answers.recv_timeout(limit);
        heard.with_context(|| format!("`{}` says nothing", self.role))
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

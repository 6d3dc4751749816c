//! Ends what the suite leaves behind, however the suite itself came to its end.
//!
//! The suite tells it on standard input which process groups it has started (`+PID`) and ended (`-PID`). When
//! that input ends, the suite is gone, and the groups that are left are killed. It is a group of its own, so
//! that Ctrl-C does not reach it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, Write as _, stdin};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use anyhow::Context as _;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};

/// The role: reads until the end, then kills.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut groups = BTreeSet::new();
    for line in stdin().lock().lines() {
        let line = line?;
        let number = |text: &str| text.parse::<i32>().ok().and_then(Pid::from_raw);
        if let Some(group) = line.strip_prefix('+').and_then(number) {
            groups.insert(group.as_raw_nonzero());
        } else if let Some(group) = line.strip_prefix('-').and_then(number) {
            groups.remove(&group.as_raw_nonzero());
        }
    }
    for group in groups {
        if let Some(group) = Pid::from_raw(group.get()) {
            // It may have ended by itself meanwhile.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
    Ok(())
}

/// The suite's end of it.
#[derive(Debug, Clone)]
pub(crate) struct Watchdog {
    words: Arc<Mutex<ChildStdin>>,
}

impl Watchdog {
    /// Starts it. It ends when the last clone of this is dropped, at the latest with this process.
    pub(crate) fn start() -> anyhow::Result<(Self, Child)> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("watchdog")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("the watchdog does not start")?;
        let words = child.stdin.take().context("a pipe")?;
        let watchdog = Self {
            words: Arc::new(Mutex::new(words)),
        };
        Ok((watchdog, child))
    }

    /// A group was started.
    pub(crate) fn started(&self, group: u32) {
        self.say(&format!("+{group}\n"));
    }

    /// A group was ended.
    pub(crate) fn ended(&self, group: u32) {
        self.say(&format!("-{group}\n"));
    }

    fn say(&self, word: &str) {
        // Without a watchdog the suite still ends its own children.
        drop(self.words.lock().write_all(word.as_bytes()));
    }
}

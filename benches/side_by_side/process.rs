//! Programs of a stack as processes: started in groups of their own, ended by their number, and what they use.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::clock::nanoseconds;
use crate::watchdog::Watchdog;

mod peak;
mod sockets;

pub(crate) use peak::{Peak, Watermark};
pub(crate) use sockets::connections_to;

/// How long a program may take to end after SIGTERM.
const PATIENCE_NS: u64 = 3_000_000_000;

/// After so long it hears a second SIGTERM: Gangplank then ends at once instead of waiting until load
/// balancers have noticed, and nothing of a run is worth waiting for.
const INSISTING_NS: u64 = 100_000_000;

/// A running program. Dropping it ends it and what it has started.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    command: Command,
    name: String,
    log: PathBuf,
    watchdog: Watchdog,
    begun: u64,
}

impl Process {
    /// Starts a program; what it says goes to a file.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        log: &Path,
        watchdog: &Watchdog,
    ) -> anyhow::Result<Self> {
        let output = File::create(log).with_context(|| log.display().to_string())?;
        let begun = nanoseconds();
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("{name} does not start"))?;
        watchdog.started(child.id());
        Ok(Self {
            child,
            command,
            name: name.to_owned(),
            log: log.to_owned(),
            watchdog: watchdog.clone(),
            begun,
        })
    }

    /// Ends it without a chance to say anything, and starts it again as before.
    pub(crate) fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::KILL);
        self.child.wait()?;
        self.watchdog.ended(self.child.id());
        self.begun = nanoseconds();
        let restarted = self.command.spawn();
        self.child = restarted.with_context(|| format!("{} does not start again", self.name))?;
        self.watchdog.started(self.child.id());
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // It may have ended by itself.
            let _gone = kill_process_group(group, signal);
        }
    }

    /// When it was started, by the one clock of a run.
    pub(crate) const fn begun(&self) -> u64 {
        self.begun
    }

    /// What it is called in its stack.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said last, if it has ended by itself.
    pub(crate) fn last_words(&mut self) -> Option<String> {
        if self.lives() {
            return None;
        }
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let last = said.lines().last().unwrap_or("nothing");
        Some(format!("{} has ended, and said: {last}", self.name))
    }

    /// Whether it still runs.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let begun = nanoseconds();
        let mut insisted = false;
        while self.lives() && nanoseconds() - begun < PATIENCE_NS {
            if !insisted && nanoseconds() - begun > INSISTING_NS {
                self.signal(Signal::TERM);
                insisted = true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.signal(Signal::KILL);
        drop(self.child.wait());
        self.watchdog.ended(self.child.id());
    }
}

/// Memory of some processes and all that they started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Resident, shared pages divided among those that share them.
    pub(crate) pss_kib: f64,
}

impl Process {
    /// What is resident of it and all that it started, shared pages counted each time.
    pub(crate) fn resident_kib(&self) -> f64 {
        peak::resident(self.pid())
    }
}

/// CPU time in seconds of processes and all that they started, ended ones included.
pub(crate) fn cpu_seconds(pids: &[u32]) -> f64 {
    let stats = all_stats();
    let ticks: u64 = family(pids, &stats)
        .iter()
        .filter_map(|pid| stats.get(pid))
        .map(|stat| stat.ticks)
        .sum();
    seconds(ticks)
}

/// CPU time of this process.
pub(crate) fn cpu_of_this() -> anyhow::Result<f64> {
    let stat = stat(std::process::id()).context("no /proc")?;
    Ok(seconds(stat.ticks))
}

fn seconds(ticks: u64) -> f64 {
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "ticks of some minutes"
    )]
    let (ticks, rate) = (ticks as f64, rustix::param::clock_ticks_per_second() as f64);
    ticks / rate
}

/// Memory of processes and all that they started.
pub(crate) fn memory(pids: &[u32]) -> Memory {
    let stats = all_stats();
    let mut memory = Memory::default();
    for pid in family(pids, &stats) {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        memory.pss_kib += kib.unwrap_or_default();
    }
    memory
}

/// What of `/proc/PID/stat` is looked at.
#[derive(Debug, Clone, Copy)]
struct Stat {
    parent: u32,
    ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold blanks and brackets.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    // utime, stime, and those of children that were waited for: fields 14 to 17 of proc(5).
    let ticks = fields.get(11..15)?.iter();
    let ticks: Option<u64> = ticks.map(|field| field.parse::<u64>().ok()).sum();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks: ticks?,
    })
}

fn all_stats() -> BTreeMap<u32, Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect()
}

/// The processes and all below them.
fn family(pids: &[u32], stats: &BTreeMap<u32, Stat>) -> Vec<u32> {
    let mut found = pids.to_vec();
    let mut looked_at = 0;
    while let Some(parent) = found.get(looked_at).copied() {
        let children = stats.iter().filter(|(_, stat)| stat.parent == parent);
        found.extend(children.map(|(pid, _)| *pid));
        looked_at += 1;
    }
    found
}

//! A whole run: rows one after the other, and within a row the stacks in turns, round by round.

use std::collections::BTreeMap;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Wanted;
use crate::load::probe;
use crate::process::Process;
use crate::report::{Line, Report};
use crate::row::{ROWS, Row};
use crate::site::Site;
use crate::stack::{Kind, Running, STACKS, Stack};

mod generator;
mod measure;

pub(crate) use measure::Sample;
use measure::{Pace, measure};

/// How often a new stack is asked whether it carries a request yet, and how long between.
const PROBES: u32 = 400;
const PROBE_PAUSE_MS: u64 = 50;

/// The suite's role.
pub(crate) fn run(wanted: &Wanted) -> anyhow::Result<()> {
    let rows: Vec<&Row> = ROWS
        .iter()
        .filter(|row| named(&wanted.rows, row.id))
        .collect();
    let stacks = chosen(wanted, &rows);
    if wanted.list {
        for row in rows {
            println!("{:<12}{}", row.id, row.what);
        }
        return Ok(());
    }
    raise_file_limit()?;
    let (site, mut dog) = Site::prepare(wanted.folder.as_deref())?;
    let pace = Pace::of(wanted);
    println!("{}\n{}", machine(), pace.in_words());
    let mut report = Report::default();
    {
        let mut fleet = Fleet::new(&site);
        for row in rows {
            let field: Vec<&Stack> = stacks.iter().copied().filter(|s| row.is_for(s)).collect();
            report.extend(take_turns(row, &field, &mut fleet, &pace));
        }
    }
    drop(site);
    dog.wait()?;
    report.print();
    report.write(&wanted.json)
}

fn named(wanted: &[String], name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)
}

/// The stacks that can be had; says which cannot.
fn chosen(wanted: &Wanted, rows: &[&Row]) -> Vec<&'static Stack> {
    let needed = |stack: &&Stack| {
        named(&wanted.stacks, stack.name) && rows.iter().any(|row| row.is_for(stack))
    };
    let mut found = Vec::new();
    let mut told = Vec::new();
    for stack in STACKS.iter().filter(needed) {
        match stack.versions() {
            Err(missing) => println!("left out: {} (no `{missing}` on this machine)", stack.name),
            Ok(_) if wanted.quick && !stack.quick && wanted.stacks.is_empty() => {
                println!("left out: {} (a quick run)", stack.name);
            }
            Ok(versions) => {
                told.extend(versions);
                found.push(stack);
            }
        }
    }
    told.sort_unstable();
    told.dedup();
    for version in told {
        println!("with {version}");
    }
    found
}

/// What the figures are of.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let mut lines = processor.lines().filter_map(|line| line.split_once(':'));
    let model = lines.find(|(name, _)| name.trim() == "model name");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "gangplank {} on {} cores of {}, Linux {}",
        env!("CARGO_PKG_VERSION"),
        cores,
        model.map_or("an unknown processor", |(_, model)| model.trim()),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

/// Thousands of connections are thousands of files, here and in all that is started from here.
fn raise_file_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("the limit of open files")
}

/// Measures a row: every stack once in each round.
fn take_turns(
    row: &Row,
    stacks: &[&'static Stack],
    fleet: &mut Fleet<'_>,
    pace: &Pace,
) -> Vec<Line> {
    if stacks.is_empty() {
        return Vec::new();
    }
    println!("\n{}: {}", row.id, row.what);
    let mut lines: Vec<Line> = stacks.iter().map(|stack| Line::new(row, stack)).collect();
    let upstream = fleet.site.upstream_pid();
    for _round in 0..pace.rounds {
        for (stack, line) in stacks.iter().zip(&mut lines) {
            let sample = fleet
                .ready(stack, row)
                .and_then(|running| measure(row, running, upstream, pace));
            if let Some(broken) = line.add(sample) {
                println!("  {} does not count: {broken}", stack.name);
                // It may be left in any state.
                fleet.end(stack);
            }
        }
    }
    for line in &lines {
        println!("  {}", line.in_words());
    }
    lines
}

/// The stacks that run. All stay up between their turns, idle.
struct Fleet<'s> {
    site: &'s Site,
    running: BTreeMap<&'static str, Running>,
}

impl<'s> Fleet<'s> {
    fn new(site: &'s Site) -> Self {
        Self {
            site,
            running: BTreeMap::new(),
        }
    }

    /// A stack that carries requests; for a row that looks at memory, a new one.
    fn ready(&mut self, stack: &Stack, row: &Row) -> anyhow::Result<&Running> {
        let lives = |running: &mut Running| running.processes.iter_mut().all(Process::lives);
        let fresh = matches!(row.work, crate::row::Work::Idle { .. });
        if fresh || !self.running.get_mut(stack.name).is_some_and(lives) {
            self.end(stack);
            let mut running = (stack.start)(self.site)?;
            await_ready(&mut running).with_context(|| format!("{} does not start", stack.name))?;
            self.running.insert(stack.name, running);
        }
        if stack.kind == Kind::Anchors {
            // One at a time: with all of them, a thousand files are watched four times.
            self.running
                .retain(|name, _| *name == stack.name || !name.starts_with("anchors"));
        }
        self.running.get(stack.name).context("it was just started")
    }

    fn end(&mut self, stack: &Stack) {
        self.running.remove(stack.name);
    }
}

/// Waits until a request goes through.
fn await_ready(running: &mut Running) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut last = anyhow::anyhow!("never asked");
    for _ in 0..PROBES {
        let asked = async {
            let limit = std::time::Duration::from_secs(5);
            tokio::time::timeout(limit, probe(&running.way)).await?
        };
        match runtime.block_on(asked) {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
        let mut ended = running.processes.iter_mut();
        if let Some(said) = ended.find_map(Process::last_words) {
            anyhow::bail!(said);
        }
        std::thread::sleep(std::time::Duration::from_millis(PROBE_PAUSE_MS));
    }
    Err(last)
}

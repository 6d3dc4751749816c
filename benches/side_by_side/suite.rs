//! A whole run: rows one after the other, and within a row the stacks in turns, round by round.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Wanted;
use crate::circumstances::Circumstances;
use crate::footprint::{self, Footprint};
use crate::load::probe;
use crate::process::Process;
use crate::report::{Line, Report};
use crate::row::{ROWS, Row};
use crate::site::Site;
use crate::stack::{Kind, Running, STACKS, Stack};
use crate::way::Way;

mod crowd;
mod generator;
mod giant;
mod measure;
mod pace;
mod progress;
mod sample;
mod tunnels;
pub(crate) mod wan;

use pace::Pace;
use progress::{Progress, expected};
pub(crate) use sample::Sample;

/// How often a new stack is asked whether it carries a request yet, and how long between.
const PROBES: u32 = 400;
const PROBE_PAUSE: Duration = Duration::from_millis(50);

/// How long one such request may take.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// What measuring the footprint of a stack was seen to take.
const FOOTPRINT_S: f64 = 4.0;

/// The suite's role.
pub(crate) fn run(wanted: &Wanted) -> anyhow::Result<()> {
    check_names(wanted)?;
    let rows: Vec<&Row> = ROWS
        .iter()
        .filter(|row| named(&wanted.rows, row.id))
        .collect();
    let mut circumstances = Circumstances::of_now();
    let stacks = chosen(wanted, &rows, &mut circumstances);
    if wanted.list {
        for row in rows {
            println!("{:<12}{}", row.id, row.what);
        }
        println!("{:<12}size, start-up time and idle memory", footprint::ID);
        println!("{:<12}{}", wan::ID, wan::WHAT);
        let stacks: Vec<_> = STACKS.iter().map(|stack| stack.name).collect();
        println!("stacks: {}", stacks.join(", "));
        return Ok(());
    }
    raise_file_limit()?;
    let (site, mut dog) = Site::prepare(wanted.folder.as_deref())?;
    let pace = Pace::of(wanted);
    println!("{}\n{}", circumstances.in_words(), pace.in_words());
    let mut report = Report::new(circumstances.json(), pace.json());
    let measured = measure_all(wanted, &site, (&rows, &stacks), &mut report);
    drop(site);
    dog.wait()?;
    // What was measured before a fault is shown all the same.
    report.print();
    report.write(&wanted.json)?;
    measured
}

/// A name that nobody knows would measure nothing, and say nothing of it.
fn check_names(wanted: &Wanted) -> anyhow::Result<()> {
    let is_row = |name: &str| {
        name == footprint::ID || name == wan::ID || ROWS.iter().any(|row| row.id == name)
    };
    let is_stack = |name: &str| STACKS.iter().any(|stack| stack.name == name) || wan::knows(name);
    let row = wanted.rows.iter().find(|name| !is_row(name));
    let stack = wanted.stacks.iter().find(|name| !is_stack(name));
    if let Some(name) = row.or(stack) {
        anyhow::bail!("nothing is called `{name}`: see --list");
    }
    Ok(())
}

fn named(wanted: &[String], name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)
}

/// The stacks that can be had; notes which cannot.
fn chosen(
    wanted: &Wanted,
    rows: &[&Row],
    circumstances: &mut Circumstances,
) -> Vec<&'static Stack> {
    let footprint = named(&wanted.rows, footprint::ID);
    let needed = |stack: &&Stack| {
        named(&wanted.stacks, stack.name) && (footprint || rows.iter().any(|row| row.is_for(stack)))
    };
    let mut found = Vec::new();
    let Circumstances {
        versions, left_out, ..
    } = circumstances;
    for stack in STACKS.iter().filter(needed) {
        match stack.versions() {
            Err(missing) => {
                left_out.push(format!("{} (no `{missing}` on this machine)", stack.name));
            }
            Ok(_) if wanted.quick && !stack.quick && wanted.stacks.is_empty() => {
                left_out.push(format!("{} (a quick run)", stack.name));
            }
            Ok(told) => {
                versions.extend(told);
                found.push(stack);
            }
        }
    }
    versions.sort_unstable();
    versions.dedup();
    found
}

/// Row by row, then the footprint.
fn measure_all(
    wanted: &Wanted,
    site: &Site,
    (rows, stacks): (&[&Row], &[&'static Stack]),
    report: &mut Report,
) -> anyhow::Result<()> {
    let pace = Pace::of(wanted);
    let fields: Vec<(&Row, Vec<&Stack>)> = rows
        .iter()
        .map(|row| {
            (
                *row,
                stacks.iter().copied().filter(|s| row.is_for(s)).collect(),
            )
        })
        .collect();
    let seconds: Vec<f64> = fields
        .iter()
        .map(|(row, field)| expected(row, field, &pace))
        .collect();
    let footprint = named(&wanted.rows, footprint::ID);
    let of_footprint = if footprint {
        f64::from(u32::try_from(stacks.len())?) * FOOTPRINT_S
    } else {
        0.0
    };
    let mut progress = Progress::begin(seconds.iter().sum::<f64>() + of_footprint);
    println!("{}", progress.in_words());
    let mut fleet = Fleet::new(site);
    for ((row, field), seconds) in fields.iter().zip(seconds) {
        let lines = take_turns(row, field, &mut fleet, &pace);
        progress.pass(seconds);
        if !lines.is_empty() {
            println!("  ({})", progress.in_words());
        }
        report.extend(lines);
    }
    drop(fleet);
    if footprint {
        println!("\n{}: size, start-up time and idle memory", footprint::ID);
        report.add_footprint(Footprint::measure(site, stacks, pace.starts)?);
    }
    if wanted.quick && wanted.rows.is_empty() {
        println!("\n{}: left out (a quick run)", wan::ID);
    } else if named(&wanted.rows, wan::ID) {
        println!("\n{}: {}", wan::ID, wan::WHAT);
        if let Some(measured) = wan::measure(site, wanted)? {
            report.add_wan(measured);
        }
    }
    Ok(())
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
    let site = fleet.site;
    for _round in 0..pace.rounds(row) {
        for (stack, line) in stacks.iter().zip(&mut lines) {
            let sample = fleet
                .ready(stack, row)
                .and_then(|running| measure::take(row, running, (site, pace)));
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
    fn ready(&mut self, stack: &Stack, row: &Row) -> anyhow::Result<&mut Running> {
        let lives = |running: &mut Running| running.processes.iter_mut().all(Process::lives);
        if row.wants_new_processes() || !self.running.get_mut(stack.name).is_some_and(lives) {
            self.end(stack);
            if matches!(stack.kind, Kind::Anchors | Kind::Company) {
                // One at a time: with all of them, a thousand files are watched four times, and ten thousand
                // agents speak.
                let crowded =
                    |name: &str| name.starts_with("anchors") || name.starts_with("company");
                self.running.retain(|name, _| !crowded(name));
            }
            self.running.insert(stack.name, started(stack, self.site)?);
        }
        self.running
            .get_mut(stack.name)
            .context("it was just started")
    }

    fn end(&mut self, stack: &Stack) {
        self.running.remove(stack.name);
    }
}

/// Starts a stack and waits until it carries requests.
pub(crate) fn started(stack: &Stack, site: &Site) -> anyhow::Result<Running> {
    let mut running = (stack.start)(site)?;
    await_ready(&mut running).with_context(|| format!("{} does not start", stack.name))?;
    Ok(running)
}

/// Whether a request goes through.
pub(crate) fn answers(way: &Way) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async { tokio::time::timeout(PROBE_LIMIT, probe(way)).await? })
}

/// Waits until a request goes through.
fn await_ready(running: &mut Running) -> anyhow::Result<()> {
    let mut last = anyhow::anyhow!("never asked");
    for _ in 0..PROBES {
        match answers(&running.way) {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
        let mut ended = running.processes.iter_mut();
        if let Some(said) = ended.find_map(Process::last_words) {
            anyhow::bail!(said);
        }
        std::thread::sleep(PROBE_PAUSE);
    }
    Err(last)
}

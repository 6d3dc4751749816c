//! Thousands of agents in one process: Gangplank's own, each with a name, a certificate, a socket, and the
//! dialler with its back-off. Nobody is behind their tunnels.
//!
//! A job on standard input, an answer when all of it stand; then an order a line, and an answer to each.

use std::io::{Write as _, stdin, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use crate::clock::nanoseconds;
use crate::lanes::Lanes;

mod command;
mod shipyard;
mod vessel;

pub(crate) use command::Flotilla;
use shipyard::Shipyard;
use vessel::Vessel;

/// What the agents are to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    /// How many.
    pub(crate) agents: u32,
    /// The relay they dial.
    pub(crate) relay: SocketAddr,
    /// The authority of its certificate, a file.
    pub(crate) relay_authority: PathBuf,
    /// The authority of theirs, and its key: two files.
    pub(crate) authority: (PathBuf, PathBuf),
}

/// What the suite asks.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Order {
    /// What stands now; counts begin here.
    Stand,
    /// Wait until every agent has another tunnel than at the last [`Stand`](Self::Stand). Times count
    /// from this moment of the run's clock.
    Return {
        /// Nanoseconds.
        since: u64,
    },
}

/// How the agents stand.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Agents with a tunnel.
    pub(crate) up: u32,
    /// Of them, over TCP.
    pub(crate) over_tcp: u32,
    /// Attempts over either transport since the last look, of all agents and of the one that had most.
    pub(crate) dials: u64,
    pub(crate) most_dials: u64,
    /// Until half of them were back, 99 of 100, and all, in seconds.
    pub(crate) back_p50_s: Option<f64>,
    pub(crate) back_p99_s: Option<f64>,
    pub(crate) back_s: Option<f64>,
}

/// Agents that may be on their way at a time, at first: what is measured begins when all stand, and a storm
/// of first dials is not to leave its mark on it.
const UNDER_WAY: usize = 128;

/// How long all may take to stand, and to return.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is looked whether agents have arrived: the step of the times.
const LOOK: Duration = Duration::from_millis(10);

/// After the last has returned, for agents that dial on without need to be seen.
const AFTERMATH: Duration = Duration::from_secs(2);

/// The role. It ends with the suite that started it.
pub(crate) fn run() -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let job: Job = serde_json::from_str(&hear()?.context("no job")?)?;
    let lanes = Lanes::open()?;
    let mut vessels = put_to_sea(&job, &lanes)?;
    say(&look(&mut vessels)?)?;
    while let Some(order) = hear()? {
        let standing = match serde_json::from_str(&order)? {
            Order::Stand => look(&mut vessels)?,
            Order::Return { since } => await_return(&mut vessels, since)?,
        };
        say(&standing)?;
    }
    Ok(())
}

/// Starts the agents, some at a time, and waits until all have a tunnel.
fn put_to_sea(job: &Job, lanes: &Lanes) -> anyhow::Result<Vec<Vessel>> {
    let shipyard = Shipyard::open(job)?;
    let begun = nanoseconds();
    let (mut vessels, mut under_way): (Vec<Vessel>, Vec<usize>) = (Vec::new(), Vec::new());
    for number in 0..job.agents {
        while under_way.len() >= UNDER_WAY && !late(begun) {
            std::thread::sleep(LOOK);
            under_way.retain(|at| vessels.get(*at).is_some_and(|vessel| !vessel.stands()));
        }
        under_way.push(vessels.len());
        vessels.push(Vessel::launch(shipyard.settings(number)?, lanes)?);
    }
    while !vessels.iter().all(Vessel::stands) {
        anyhow::ensure!(!late(begun), "{} tunnels do not stand", job.agents);
        std::thread::sleep(LOOK);
    }
    Ok(vessels)
}

fn late(begun: u64) -> bool {
    Duration::from_nanos(nanoseconds().saturating_sub(begun)) > PATIENCE
}

/// How all stand, and since the last look.
fn look(vessels: &mut [Vessel]) -> anyhow::Result<Standing> {
    let mut standing = Standing::default();
    for vessel in vessels {
        let (tunnel, dials) = vessel.look()?;
        standing.up += u32::from(tunnel.is_some());
        standing.over_tcp += u32::from(tunnel == Some("tcp"));
        standing.dials += dials;
        standing.most_dials = standing.most_dials.max(dials);
    }
    Ok(standing)
}

/// Waits until all have other tunnels than at the last look.
fn await_return(vessels: &mut [Vessel], since: u64) -> anyhow::Result<Standing> {
    let mut away: Vec<&Vessel> = vessels.iter().collect();
    let mut returned = Vec::with_capacity(away.len());
    while !away.is_empty() {
        anyhow::ensure!(!late(since), "{} agents did not return", away.len());
        std::thread::sleep(LOOK);
        away.retain(|vessel| !vessel.has_returned());
        let after = Duration::from_nanos(nanoseconds().saturating_sub(since)).as_secs_f64();
        returned.resize(vessels.len() - away.len(), after);
    }
    std::thread::sleep(AFTERMATH);
    let rank = |part: usize| returned.get(returned.len() * part / 100).copied();
    let (back_p50_s, back_p99_s) = (rank(50), rank(99));
    let back_s = returned.last().copied();
    Ok(Standing {
        back_p50_s,
        back_p99_s,
        back_s,
        ..look(vessels)?
    })
}

fn hear() -> anyhow::Result<Option<String>> {
    let mut line = String::new();
    Ok((stdin().read_line(&mut line)? > 0).then_some(line))
}

fn say(standing: &Standing) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{}", serde_json::to_string(standing)?)?;
    Ok(out.flush()?)
}

//! The flotilla as the suite sees it.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, getrlimit};

use super::{Job, Order, PATIENCE, Standing};
use crate::attendant::Attendant;
use crate::site::Site;

/// Files for four agents: a UDP socket each, and one of them has fallen back to TCP.
const FILES_OF_FOUR: u64 = 5;

/// Files for everything else of the process.
const FILES_BESIDE: u64 = 100;

/// Memory that each agent needs here and its tunnel at the relay.
const KIB_EACH: u64 = 400;

/// What an answer may take beyond the waiting.
const GRACE: Duration = Duration::from_secs(30);

/// Agents that stand. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Flotilla {
    attendant: Attendant,
}

impl Flotilla {
    /// How many of so many agents this machine lets one process have.
    pub(crate) fn fitting(agents: u32) -> u32 {
        let files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let by_files = files.saturating_sub(FILES_BESIDE) / FILES_OF_FOUR * 4;
        let by_memory = available_kib().map_or(u64::MAX, |kib| kib / KIB_EACH);
        let most = u32::try_from(by_files.min(by_memory)).unwrap_or(u32::MAX);
        if most < agents {
            println!(
                "  {most} agents of {agents}: the limit of open files ({files}) lets one process have {by_files}, and memory \
                 is left for {by_memory}"
            );
        }
        agents.min(most)
    }

    /// Starts so many agents of one relay, and waits until all of them have a tunnel.
    pub(crate) fn launch(site: &Site, relay: SocketAddr, agents: u32) -> anyhow::Result<Self> {
        let mut attendant = Attendant::start("flotilla")?;
        let papers = &site.papers;
        let job = Job {
            agents,
            relay,
            relay_authority: papers.authority("relay"),
            authority: (papers.authority("agent"), papers.authority_key("agent")),
        };
        attendant.say(&serde_json::to_string(&job)?)?;
        let flotilla = Self { attendant };
        let standing = flotilla.heard()?;
        ensure!(
            standing.up == agents,
            "{} of {agents} tunnels stand",
            standing.up
        );
        Ok(flotilla)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.attendant.pid()
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, order: Order) -> anyhow::Result<Standing> {
        self.attendant.say(&serde_json::to_string(&order)?)?;
        self.heard()
    }

    fn heard(&self) -> anyhow::Result<Standing> {
        let answer = self.attendant.hear(PATIENCE + GRACE)?;
        serde_json::from_str(&answer).with_context(|| format!("the flotilla: {answer}"))
    }
}

fn available_kib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse().ok()
}

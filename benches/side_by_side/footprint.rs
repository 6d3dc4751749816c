//! What the programs are before anyone calls: their size on disk, how long they take to start, and what they
//! hold in memory when idle.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::clock::nanoseconds;
use crate::median::median;
use crate::process::{Process, memory};
use crate::site::Site;
use crate::stack::gangplank::{self, PROGRAM, Watched};
use crate::stack::{Kind, Stack};

/// What it is called on the command line, where a row's name may stand.
pub(crate) const ID: &str = "footprint";

/// How often a new role is asked whether it is ready, and for how long: the figure's step.
const LOOK: Duration = Duration::from_millis(1);
const READY_WITHIN: Duration = Duration::from_secs(20);

/// From its one first request, after which it is idle, to the look at its memory.
const IDLENESS: Duration = Duration::from_secs(1);

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Footprint {
    binary_bytes: u64,
    stripped_bytes: Option<u64>,
    starts: Vec<Start>,
    idle: Vec<Idle>,
}

/// How long something takes to start.
#[derive(Debug)]
struct Start {
    what: String,
    until: &'static str,
    /// Milliseconds of each start.
    took: Vec<f64>,
}

/// A process that idles.
#[derive(Debug)]
struct Idle {
    stack: &'static str,
    process: String,
    /// Pages that are shared divided among those that share them, and counted whole.
    pss_kib: f64,
    rss_kib: f64,
}

impl Footprint {
    /// Measures it; each thing is started so often.
    pub(crate) fn measure(
        site: &Site,
        stacks: &[&'static Stack],
        starts: usize,
    ) -> anyhow::Result<Self> {
        let mut footprint = Self {
            binary_bytes: fs::metadata(PROGRAM)?.len(),
            stripped_bytes: stripped(site),
            ..Self::default()
        };
        footprint.starts = start_roles(site, starts)?;
        for stack in stacks.iter().filter(|stack| is_looked_at(stack)) {
            if matches!(stack.kind, Kind::Hop | Kind::HopPeer) {
                footprint.starts.push(start_hop(site, stack, starts)?);
            }
            footprint.idle.extend(idle(site, stack)?);
        }
        Ok(footprint)
    }

    /// For people.
    pub(crate) fn print(&self) {
        println!("\nfootprint");
        let megabytes = |bytes: u64| {
            #[expect(
                clippy::as_conversions,
                clippy::cast_precision_loss,
                reason = "the size of a file"
            )]
            let bytes = bytes as f64;
            format!("{:.1} MB", bytes / 1e6)
        };
        let stripped = self.stripped_bytes.map(megabytes);
        println!(
            "  binary: {} ({} bytes), stripped {}",
            megabytes(self.binary_bytes),
            self.binary_bytes,
            stripped.as_deref().unwrap_or("unknown")
        );
        for start in &self.starts {
            println!(
                "  start of {:<16} {:>7.1} ms until {} (median of {})",
                start.what,
                median(&start.took).unwrap_or_default(),
                start.until,
                start.took.len()
            );
        }
        for idle in &self.idle {
            println!(
                "  idle {:<16} {:<13} {:>7.1} MiB proportional, {:>7.1} MiB resident",
                idle.stack,
                idle.process,
                idle.pss_kib / 1024.0,
                idle.rss_kib / 1024.0
            );
        }
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let starts = self.starts.iter().map(|start| {
            json!({
                "what": start.what,
                "until": start.until,
                "median_ms": median(&start.took),
                "starts": start.took.len(),
            })
        });
        let idle = self.idle.iter().map(|idle| {
            json!({
                "stack": idle.stack,
                "process": idle.process,
                "pss_kib": idle.pss_kib,
                "rss_kib": idle.rss_kib,
            })
        });
        json!({
            "binary_bytes": self.binary_bytes,
            "stripped_bytes": self.stripped_bytes,
            "starts": starts.collect::<Vec<_>>(),
            "idle": idle.collect::<Vec<_>>(),
        })
    }
}

/// Gangplank with a thousand anchors is not what a user would compare.
const fn is_looked_at(stack: &Stack) -> bool {
    !matches!(stack.kind, Kind::Direct | Kind::Anchors)
}

/// The size without symbols, where there is a strip(1).
fn stripped(site: &Site) -> Option<u64> {
    let copy = site.folder(ID).ok()?.join("stripped");
    let mut strip = Command::new("strip");
    let ended = strip.arg("-o").arg(&copy).arg(PROGRAM).status().ok()?;
    let file = ended.success().then(|| fs::metadata(&copy).ok())?;
    file.map(|file| file.len())
}

/// Each role on its own: the relay has its ports, the agent its tunnel, the proxy its trust.
fn start_roles(site: &Site, starts: usize) -> anyhow::Result<Vec<Start>> {
    let (relay, entrance) = gangplank::watched_relay(site)?;
    ready_after(&relay)?;
    Ok(vec![
        start_role("relay", starts, || Ok(gangplank::watched_relay(site)?.0))?,
        start_role("agent", starts, || gangplank::watched_agent(site, entrance))?,
        start_role("proxy", starts, || gangplank::watched_proxy(site))?,
    ])
}

fn start_role(
    role: &str,
    starts: usize,
    start: impl Fn() -> anyhow::Result<Watched>,
) -> anyhow::Result<Start> {
    let took = (0..starts).map(|_| ready_after(&start()?));
    Ok(Start {
        what: format!("gangplank {role}"),
        until: "/readyz says so",
        took: took.collect::<anyhow::Result<_>>()?,
    })
}

/// Milliseconds from a role's start until its admin endpoint calls it ready.
fn ready_after((process, admin): &Watched) -> anyhow::Result<f64> {
    await_it(process, || is_ready(*admin).unwrap_or(false))
}

fn is_ready(admin: SocketAddr) -> std::io::Result<bool> {
    let mut socket = TcpStream::connect(admin)?;
    socket.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

/// A hop until it has answered a request, which all hops can be compared by.
fn start_hop(site: &Site, stack: &Stack, starts: usize) -> anyhow::Result<Start> {
    let took = (0..starts).map(|_| {
        let running = (stack.start)(site)?;
        let process = running.processes.first().context("a hop is a process")?;
        await_it(process, || crate::suite::answers(&running.way).is_ok())
    });
    Ok(Start {
        what: stack.name.to_owned(),
        until: "it has answered a request",
        took: took.collect::<anyhow::Result<_>>()?,
    })
}

/// Milliseconds from a process's start until something holds.
fn await_it(process: &Process, mut holds: impl FnMut() -> bool) -> anyhow::Result<f64> {
    loop {
        let held = holds();
        let took = Duration::from_nanos(nanoseconds().saturating_sub(process.begun()));
        if held {
            return Ok(took.as_secs_f64() * 1e3);
        }
        ensure!(took < READY_WITHIN, "{} is not ready", process.name());
        sleep(LOOK);
    }
}

fn idle(site: &Site, stack: &'static Stack) -> anyhow::Result<Vec<Idle>> {
    let running = crate::suite::started(stack, site)?;
    sleep(IDLENESS);
    let processes = running.processes.iter().map(|process| Idle {
        stack: stack.name,
        process: process.name().to_owned(),
        pss_kib: memory(&[process.pid()]).pss_kib,
        rss_kib: process.resident_kib(),
    });
    Ok(processes.collect())
}

//! The load generator: a job on standard input, `ready` when it is warm, and after `go` the window that counts.
//!
//! What it says of itself (CPU time) shows whether it was the limit; each worker asks, waits for the whole
//! answer, and asks again.

use std::io::{Write as _, stdin, stdout};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::lanes::Lanes;
use crate::median::{median, quantile};
use crate::process::cpu_of_this;
use crate::tls::{Connector, Protocol};
use crate::way::Way;

mod asking;
mod http1;
mod http2;
mod probe;
mod tally;
mod watches;

use asking::start;
pub(crate) use probe::{probe, written};
use tally::{Phase, Tally, Window};

/// What is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Into which stack.
    pub(crate) way: Way,
    /// What.
    pub(crate) load: Load,
    /// Milliseconds before the window, with the same load.
    pub(crate) warm_ms: u64,
    /// The window's milliseconds.
    pub(crate) window_ms: u64,
}

/// The kinds of load.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Load {
    /// HTTP/1.1 on connections that stay; the small object, or a body of so many bytes.
    Http1 {
        connections: u32,
        bytes: Option<u64>,
    },
    /// HTTP/2, so many streams at a time on each connection.
    Http2 {
        connections: u32,
        streams: u32,
        bytes: Option<u64>,
    },
    /// A new connection for each request.
    Fresh { connections: u32 },
    /// Round trips of a byte on an upgraded stream.
    Echo,
    /// Bodies of so many bytes whose callers stop reading.
    Stalled { readers: u32, bytes: u64 },
    /// Watches with an event each period, taking turns.
    Trickle { watches: u32, period_ms: u32 },
    /// Watches on which nothing happens, over HTTP/1.1 or HTTP/2.
    Idle { watches: u32, http2: bool },
    /// Watches with events, of which some are never read after their first, and a LIST of so many bytes that is
    /// not read either.
    Crowd {
        watches: u32,
        unread: u32,
        list: u64,
    },
    /// Small GETs one after the other on one connection, looked at in batches of so many.
    Batches { requests: u32 },
    /// One body of so many bytes, up or down.
    Giant { bytes: u64, up: bool },
    /// Bodies without an end, counted byte by byte.
    Bulk { connections: u32 },
    /// Small GETs, each at its time whatever became of those before, so many a second in all.
    Paced { connections: u32, per_second: u32 },
}

/// What ends a load's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The clock.
    Clock,
    /// A word of the suite, which has seen enough.
    Word,
    /// The load itself: there was only so much to do.
    Done,
}

impl Load {
    /// What ends its window.
    pub(crate) const fn end(self) -> End {
        match self {
            Self::Http1 { .. }
            | Self::Http2 { .. }
            | Self::Fresh { .. }
            | Self::Echo
            | Self::Trickle { .. }
            | Self::Batches { .. }
            | Self::Bulk { .. }
            | Self::Paced { .. } => End::Clock,
            Self::Stalled { .. } | Self::Idle { .. } | Self::Crowd { .. } => End::Word,
            Self::Giant { .. } => End::Done,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Answers, or events, within the window.
    pub(crate) count: u64,
    /// Bytes of their bodies.
    pub(crate) bytes: u64,
    /// The window as it was.
    pub(crate) seconds: f64,
    /// Half of the answers took less, in µs; of batches, the median of each one's.
    pub(crate) p50_us: Option<f64>,
    /// 99 of 100 did; of batches likewise.
    pub(crate) p99_us: Option<f64>,
    /// The generator's own CPU time in the window.
    pub(crate) cpu_seconds: f64,
    /// What went wrong, at any time.
    pub(crate) errors: u64,
    /// The first of it.
    pub(crate) first_error: Option<String>,
}

/// What the suite says after `ready`.
pub(crate) const GO: &str = "go";
/// What the generator says when it is warm.
pub(crate) const READY: &str = "ready";

/// How long a load that ends by itself may take: a GiB at 10 MB/s.
pub(crate) const DONE_WITHIN: Duration = Duration::from_secs(100);

/// The role. It ends with the suite that started it.
pub(crate) fn run() -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let job: Job = serde_json::from_str(&hear()?).context("no job")?;
    let lanes = Arc::new(Lanes::open()?);
    let window = Arc::new(Window::default());
    let (tallies, mut reports) = mpsc::channel(workers(job.load));
    // The lanes' tasks start here; this thread only watches the clock.
    start(&job, &lanes, &window, &tallies)?;
    drop(tallies);
    settle(&job, &window);
    say(READY)?;
    anyhow::ensure!(hear()? == GO, "an unknown word");
    let cpu = cpu_of_this()?;
    let begun = crate::clock::nanoseconds();
    window.set(Phase::Measure);
    match job.load.end() {
        End::Clock => std::thread::sleep(Duration::from_millis(job.window_ms)),
        End::Word => drop(hear()?),
        End::Done => await_all(workers(job.load), DONE_WITHIN, || window.finished()),
    }
    window.set(Phase::Over);
    let elapsed = Duration::from_nanos(crate::clock::nanoseconds() - begun);
    let cpu_seconds = cpu_of_this()? - cpu;
    let total = Tally::gather(&mut reports);
    let took = batches(job.load, &total);
    say(&serde_json::to_string(&Outcome {
        count: total.count,
        bytes: total.bytes,
        seconds: elapsed.as_secs_f64(),
        p50_us: took.0,
        p99_us: took.1,
        cpu_seconds,
        errors: total.errors,
        first_error: total.first_error,
    })?)
}

fn hear() -> anyhow::Result<String> {
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn say(word: &str) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{word}")?;
    Ok(out.flush()?)
}

/// How many tasks report.
fn workers(load: Load) -> usize {
    let count = match load {
        Load::Http1 { connections, .. }
        | Load::Fresh { connections }
        | Load::Bulk { connections }
        | Load::Paced { connections, .. } => connections,
        Load::Http2 {
            connections,
            streams,
            ..
        } => connections * streams,
        Load::Echo => 1,
        Load::Stalled { readers, .. } => readers,
        Load::Trickle { watches, .. } | Load::Idle { watches, .. } => watches,
        Load::Crowd { watches, .. } => watches + 1,
        Load::Batches { .. } | Load::Giant { .. } => 1,
    };
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Waits until all are connected (or have failed), and for the warm-up.
fn settle(job: &Job, window: &Window) {
    let limit = Duration::from_secs(60);
    await_all(workers(job.load), limit, || window.standing());
    std::thread::sleep(Duration::from_millis(job.warm_ms));
}

/// Waits until a count is complete; at most so long.
fn await_all(wanted: usize, limit: Duration, count: impl Fn() -> usize) {
    let begun = crate::clock::nanoseconds();
    let waited = || Duration::from_nanos(crate::clock::nanoseconds() - begun);
    while count() < wanted && waited() < limit {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The p50 and the p99 in µs: of all, or the medians over the whole batches.
fn batches(load: Load, total: &Tally) -> (Option<f64>, Option<f64>) {
    let all = total.nanoseconds.len().max(1);
    let size = match load {
        Load::Batches { requests } => usize::try_from(requests).unwrap_or(all),
        _ => all,
    };
    let (mut middles, mut tails) = (Vec::new(), Vec::new());
    for batch in total.nanoseconds.chunks_exact(size) {
        let mut sorted = batch.to_vec();
        sorted.sort_unstable();
        let micros = |part| quantile(&sorted, part).map(|found| f64::from(found) / 1e3);
        middles.extend(micros(0.5));
        tails.extend(micros(0.99));
    }
    (median(&middles), median(&tails))
}

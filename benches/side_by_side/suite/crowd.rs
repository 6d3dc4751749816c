//! Small requests beside a crowd that holds all it can get: watches and a LIST that nobody reads on.

use std::thread::sleep;
use std::time::Duration;

use anyhow::ensure;
use tokio::runtime::Builder;

use super::measure::Turn;
use super::pace::BATCH;
use super::sample::Sample;
use crate::clock::nanoseconds;
use crate::load::{Load, written};
use crate::process::{Watermark, connections_to};

/// How long new processes are kept busy before anything counts.
const UNRIPE_MS: u64 = 500;

/// How often the upstream is asked how much it could write, and how often in a row it must say the same.
const LOOK: Duration = Duration::from_millis(100);
const ALIKE: u32 = 5;

/// The slowest peer fills its windows within seconds.
const FULL_WITHIN: Duration = Duration::from_secs(30);

/// Less than any path holds for an unread watch: the pipes of the kernel alone are larger.
const LEAST_EACH: u64 = 64 * 1024;

/// The batches before, then the crowd, then the batches beside it.
pub(super) fn beside(turn: Turn<'_>, crowd: Load) -> anyhow::Result<Sample> {
    let batches = Load::Batches { requests: BATCH };
    let turn = turn.lasting(turn.pace.batches_ms);
    // New processes are slow at first, which would flatter what comes later.
    let unripe = turn.lasting(UNRIPE_MS).rate(batches)?;
    let mark = Watermark::set(&turn.running.processes);
    let before = turn.rate(batches)?;
    let written_before = ask(turn)?;
    let mut holding = turn.warm(crowd)?;
    holding.go()?;
    let held = await_full(turn)?.saturating_sub(written_before);
    if let Load::Crowd { unread, .. } = crowd {
        ensure!(
            held > u64::from(unread) * LEAST_EACH,
            "only {held} bytes were left unread"
        );
    }
    let mut beside = turn.rate(batches)?;
    let pids = turn.running.pids();
    beside.upstream_connections = (!pids.is_empty()).then(|| {
        let count = connections_to(turn.site.upstream, &pids);
        f64::from(u32::try_from(count).unwrap_or(u32::MAX))
    });
    beside.peaks = mark.peaks();
    holding.release()?;
    let crowd = holding.outcome()?;
    (beside.p50_before_us, beside.p99_before_us) = (before.p50_us, before.p99_us);
    beside.blame(unripe.errors, unripe.first_error);
    beside.blame(before.errors, before.first_error);
    beside.blame(crowd.errors, crowd.first_error);
    Ok(beside)
}

/// Waits until the upstream can write no more: all windows between it and the unread are full. Answers how
/// much it has written by then.
fn await_full(turn: Turn<'_>) -> anyhow::Result<u64> {
    let begun = nanoseconds();
    let (mut last, mut alike) = (0, 0);
    while alike < ALIKE {
        let waited = Duration::from_nanos(nanoseconds() - begun);
        ensure!(waited < FULL_WITHIN, "the windows do not fill");
        sleep(LOOK);
        let now = ask(turn)?;
        alike = if now == last { alike + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

fn ask(turn: Turn<'_>) -> anyhow::Result<u64> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(written(&turn.site.way_to_upstream()))
}

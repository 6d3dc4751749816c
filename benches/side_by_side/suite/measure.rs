//! One turn of one stack at one row.

use std::thread::sleep;
use std::time::Duration;

use anyhow::ensure;

use super::generator::Generator;
use super::pace::Pace;
use super::sample::Sample;
use super::{crowd, giant, tunnels};
use crate::load::{Job, Load};
use crate::process::{Process, cpu_seconds, memory};
use crate::row::{Row, Work};
use crate::site::Site;
use crate::stack::Running;

/// Until buffers are full behind readers that stopped, and until memory no longer grows.
const SETTLING: Duration = Duration::from_secs(1);

/// A stack whose turn it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn<'t> {
    pub(super) running: &'t Running,
    pub(super) site: &'t Site,
    pub(super) pace: &'t Pace,
    window_ms: u64,
}

/// Takes a stack's turn at a row.
pub(super) fn take(
    row: &Row,
    running: &mut Running,
    (site, pace): (&Site, &Pace),
) -> anyhow::Result<Sample> {
    let turn = Turn::new(running, site, pace);
    match row.work {
        Work::Rate(load) => tunnels::stay(running, turn.rate(load)?),
        Work::BesideStalled { load, stalled } => turn.beside_stalled(load, stalled),
        Work::Idle { http2 } => turn.idle(http2),
        Work::BesideCrowd { crowd } => crowd::beside(turn, crowd),
        Work::Giant => giant::both_ways(turn),
        Work::Tunnels => tunnels::idle(turn),
        Work::Storm => tunnels::storm(running, site, pace),
    }
}

impl<'t> Turn<'t> {
    /// A turn with windows of the usual length.
    pub(super) const fn new(running: &'t Running, site: &'t Site, pace: &'t Pace) -> Self {
        Self {
            running,
            site,
            pace,
            window_ms: pace.window_ms,
        }
    }

    /// A generator that is warm.
    pub(super) fn warm(self, load: Load) -> anyhow::Result<Generator> {
        Generator::warm(&Job {
            way: self.running.way.clone(),
            load,
            warm_ms: self.pace.warm_ms,
            window_ms: self.window_ms,
        })
    }

    /// The same with a window of another length.
    pub(super) fn lasting(self, window_ms: u64) -> Self {
        Self { window_ms, ..self }
    }

    /// Answers in a window, and what they cost.
    pub(super) fn rate(self, load: Load) -> anyhow::Result<Sample> {
        let (pids, upstream) = (self.running.pids(), [self.site.upstream_pid()]);
        let mut generator = self.warm(load)?;
        let before = (cpu_seconds(&pids), cpu_seconds(&upstream));
        generator.go()?;
        let outcome = generator.outcome()?;
        let cpu = cpu_seconds(&pids) - before.0;
        let upstream_cpu = cpu_seconds(&upstream) - before.1;
        ensure!(outcome.errors > 0 || outcome.count > 0, "not one answer");
        #[expect(
            clippy::as_conversions,
            clippy::cast_precision_loss,
            reason = "a count of some seconds"
        )]
        let count = outcome.count as f64;
        Ok(Sample {
            cpu_us: (!pids.is_empty()).then_some(cpu * 1e6 / count),
            rss_kib: (!pids.is_empty()).then(|| memory(&pids).pss_kib),
            upstream_cores: Some(upstream_cpu / outcome.seconds),
            ..Sample::counted(&outcome)
        })
    }

    fn beside_stalled(self, load: Load, stalled: Load) -> anyhow::Result<Sample> {
        let before = self.rate(load)?;
        let mut holding = self.warm(stalled)?;
        holding.go()?;
        sleep(SETTLING);
        let mut beside = self.rate(load)?;
        holding.release()?;
        let held = holding.outcome()?;
        beside.keeps = beside.rate.zip(before.rate).map(|(now, then)| now / then);
        beside.blame(before.errors, before.first_error);
        beside.blame(held.errors, held.first_error);
        Ok(beside)
    }

    fn idle(self, http2: bool) -> anyhow::Result<Sample> {
        let pids = self.running.pids();
        let entrance = self.running.processes.first().map(Process::pid);
        let memory_of_entrance = || entrance.map(|pid| memory(&[pid]).pss_kib);
        sleep(SETTLING);
        let (before, entrance_before) = (memory(&pids).pss_kib, memory_of_entrance());
        let watches = self.pace.watches;
        let mut generator = self.warm(Load::Idle { watches, http2 })?;
        generator.go()?;
        sleep(SETTLING);
        let (after, entrance_after) = (memory(&pids).pss_kib, memory_of_entrance());
        generator.release()?;
        let outcome = generator.outcome()?;
        let each = |growth: f64| growth / f64::from(watches);
        let entrance_growth = entrance_after.zip(entrance_before);
        Ok(Sample {
            rss_kib: Some(after),
            each_kib: Some(each(after - before)),
            entrance_each_kib: entrance_growth.map(|(after, before)| each(after - before)),
            errors: outcome.errors,
            first_error: outcome.first_error,
            ..Sample::default()
        })
    }
}

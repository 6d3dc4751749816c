//! One turn of one stack at one row.

use std::thread::sleep;
use std::time::Duration;

use anyhow::ensure;

use super::generator::Generator;
use crate::Wanted;
use crate::load::{Job, Load, Outcome};
use crate::process::{Process, cpu_seconds, memory};
use crate::row::{Row, Work};
use crate::stack::Running;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Turns of each stack at each row.
    pub(crate) rounds: usize,
    window_ms: u64,
    warm_ms: u64,
    watches: u32,
}

/// Until buffers are full behind readers that stopped, and until memory no longer grows.
const SETTLING: Duration = Duration::from_secs(1);

impl Pace {
    /// As the command line says.
    pub(crate) fn of(wanted: &Wanted) -> Self {
        let (rounds, window_ms, warm_ms, watches) = if wanted.quick {
            (3, 500, 200, 500)
        } else {
            (3, 3_000, 1_000, 5_000)
        };
        let seconds = wanted.seconds.filter(|seconds| *seconds > 0.0);
        let wanted_ms = seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|window| u64::try_from(window.as_millis()).ok());
        Self {
            rounds: wanted.rounds.unwrap_or(rounds),
            window_ms: wanted_ms.unwrap_or(window_ms),
            warm_ms,
            watches: wanted.watches.unwrap_or(watches),
        }
    }

    /// For the table's head.
    pub(crate) fn in_words(&self) -> String {
        format!(
            "{} rounds, windows of {} ms after {} ms of warming, {} idle watches",
            self.rounds, self.window_ms, self.warm_ms, self.watches
        )
    }
}

/// What one turn came to. What a row does not measure is `None`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) rate: Option<f64>,
    pub(crate) bytes_per_s: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    /// CPU time of the path's processes for each answer, in µs.
    pub(crate) cpu_us: Option<f64>,
    /// Memory of the path's processes.
    pub(crate) rss_kib: Option<f64>,
    /// Its growth for each idle watch, and the entrance's share.
    pub(crate) each_kib: Option<f64>,
    pub(crate) entrance_each_kib: Option<f64>,
    /// The rate beside stalled readers as a part of the rate without them.
    pub(crate) keeps: Option<f64>,
    /// Cores that generator and upstream used.
    pub(crate) generator_cores: Option<f64>,
    pub(crate) upstream_cores: Option<f64>,
    /// What went wrong; then the rest is no measurement.
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
}

/// Takes the turn.
pub(crate) fn measure(
    row: &Row,
    running: &Running,
    upstream: u32,
    pace: &Pace,
) -> anyhow::Result<Sample> {
    match row.work {
        Work::Rate(load) => rate(running, load, upstream, pace),
        Work::BesideStalled { load, stalled } => {
            let before = rate(running, load, upstream, pace)?;
            let mut holding = Generator::warm(&job(running, stalled, pace))?;
            holding.go()?;
            sleep(SETTLING);
            let mut beside = rate(running, load, upstream, pace)?;
            holding.release()?;
            let held = holding.outcome()?;
            beside.errors += before.errors + held.errors;
            beside.first_error = beside
                .first_error
                .or(before.first_error)
                .or(held.first_error);
            beside.keeps = beside.rate.zip(before.rate).map(|(now, then)| now / then);
            Ok(beside)
        }
        Work::Idle { http2 } => idle(running, http2, pace),
    }
}

fn job(running: &Running, load: Load, pace: &Pace) -> Job {
    Job {
        way: running.way.clone(),
        load,
        warm_ms: pace.warm_ms,
        window_ms: pace.window_ms,
    }
}

fn rate(running: &Running, load: Load, upstream: u32, pace: &Pace) -> anyhow::Result<Sample> {
    let pids = running.pids();
    let mut generator = Generator::warm(&job(running, load, pace))?;
    let before = (cpu_seconds(&pids), cpu_seconds(&[upstream]));
    generator.go()?;
    let outcome = generator.outcome()?;
    let cpu = cpu_seconds(&pids) - before.0;
    let upstream_cpu = cpu_seconds(&[upstream]) - before.1;
    ensure!(outcome.errors > 0 || outcome.count > 0, "not one answer");
    let mut sample = counted(&outcome);
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "counts of some seconds"
    )]
    let count = outcome.count as f64;
    sample.cpu_us = (!pids.is_empty()).then_some(cpu * 1e6 / count);
    sample.rss_kib = (!pids.is_empty()).then(|| memory(&pids).pss_kib);
    sample.upstream_cores = Some(upstream_cpu / outcome.seconds);
    Ok(sample)
}

fn counted(outcome: &Outcome) -> Sample {
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "counts of some seconds"
    )]
    let (count, bytes) = (outcome.count as f64, outcome.bytes as f64);
    Sample {
        rate: Some(count / outcome.seconds),
        bytes_per_s: Some(bytes / outcome.seconds),
        p50_us: outcome.p50_us,
        p99_us: outcome.p99_us,
        generator_cores: Some(outcome.cpu_seconds / outcome.seconds),
        errors: outcome.errors,
        first_error: outcome.first_error.clone(),
        ..Sample::default()
    }
}

fn idle(running: &Running, http2: bool, pace: &Pace) -> anyhow::Result<Sample> {
    let pids = running.pids();
    let entrance = running.processes.first().map(Process::pid);
    let memory_of_entrance = || entrance.map(|pid| memory(&[pid]).pss_kib);
    sleep(SETTLING);
    let (before, entrance_before) = (memory(&pids).pss_kib, memory_of_entrance());
    let load = Load::Idle {
        watches: pace.watches,
        http2,
    };
    let mut generator = Generator::warm(&job(running, load, pace))?;
    generator.go()?;
    sleep(SETTLING);
    let (after, entrance_after) = (memory(&pids).pss_kib, memory_of_entrance());
    generator.release()?;
    let outcome = generator.outcome()?;
    let each = |growth: f64| growth / f64::from(pace.watches);
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

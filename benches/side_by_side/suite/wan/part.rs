//! One stack at one loss: bulk alone, small requests alone, both at once.

use std::time::Duration;

use super::Pace;
use super::shores::Shores;
use crate::clock::nanoseconds;
use crate::load::{Job, Load, Outcome};
use crate::suite::generator::Generator;
use crate::way::Way;

/// Bodies at a time.
const BULK: Load = Load::Bulk { connections: 4 };

/// Small requests: so many connections that each has a fifth of a second for its answer before its next turn.
const SMALL: Load = Load::Paced {
    connections: 40,
    per_second: 200,
};

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    /// Bytes a second of bodies, alone and beside the small requests.
    pub(super) bulk: f64,
    pub(super) bulk_beside: f64,
    /// Microseconds of the small ones, alone and beside the bodies.
    pub(super) small: Small,
    pub(super) small_beside: Small,
    /// The part of a core that the link took, at most.
    pub(super) link_core: f64,
}

/// How long small requests took, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Small {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// Measures all three.
pub(super) fn measure_part(shores: &Shores<'_>, way: &Way, pace: Pace) -> anyhow::Result<Part> {
    let before = (shores.link.cpu()?, nanoseconds());
    let bulk = one(way, BULK, pace)?;
    let took = Duration::from_nanos(nanoseconds() - before.1);
    let link = shores.link.cpu()? - before.0;
    let small = one(way, SMALL, pace)?;
    let mut bodies = Generator::warm(&job(way, BULK, pace))?;
    let mut asking = Generator::warm(&job(way, SMALL, pace))?;
    bodies.go()?;
    asking.go()?;
    let beside = (sound(bodies.outcome()?)?, sound(asking.outcome()?)?);
    Ok(Part {
        bulk: rate(&bulk),
        bulk_beside: rate(&beside.0),
        small: Small::of(&small),
        small_beside: Small::of(&beside.1),
        link_core: link.as_secs_f64() / took.as_secs_f64(),
    })
}

/// A load's outcome.
pub(super) fn one(way: &Way, load: Load, pace: Pace) -> anyhow::Result<Outcome> {
    let mut generator = Generator::warm(&job(way, load, pace))?;
    generator.go()?;
    sound(generator.outcome()?)
}

/// A load for such a time.
pub(super) fn job(way: &Way, load: Load, pace: Pace) -> Job {
    Job {
        way: way.clone(),
        load,
        warm_ms: pace.warm_ms,
        window_ms: pace.window_ms,
    }
}

/// What met no error.
pub(super) fn sound(outcome: Outcome) -> anyhow::Result<Outcome> {
    anyhow::ensure!(
        outcome.errors == 0 && outcome.count > 0,
        "{} answers, {} errors, the first: {}",
        outcome.count,
        outcome.errors,
        outcome.first_error.unwrap_or_default()
    );
    Ok(outcome)
}

fn rate(outcome: &Outcome) -> f64 {
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "bytes of some seconds"
    )]
    let bytes = outcome.bytes as f64;
    bytes / outcome.seconds
}

impl Small {
    fn of(outcome: &Outcome) -> Self {
        Self {
            p50: outcome.p50_us.unwrap_or_default(),
            p99: outcome.p99_us.unwrap_or_default(),
        }
    }
}

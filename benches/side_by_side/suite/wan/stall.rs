//! k16 over the link, before and while 32 others have stopped reading.

use std::thread::sleep;
use std::time::Duration;

use super::Pace;
use super::part::{job, one};
use crate::load::Load;
use crate::suite::generator::Generator;
use crate::way::Way;

const ASKING: Load = Load::Http1 {
    connections: 16,
    bytes: None,
};

const STALLED: Load = Load::Stalled {
    readers: 32,
    bytes: 64 << 20,
};

/// Until what the stalled are sent has come over the link: 32 windows of a MiB are three seconds of it.
const SETTLING: Duration = Duration::from_secs(6);

/// What of the rate is left.
pub(super) fn measure(way: &Way, pace: Pace) -> anyhow::Result<f64> {
    let rate = || -> anyhow::Result<f64> {
        let outcome = one(way, ASKING, pace)?;
        #[expect(
            clippy::as_conversions,
            clippy::cast_precision_loss,
            reason = "answers of some seconds"
        )]
        let count = outcome.count as f64;
        Ok(count / outcome.seconds)
    };
    let before = rate()?;
    let mut holding = Generator::warm(&job(way, STALLED, pace))?;
    holding.go()?;
    sleep(SETTLING);
    let beside = rate()?;
    holding.release()?;
    let held = holding.outcome()?;
    anyhow::ensure!(held.errors == 0, "{}", held.first_error.unwrap_or_default());
    Ok(beside / before)
}

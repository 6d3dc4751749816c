//! One giant body each way, each on one connection, and what every process of the path held of it.

use super::measure::Turn;
use super::sample::Sample;
use crate::load::Load;
use crate::process::Watermark;

/// Down, then up.
pub(super) fn both_ways(turn: Turn<'_>) -> anyhow::Result<Sample> {
    let bytes = turn.pace.giant_bytes;
    let mark = Watermark::set(&turn.running.processes);
    let mut down = turn.rate(Load::Giant { bytes, up: false })?;
    let up = turn.rate(Load::Giant { bytes, up: true })?;
    down.peaks = mark.peaks();
    down.up_bytes_per_s = up.bytes_per_s;
    // One answer in some seconds: bytes a second say it better.
    (down.rate, down.p50_us, down.p99_us) = (None, None, None);
    down.blame(up.errors, up.first_error);
    Ok(down)
}

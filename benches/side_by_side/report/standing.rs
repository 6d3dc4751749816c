//! How Gangplank stands to the others of a row, and whether the row can be believed.

use super::line::Line;
use crate::stack::Kind;
use crate::suite::Sample;

/// A hop that is faster than none shows that generator or upstream was the limit; below this it is noise.
const BEATS_DIRECT: f64 = 1.05;

/// What Gangplank's figure is of the best peer's, of each thing that the row measures.
pub(super) fn standing(row: &str, lines: &[&Line]) -> Option<String> {
    let ours = lines
        .iter()
        .find(|line| matches!(line.kind, Kind::Tunnel | Kind::Hop))?;
    let peers: Vec<&&Line> = lines
        .iter()
        .filter(|line| matches!(line.kind, Kind::TunnelPeer | Kind::HopPeer))
        .collect();
    let mut said = Vec::new();
    let mut compare = |what: &str, field: fn(&Sample) -> Option<f64>, more_is_better: bool| {
        let own = ours.median(field)?;
        let figures = peers
            .iter()
            .filter_map(|line| Some((line.median(field)?, line.stack)));
        let (best, name) = figures.reduce(|one, other| {
            if (one.0 > other.0) == more_is_better {
                one
            } else {
                other
            }
        })?;
        said.push(format!("{what} {:.2} × {name}", own / best));
        Some(())
    };
    // Whatever a row does not measure says nothing.
    let _compared = [
        compare("rate", |s| s.rate, true),
        compare("p50", |s| s.p50_us, false),
        compare("CPU", |s| s.cpu_us, false),
        compare("memory", |s| s.each_kib, false),
    ];
    let direct = lines.iter().find(|line| line.kind == Kind::Direct);
    let limit = direct.and_then(|line| line.median(|s| s.rate));
    if let Some((own, limit)) = ours.median(|s| s.rate).zip(limit) {
        said.push(format!("rate {:.2} × direct", own / limit));
    }
    if let Some(keeps) = ours.median(|s| s.keeps) {
        said.push(format!("keeps {:.0} %", keeps * 100.0));
    }
    (!said.is_empty()).then(|| format!("{row}: {} has {}", ours.stack, said.join(", ")))
}

/// Whether a hop was faster than none.
pub(super) fn limit(row: &str, lines: &[&Line]) -> Option<String> {
    let direct = lines.iter().find(|line| line.kind == Kind::Direct)?;
    let speed = |line: &Line| line.median(|s| s.rate.or(s.bytes_per_s));
    let limit = speed(direct)? * BEATS_DIRECT;
    let faster = lines
        .iter()
        .find(|line| speed(line).is_some_and(|speed| speed > limit))?;
    Some(format!(
        "{row}: {} beats direct: generator or upstream was the limit, this row says little",
        faster.stack
    ))
}

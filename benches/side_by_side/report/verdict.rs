//! Whether targets were reached, and how far from them what was reached is.

use serde_json::{Value, json};

use super::line::{Line, rounded};
use crate::row::{ROWS, Row};
use crate::stack::Kind;
use crate::target::{Against, Figure, Target};

/// A target and what came of it.
#[derive(Debug)]
pub(super) struct Verdict {
    row: &'static str,
    target: Target,
    /// `None` when there was nothing to compare.
    reached: Option<Reached>,
}

/// What was reached.
#[derive(Debug)]
struct Reached {
    /// The factor or the figure, as the target has it.
    value: f64,
    /// Whose figure it was held against.
    against: Option<&'static str>,
    /// By what part of the target it fell short; 0 when it did not.
    missed_by: f64,
}

/// Of all rows that were run.
pub(super) fn verdicts(lines: &[Line]) -> Vec<Verdict> {
    let was_run = |row: &&Row| lines.iter().any(|line| line.row == row.id);
    let of_row = |row: &'static Row| {
        let lines: Vec<&Line> = lines.iter().filter(|line| line.row == row.id).collect();
        let verdict = move |target: &Target| Verdict {
            row: row.id,
            target: *target,
            reached: reach(target, &lines),
        };
        row.targets.iter().map(verdict)
    };
    ROWS.iter().filter(was_run).flat_map(of_row).collect()
}

impl Verdict {
    /// For people.
    pub(super) fn in_words(&self) -> String {
        let target = self.target.in_words();
        let Some(reached) = &self.reached else {
            return format!("{:<9}{target:<38}not measured", self.row);
        };
        let told = match (self.target.against, reached.against) {
            (Against::Itself(_), _) => self.target.figure.told(reached.value),
            (Against::One(_), Some(stack)) => {
                format!("{:+.0} % with {stack}", (reached.value - 1.0) * 100.0)
            }
            (_, stack) => format!("{:.2} × {}", reached.value, stack.unwrap_or_default()),
        };
        let end = if reached.is_met() {
            "met".to_owned()
        } else {
            format!("missed by {:.0} %", reached.missed_by * 100.0)
        };
        format!("{:<9}{target:<38}{told:<26}{end}", self.row)
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let reached = self.reached.as_ref();
        json!({
            "row": self.row,
            "target": self.target.in_words(),
            "reached": reached.map(|reached| rounded(reached.value)),
            "against": reached.and_then(|reached| reached.against),
            "met": reached.map(Reached::is_met),
            "missed_by": reached.map(|reached| rounded(reached.missed_by)),
        })
    }
}

impl Reached {
    fn is_met(&self) -> bool {
        self.missed_by <= 0.0
    }
}

fn reach(target: &Target, lines: &[&Line]) -> Option<Reached> {
    let figure = target.figure;
    match target.against {
        Against::BestPeer(factor) => {
            let is_peer = |line: &Line| matches!(line.kind, Kind::TunnelPeer | Kind::HopPeer);
            factor_of(best(figure, lines, is_peer)?, factor, (figure, lines))
        }
        Against::Rathole(factor) => {
            let is_rathole = |line: &Line| line.stack.starts_with("rathole");
            factor_of(best(figure, lines, is_rathole)?, factor, (figure, lines))
        }
        Against::Direct(factor) => {
            let is_direct = |line: &Line| line.kind == Kind::Direct;
            factor_of(best(figure, lines, is_direct)?, factor, (figure, lines))
        }
        Against::Itself(bound) => {
            let value = ours(lines)?.figure(figure)?;
            Some(Reached {
                value,
                against: None,
                missed_by: missed_by(figure, value, bound),
            })
        }
        Against::One(part) => flat(figure, lines, part),
    }
}

fn ours<'l>(lines: &[&'l Line]) -> Option<&'l Line> {
    let is_ours = |line: &&&Line| matches!(line.kind, Kind::Tunnel | Kind::Hop);
    lines.iter().find(is_ours).copied()
}

/// The best figure among some lines, and whose it is.
fn best(
    figure: Figure,
    lines: &[&Line],
    among: impl Fn(&Line) -> bool,
) -> Option<(f64, &'static str)> {
    let figures = lines.iter().filter(|line| among(line));
    let figures = figures.filter_map(|line| Some((line.figure(figure)?, line.stack)));
    figures.reduce(|one, other| {
        if (one.0 > other.0) == figure.more_is_better() {
            one
        } else {
            other
        }
    })
}

fn factor_of(
    (other, name): (f64, &'static str),
    factor: f64,
    (figure, lines): (Figure, &[&Line]),
) -> Option<Reached> {
    let value = ours(lines)?.figure(figure)? / other;
    Some(Reached {
        value,
        against: Some(name),
        missed_by: missed_by(figure, value, factor),
    })
}

fn missed_by(figure: Figure, value: f64, bound: f64) -> f64 {
    let short = if figure.more_is_better() {
        bound - value
    } else {
        value - bound
    };
    (short / bound).max(0.0)
}

/// The number (of anchors, of tunnels) whose figure differs most from that with one.
fn flat(figure: Figure, lines: &[&Line], part: f64) -> Option<Reached> {
    let (one, more) = lines.split_first()?;
    let of_one = one.figure(figure)?;
    let ratios = more
        .iter()
        .filter_map(|line| Some((line.figure(figure)? / of_one, line.stack)));
    let off = |ratio: f64| (ratio - 1.0).abs();
    let (value, stack) = ratios.reduce(|one, other| {
        if off(one.0) >= off(other.0) {
            one
        } else {
            other
        }
    })?;
    Some(Reached {
        value,
        against: Some(stack),
        missed_by: (off(value) - part).max(0.0),
    })
}

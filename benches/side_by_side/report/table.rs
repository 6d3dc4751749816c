//! The table: a line each row and stack.

use super::line::Line;
use crate::suite::Sample;

const HEAD: [&str; 14] = [
    "row", "stack", "rate/s", "MB/s", "p50 µs", "p99 µs", "CPU µs", "MiB", "KiB each", "entrance",
    "keeps", "spread", "gen/up", "rounds",
];
const WIDTHS: [usize; 14] = [9, 16, 10, 8, 9, 10, 9, 8, 10, 10, 7, 8, 10, 8];

/// All columns but the first, for a row whose name stands above.
pub(super) fn short(line: &Line) -> String {
    cells(line)
        .iter()
        .zip(WIDTHS)
        .skip(1)
        .map(|(cell, width)| format!("{cell:>width$}"))
        .collect()
}

/// Head and lines; names stand to the left.
pub(super) fn whole(lines: &[Line]) -> Vec<String> {
    let head = HEAD.map(str::to_owned);
    let all = std::iter::once(head).chain(lines.iter().map(cells));
    all.map(|cells| {
        let padded = cells.iter().zip(WIDTHS).enumerate();
        let padded = padded.map(|(column, (cell, width))| {
            if column < 2 {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        padded.collect()
    })
    .collect()
}

fn cells(line: &Line) -> [String; 14] {
    let text = |value: Option<f64>, places: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.places$}"))
    };
    let part = |value: Option<f64>| text(value.map(|part| part * 100.0), 0);
    let megabytes = line.median(|s| s.bytes_per_s).map(|bytes| bytes / 1e6);
    let cpu = line.median(|s| s.cpu_us);
    let cores = |field: fn(&Sample) -> Option<f64>| text(line.median(field), 1);
    [
        line.row.to_owned(),
        line.stack.to_owned(),
        text(line.median(|s| s.rate), 0),
        text(megabytes, 0),
        text(line.median(|s| s.p50_us), 0),
        text(line.median(|s| s.p99_us), 0),
        text(
            cpu,
            if cpu.is_some_and(|cpu| cpu >= 1e4) {
                0
            } else {
                1
            },
        ),
        text(line.median(|s| s.rss_kib).map(|kib| kib / 1024.0), 1),
        text(line.median(|s| s.each_kib), 1),
        text(line.median(|s| s.entrance_each_kib), 1),
        format!("{}%", part(line.median(|s| s.keeps))).replace("-%", "-"),
        format!("{}%", part(line.spread())).replace("-%", "-"),
        format!(
            "{}/{}",
            cores(|s| s.generator_cores),
            cores(|s| s.upstream_cores)
        ),
        if line.errors == 0 {
            line.samples.len().to_string()
        } else {
            format!("{} ({} errors)", line.samples.len(), line.errors)
        },
    ]
}

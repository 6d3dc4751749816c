//! What a run says in the end: a table for people, JSON for programs, and how Gangplank stands to the others.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::median::{median, spread};
use crate::row::Row;
use crate::stack::{Kind, Stack};
use crate::suite::Sample;

/// A hop that is faster than none shows that generator or upstream was the limit; below this it is noise.
const BEATS_DIRECT: f64 = 1.05;

/// One row and stack.
#[derive(Debug)]
pub(crate) struct Line {
    row: &'static str,
    stack: &'static str,
    kind: Kind,
    samples: Vec<Sample>,
    errors: u64,
}

/// All of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
}

impl Line {
    /// Nothing measured yet.
    pub(crate) fn new(row: &Row, stack: &Stack) -> Self {
        Self {
            row: row.id,
            stack: stack.name,
            kind: stack.kind,
            samples: Vec::new(),
            errors: 0,
        }
    }

    /// A turn's result. Answers why it does not count, if so.
    pub(crate) fn add(&mut self, sample: anyhow::Result<Sample>) -> Option<String> {
        match sample {
            Ok(sample) if sample.errors == 0 => {
                self.samples.push(sample);
                None
            }
            Ok(sample) => {
                self.errors += sample.errors;
                let first = sample.first_error.unwrap_or_default();
                Some(format!("{} errors, the first: {first}", sample.errors))
            }
            Err(error) => {
                self.errors += 1;
                Some(format!("{error:#}"))
            }
        }
    }

    fn values(&self, field: impl Fn(&Sample) -> Option<f64>) -> Vec<f64> {
        self.samples.iter().filter_map(field).collect()
    }

    fn median(&self, field: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(&self.values(field))
    }

    fn spread(&self) -> Option<f64> {
        let rates = self.values(|sample| sample.rate.or(sample.each_kib));
        spread(&rates)
    }

    /// Short, while the run goes on.
    pub(crate) fn in_words(&self) -> String {
        cells(self)
            .iter()
            .zip(WIDTHS)
            .skip(1)
            .map(|(cell, width)| format!("{cell:>width$}"))
            .collect()
    }

    fn json(&self) -> Value {
        let number = |field: fn(&Sample) -> Option<f64>| self.median(field);
        json!({
            "row": self.row,
            "stack": self.stack,
            "rate": number(|s| s.rate),
            "bytes_per_s": number(|s| s.bytes_per_s),
            "p50_us": number(|s| s.p50_us),
            "p99_us": number(|s| s.p99_us),
            "cpu_us": number(|s| s.cpu_us),
            "rss_kib": number(|s| s.rss_kib),
            "errors": self.errors,
            "rounds": self.samples.len(),
            "spread": self.spread(),
            "keeps": number(|s| s.keeps),
            "each_kib": number(|s| s.each_kib),
            "entrance_each_kib": number(|s| s.entrance_each_kib),
            "generator_cores": number(|s| s.generator_cores),
            "upstream_cores": number(|s| s.upstream_cores),
        })
    }
}

const HEAD: [&str; 14] = [
    "row", "stack", "rate/s", "MB/s", "p50 µs", "p99 µs", "CPU µs", "MiB", "KiB each", "entrance",
    "keeps", "spread", "gen/up", "rounds",
];
const WIDTHS: [usize; 14] = [9, 16, 10, 8, 9, 10, 9, 8, 10, 10, 7, 8, 10, 8];

fn cells(line: &Line) -> [String; 14] {
    let text = |value: Option<f64>, places: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.places$}"))
    };
    let part = |value: Option<f64>| text(value.map(|part| part * 100.0), 0);
    let megabytes = line.median(|s| s.bytes_per_s).map(|bytes| bytes / 1e6);
    let cores = |field: fn(&Sample) -> Option<f64>| text(line.median(field), 1);
    [
        line.row.to_owned(),
        line.stack.to_owned(),
        text(line.median(|s| s.rate), 0),
        text(megabytes, 0),
        text(line.median(|s| s.p50_us), 0),
        text(line.median(|s| s.p99_us), 0),
        text(line.median(|s| s.cpu_us), 1),
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

impl Report {
    /// Takes a row's lines in.
    pub(crate) fn extend(&mut self, lines: Vec<Line>) {
        self.lines.extend(lines);
    }

    /// The table, and what follows from it.
    pub(crate) fn print(&self) {
        println!();
        let head = HEAD.map(str::to_owned);
        for cells in std::iter::once(head).chain(self.lines.iter().map(cells)) {
            let padded = cells.iter().zip(WIDTHS).enumerate();
            let line: String = padded
                .map(|(column, (cell, width))| {
                    if column < 2 {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                })
                .collect();
            println!("{line}");
        }
        println!(
            "\nMedians. CPU µs: all processes of the path, for each answer. MiB: the same processes' memory (PSS). \
             gen/up: cores that generator and upstream used.\n"
        );
        for remark in self.remarks() {
            println!("{remark}");
        }
    }

    fn remarks(&self) -> Vec<String> {
        let mut rows: Vec<&str> = self.lines.iter().map(|line| line.row).collect();
        rows.dedup();
        let mut remarks = Vec::new();
        for row in rows {
            let lines: Vec<&Line> = self.lines.iter().filter(|line| line.row == row).collect();
            remarks.extend(standing(row, &lines));
            remarks.extend(limit(row, &lines));
        }
        remarks
    }

    /// One object a row and stack.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let objects: Vec<String> = self
            .lines
            .iter()
            .map(|line| line.json().to_string())
            .collect();
        let text = format!("[\n{}\n]\n", objects.join(",\n"));
        fs::write(path, text).with_context(|| path.display().to_string())?;
        println!("\nwritten: {}", path.display());
        Ok(())
    }
}

/// What Gangplank's figure is of the best peer's, of each thing that the row measures.
fn standing(row: &str, lines: &[&Line]) -> Option<String> {
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
fn limit(row: &str, lines: &[&Line]) -> Option<String> {
    let direct = lines.iter().find(|line| line.kind == Kind::Direct)?;
    let limit = direct.median(|s| s.rate)? * BEATS_DIRECT;
    let faster = lines
        .iter()
        .find(|line| line.median(|s| s.rate).is_some_and(|rate| rate > limit))?;
    Some(format!(
        "{row}: {} beats direct: generator or upstream was the limit, this row says little",
        faster.stack
    ))
}

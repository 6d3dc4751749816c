//! One row and stack: the samples of its rounds, and what they come to.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::median::{median, spread};
use crate::row::Row;
use crate::stack::{Kind, Stack};
use crate::suite::Sample;
use crate::target::Figure;

/// One row and stack.
#[derive(Debug)]
pub(crate) struct Line {
    pub(super) row: &'static str,
    pub(super) stack: &'static str,
    pub(super) kind: Kind,
    pub(super) samples: Vec<Sample>,
    pub(super) errors: u64,
}

/// Memory of a process in KiB.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Highest {
    pub(super) peak: f64,
    pub(super) growth: f64,
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

    /// The median of the rounds.
    pub(super) fn median(&self, field: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(&self.values(field))
    }

    /// How far the rounds lie apart in what the row is about.
    pub(super) fn spread(&self) -> Option<f64> {
        let about = |s: &Sample| {
            let of_crowd = s.p99_ratio();
            let of_tunnels = s.back_s.or(s.entrance_each_kib);
            of_crowd
                .or(s.rate)
                .or(s.each_kib)
                .or(s.bytes_per_s)
                .or(of_tunnels)
        };
        spread(&self.values(about))
    }

    /// What each process held at most in any of the rounds: of a bound, the median would say too little.
    pub(super) fn highest(&self) -> BTreeMap<&str, Highest> {
        let mut highest: BTreeMap<&str, Highest> = BTreeMap::new();
        for peak in self.samples.iter().flat_map(|sample| &sample.peaks) {
            let of_process = highest.entry(&peak.process).or_default();
            of_process.peak = of_process.peak.max(peak.peak_kib);
            of_process.growth = of_process.growth.max(peak.growth_kib);
        }
        highest
    }

    /// The figure that a target is about.
    pub(super) fn figure(&self, figure: Figure) -> Option<f64> {
        match figure {
            Figure::Rate => self.median(|s| s.rate),
            Figure::Cpu => self.median(|s| s.cpu_us),
            Figure::P50 => self.median(|s| s.p50_us),
            Figure::Each => self.median(|s| s.each_kib),
            Figure::EntranceEach => self.median(|s| s.entrance_each_kib),
            Figure::Keeps => self.median(|s| s.keeps),
            Figure::P99Ratio => self.median(Sample::p99_ratio),
            Figure::Growth => {
                let highest = self.highest();
                let growths = highest.values().map(|of_process| of_process.growth);
                growths.reduce(f64::max)
            }
            Figure::IdleCore => self.median(|s| s.idle_core),
            Figure::Back => self.median(|s| s.back_s),
            // Of a bound, the median would say too little.
            Figure::MostDials => self.values(|s| s.most_dials).into_iter().reduce(f64::max),
        }
    }

    /// What the table has no column for.
    pub(super) fn details(&self) -> Option<String> {
        let mut said = Vec::new();
        let number = |field: fn(&Sample) -> Option<f64>| self.median(field);
        if let Some((ratio, before)) = number(Sample::p99_ratio).zip(number(|s| s.p99_before_us)) {
            said.push(format!("p99 {ratio:.2} × the {before:.0} µs before"));
        }
        if let Some((ratio, before)) = number(Sample::p50_ratio).zip(number(|s| s.p50_before_us)) {
            said.push(format!("p50 {ratio:.2} × the {before:.0} µs before"));
        }
        if let Some(up) = number(|s| s.up_bytes_per_s) {
            said.push(format!("up {:.0} MB/s", up / 1e6));
        }
        if let Some(connections) = number(|s| s.upstream_connections) {
            said.push(format!("{connections:.0} connections to the upstream"));
        }
        if let Some(tunnels) = number(|s| s.tunnels) {
            said.push(format!(
                "{tunnels:.0} tunnels, {:.0} of them over TCP",
                number(|s| s.over_tcp).unwrap_or_default()
            ));
        }
        if let Some(core) = number(|s| s.idle_core) {
            said.push(format!("relay's CPU time {:.1} % of a core", core * 100.0));
        }
        if let Some(((all, half), most)) = number(|s| s.back_s)
            .zip(number(|s| s.back_p50_s))
            .zip(self.figure(Figure::MostDials))
        {
            said.push(format!("half of the agents back after {half:.2} s, all after {all:.2} s, with at most {most:.0} attempts each"));
        }
        said.extend(self.highest().into_iter().map(|(process, highest)| {
            format!(
                "{process} at most {:.1} MiB (grew by {:.1})",
                highest.peak / 1024.0,
                highest.growth / 1024.0
            )
        }));
        (!said.is_empty()).then(|| format!("{}, {}: {}", self.row, self.stack, said.join(", ")))
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let number = |field: fn(&Sample) -> Option<f64>| self.median(field).map(rounded);
        let memory: Map<String, Value> = self
            .highest()
            .into_iter()
            .map(|(process, highest)| {
                let told = json!({ "peak_kib": highest.peak, "growth_kib": highest.growth });
                (process.to_owned(), told)
            })
            .collect();
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
            "spread": self.spread().map(rounded),
            "keeps": number(|s| s.keeps),
            "each_kib": number(|s| s.each_kib),
            "entrance_each_kib": number(|s| s.entrance_each_kib),
            "up_bytes_per_s": number(|s| s.up_bytes_per_s),
            "p50_before_us": number(|s| s.p50_before_us),
            "p99_before_us": number(|s| s.p99_before_us),
            "p50_ratio": number(Sample::p50_ratio),
            "p99_ratio": number(Sample::p99_ratio),
            "upstream_connections": number(|s| s.upstream_connections),
            "tunnels": number(|s| s.tunnels),
            "over_tcp": number(|s| s.over_tcp),
            "idle_core": number(|s| s.idle_core),
            "back_p50_s": number(|s| s.back_p50_s),
            "back_p99_s": number(|s| s.back_p99_s),
            "back_s": number(|s| s.back_s),
            "dials": number(|s| s.dials),
            "most_dials": number(|s| s.most_dials),
            "memory": memory,
            "generator_cores": number(|s| s.generator_cores),
            "upstream_cores": number(|s| s.upstream_cores),
        })
    }
}

/// Three places are more than any figure is worth.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

//! What the wide area came to, as a table, as JSON, and beside what was wanted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::part::Part;
use crate::median::{median, spread};

/// A stack at so much loss of a thousand.
type Cell = (&'static str, u32);

/// What bulk must reach of TCP's own, without a hop.
const BULK_OF_DIRECT: f64 = 0.9;

/// What must be left of k16 beside the stalled.
const KEPT: f64 = 0.9;

/// The whole of it.
#[derive(Debug)]
pub(crate) struct Wan {
    control: String,
    queue: usize,
    order: Vec<Cell>,
    parts: BTreeMap<Cell, Vec<Part>>,
    kept: BTreeMap<&'static str, Vec<f64>>,
    broken: Vec<String>,
    pub(super) unasked_losses: u64,
}

/// A figure of all rounds.
type Figure = fn(&Part) -> f64;

impl Wan {
    /// Nothing measured yet.
    pub(super) const fn new(control: String, queue: usize) -> Self {
        Self {
            control,
            queue,
            order: Vec::new(),
            parts: BTreeMap::new(),
            kept: BTreeMap::new(),
            broken: Vec::new(),
            unasked_losses: 0,
        }
    }

    /// Takes a part in. Answers it in words.
    pub(super) fn take(&mut self, cell: Cell, part: anyhow::Result<Part>) -> String {
        match part {
            Ok(part) => {
                if !self.order.contains(&cell) {
                    self.order.push(cell);
                }
                self.parts.entry(cell).or_default().push(part);
                line(cell, &[part])
            }
            Err(error) => self.note(&format!(
                "{} at {} ‰ does not count: {error:#}",
                cell.0, cell.1
            )),
        }
    }

    /// Takes in what of k16 was left beside the stalled. Answers it in words.
    pub(super) fn take_stall(&mut self, stack: &'static str, kept: anyhow::Result<f64>) -> String {
        match kept {
            Ok(kept) => {
                self.kept.entry(stack).or_default().push(kept);
                format!("{stack} keeps {:.0} % beside the stalled", kept * 100.0)
            }
            Err(error) => self.note(&format!(
                "{stack} beside the stalled does not count: {error:#}"
            )),
        }
    }

    fn note(&mut self, said: &str) -> String {
        self.broken.push(said.to_owned());
        said.to_owned()
    }

    /// For people.
    pub(crate) fn print(&self) {
        println!(
            "\nwan: 100 Mbit/s, 40 ms, a queue of {} bytes; TCP's congestion control is {} unless a name says otherwise; \
             {} packets lost otherwise than asked",
            self.queue, self.control, self.unasked_losses
        );
        let mut order = self.order.clone();
        order.sort_by_key(|(_, loss)| *loss);
        for cell in &order {
            if let Some(parts) = self.parts.get(cell) {
                println!("  {}", line(*cell, parts));
            }
        }
        for (stack, kept) in &self.kept {
            let kept = median(kept).unwrap_or_default();
            println!(
                "  {stack} keeps {:.0} % of k16 beside the stalled",
                kept * 100.0
            );
        }
        for said in self.verdicts().iter().chain(&self.broken) {
            println!("  {said}");
        }
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let cells: Vec<Value> = self
            .parts
            .iter()
            .map(|(cell, parts)| told(*cell, parts))
            .collect();
        let kept = self
            .kept
            .iter()
            .map(|(stack, kept)| json!({ "stack": stack, "keeps": median(kept) }));
        json!({
            "tcp_congestion_control": self.control,
            "queue_bytes": self.queue,
            "unasked_losses": self.unasked_losses,
            "parts": cells,
            "stall": kept.collect::<Vec<_>>(),
            "targets": self.verdicts(),
            "broken": self.broken,
        })
    }

    fn figure(&self, cell: Cell, figure: Figure) -> Option<f64> {
        let values: Vec<f64> = self.parts.get(&cell)?.iter().map(figure).collect();
        median(&values)
    }

    fn verdicts(&self) -> Vec<String> {
        let mut losses: Vec<u32> = self.order.iter().map(|(_, loss)| *loss).collect();
        losses.sort_unstable();
        losses.dedup();
        let mut said = Vec::new();
        for loss in losses {
            for direct in ["direct", "direct-cubic"] {
                said.extend(self.beside_direct(loss, direct));
            }
        }
        if let Some(kept) = self.kept.get("gangplank").and_then(|kept| median(kept)) {
            let met = met(kept >= KEPT, (KEPT - kept) / KEPT);
            said.push(format!("stall: keeps {:.0} %: {met}", kept * 100.0));
        }
        said
    }

    fn beside_direct(&self, loss: u32, direct: &'static str) -> Vec<String> {
        let ratio = |figure: Figure| {
            let own = self.figure(("gangplank", loss), figure)?;
            Some(own / self.figure((direct, loss), figure)?)
        };
        let bulk = ratio(|part| part.bulk).map(|ratio| {
            let met = met(
                ratio >= BULK_OF_DIRECT,
                (BULK_OF_DIRECT - ratio) / BULK_OF_DIRECT,
            );
            format!("{loss} ‰: bulk {ratio:.2} × {direct}: {met}")
        });
        let small = ratio(|part| part.small_beside.p99).map(|ratio| {
            let met = met(ratio <= 1.0, ratio - 1.0);
            format!("{loss} ‰: p99 of small under bulk {ratio:.2} × {direct}: {met}")
        });
        bulk.into_iter().chain(small).collect()
    }
}

fn met(met: bool, missed_by: f64) -> String {
    if met {
        "met".to_owned()
    } else {
        format!("missed by {:.0} %", missed_by * 100.0)
    }
}

fn of(parts: &[Part], figure: Figure) -> f64 {
    let values: Vec<f64> = parts.iter().map(figure).collect();
    median(&values).unwrap_or_default()
}

fn spread_of(parts: &[Part], figure: Figure) -> f64 {
    let values: Vec<f64> = parts.iter().map(figure).collect();
    spread(&values).unwrap_or_default()
}

fn line((stack, loss): Cell, parts: &[Part]) -> String {
    let megabytes = |figure| of(parts, figure) / 1e6;
    let milliseconds = |figure| of(parts, figure) / 1e3;
    format!(
        "{loss:>3} ‰ {stack:<16} bulk {:>6.2} MB/s (spread {:>3.0} %), small p50 {:>5.1} p99 {:>6.1} ms; \
         both: {:>6.2} MB/s, p50 {:>5.1} p99 {:>6.1} ms (spread {:>3.0} %); link {:.2} cores, {} rounds",
        megabytes(|part| part.bulk),
        spread_of(parts, |part| part.bulk) * 100.0,
        milliseconds(|part| part.small.p50),
        milliseconds(|part| part.small.p99),
        megabytes(|part| part.bulk_beside),
        milliseconds(|part| part.small_beside.p50),
        milliseconds(|part| part.small_beside.p99),
        spread_of(parts, |part| part.small_beside.p99) * 100.0,
        of(parts, |part| part.link_core),
        parts.len()
    )
}

fn told((stack, loss): Cell, parts: &[Part]) -> Value {
    json!({
        "stack": stack,
        "loss_per_mille": loss,
        "rounds": parts.len(),
        "bulk_bytes_per_s": of(parts, |part| part.bulk).round(),
        "bulk_spread": spread_of(parts, |part| part.bulk),
        "small_p50_us": of(parts, |part| part.small.p50).round(),
        "small_p99_us": of(parts, |part| part.small.p99).round(),
        "bulk_beside_bytes_per_s": of(parts, |part| part.bulk_beside).round(),
        "small_beside_p50_us": of(parts, |part| part.small_beside.p50).round(),
        "small_beside_p99_us": of(parts, |part| part.small_beside.p99).round(),
        "small_beside_p99_spread": spread_of(parts, |part| part.small_beside.p99),
        "link_cores": of(parts, |part| part.link_core),
    })
}

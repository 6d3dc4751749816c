//! What each process of a path held in memory at most.
//!
//! The kernel keeps the highest resident size of every process (`VmHWM`), so no peak is missed between two
//! looks. It knows none of the proportional size, so pages that workers share count once for each of them; in
//! the growth they cancel out.

use std::fs;

use super::{Process, all_stats, family};

/// Written to `/proc/PID/clear_refs`: the highest size becomes the size of now (proc(5)).
const FORGET_PEAK: &str = "5";

/// One process, with all that it started.
#[derive(Debug, Clone)]
pub(crate) struct Peak {
    /// What it is called in its stack.
    pub(crate) process: String,
    /// Most that was resident since the mark.
    pub(crate) peak_kib: f64,
    /// How far that is above what was resident at the mark.
    pub(crate) growth_kib: f64,
}

/// A moment from which peaks count.
#[derive(Debug)]
pub(crate) struct Watermark {
    /// Name, number, and what was resident.
    marked: Vec<(String, u32, f64)>,
}

impl Watermark {
    /// Now.
    pub(crate) fn set(processes: &[Process]) -> Self {
        let stats = all_stats();
        let marked = processes.iter().map(|process| {
            let pids = family(&[process.pid()], &stats);
            for pid in &pids {
                // Without the right to it, the peak of its start may be counted.
                drop(fs::write(format!("/proc/{pid}/clear_refs"), FORGET_PEAK));
            }
            let resident = sum(&pids, "VmRSS:");
            (process.name().to_owned(), process.pid(), resident)
        });
        Self {
            marked: marked.collect(),
        }
    }

    /// The peaks since then.
    pub(crate) fn peaks(&self) -> Vec<Peak> {
        let stats = all_stats();
        let peaks = self.marked.iter().map(|(process, pid, before)| {
            let peak_kib = sum(&family(&[*pid], &stats), "VmHWM:");
            Peak {
                process: process.clone(),
                peak_kib,
                growth_kib: peak_kib - before,
            }
        });
        peaks.collect()
    }
}

/// What is resident of a process and all that it started.
pub(super) fn resident(pid: u32) -> f64 {
    sum(&family(&[pid], &all_stats()), "VmRSS:")
}

fn sum(pids: &[u32], field: &str) -> f64 {
    let each = pids.iter().filter_map(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    });
    each.sum()
}

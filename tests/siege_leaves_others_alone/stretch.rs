//! A time in which the victim is watched, and what the processes of the path did in it.

use tokio::time::Instant;

use super::ground::Ground;
use super::line::Memory;
use super::victim::{Victim, Window};

/// A stretch of time.
pub(super) struct Stretch {
    from: Instant,
    to: Instant,
    /// CPU time of each process, in hundredths of a second.
    ticks: Vec<u64>,
    memory: Vec<Memory>,
}

impl Stretch {
    /// From now on.
    pub(super) fn begin(ground: &Ground) -> Self {
        let (from, mut memory, mut ticks) = (Instant::now(), Vec::new(), Vec::new());
        for process in ground.processes() {
            process.forget_peak();
            let resident = process.resident_kib();
            memory.push(Memory {
                before: resident,
                peak: resident,
                after: resident,
            });
            ticks.push(process.cpu_ticks());
        }
        Self {
            from,
            to: from,
            ticks,
            memory,
        }
    }

    /// Until now.
    pub(super) fn end(mut self, ground: &Ground) -> Self {
        self.to = Instant::now();
        let each = self.ticks.iter_mut().zip(&mut self.memory);
        for (process, (ticks, memory)) in ground.processes().into_iter().zip(each) {
            *ticks = process.cpu_ticks() - *ticks;
            memory.peak = process.peak_kib();
            memory.after = process.resident_kib();
        }
        self
    }

    /// How it was for the victim.
    pub(super) fn window(&self, victim: &Victim) -> Window {
        victim.window(self.from, self.to)
    }

    /// What each process held, the exit last.
    pub(super) fn memory(&self) -> &[Memory] {
        &self.memory
    }

    /// Its length.
    pub(super) fn seconds(&self) -> f64 {
        (self.to - self.from).as_secs_f64()
    }

    /// Cores that each process used, less what it used in another stretch.
    pub(super) fn cores_beyond(&self, other: &Self) -> Vec<f64> {
        let both = self.cores().into_iter().zip(other.cores());
        both.map(|(here, there)| (here - there).max(0.0)).collect()
    }

    fn cores(&self) -> Vec<f64> {
        let seconds = |ticks: &u64| f64::from(u32::try_from(*ticks).expect("minutes")) / 100.0;
        let cores = self
            .ticks
            .iter()
            .map(|ticks| seconds(ticks) / self.seconds());
        cores.collect()
    }
}

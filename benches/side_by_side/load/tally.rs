//! What workers count, and when it counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, error::TryRecvError};
use tokio_util::sync::CancellationToken;

use crate::clock::nanoseconds;

/// How long workers may take to finish what they had begun when the window closed.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Where a run is, after its warm-up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    Measure,
    Over,
}

/// The run's phase, for all workers.
#[derive(Debug, Default)]
pub(super) struct Window {
    phase: AtomicU8,
    begun: CancellationToken,
    over: CancellationToken,
    standing: AtomicUsize,
    finished: AtomicUsize,
}

impl Window {
    /// Goes on to a phase.
    pub(super) fn set(&self, phase: Phase) {
        let number = match phase {
            Phase::Measure => 1,
            Phase::Over => 2,
        };
        self.phase.store(number, Ordering::Relaxed);
        match phase {
            Phase::Measure => self.begun.cancel(),
            Phase::Over => self.over.cancel(),
        }
    }

    fn counts(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == 1
    }

    /// Workers that are connected, or will never be.
    pub(super) fn standing(&self) -> usize {
        self.standing.load(Ordering::Relaxed)
    }

    /// Workers that are done, or have failed.
    pub(super) fn finished(&self) -> usize {
        self.finished.load(Ordering::Relaxed)
    }
}

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) nanoseconds: Vec<u32>,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
}

impl Tally {
    /// Adds up what the workers report; those that hang are errors.
    pub(super) fn gather(reports: &mut Receiver<Self>) -> Self {
        let mut total = Self::default();
        let deadline = Duration::from_nanos(nanoseconds()) + LAST_ANSWERS;
        loop {
            match reports.try_recv() {
                Ok(tally) => total.absorb(tally),
                Err(TryRecvError::Disconnected) => return total,
                Err(TryRecvError::Empty) if Duration::from_nanos(nanoseconds()) < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(TryRecvError::Empty) => {
                    total.fail("an answer did not come to its end");
                    return total;
                }
            }
        }
    }

    fn absorb(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
        self.nanoseconds.extend(other.nanoseconds);
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    fn fail(&mut self, error: &str) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_owned());
    }
}

/// One worker's part. Reports when dropped.
#[derive(Debug)]
pub(super) struct Worker {
    window: Arc<Window>,
    reports: Sender<Tally>,
    tally: Tally,
    stands: bool,
}

impl Worker {
    /// One that is not connected yet.
    pub(super) fn new(window: &Arc<Window>, reports: &Sender<Tally>) -> Self {
        Self {
            window: Arc::clone(window),
            reports: reports.clone(),
            tally: Tally::default(),
            stands: false,
        }
    }

    /// It is connected.
    pub(super) fn stand(&mut self) {
        if !self.stands {
            self.stands = true;
            self.window.standing.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until it counts.
    pub(super) fn begun(&self) -> impl Future<Output = ()> + Send + 'static {
        self.window.begun.clone().cancelled_owned()
    }

    /// Whether to stop.
    pub(super) fn is_over(&self) -> bool {
        self.window.phase.load(Ordering::Relaxed) == 2
    }

    /// Waits until it is time to stop.
    pub(super) fn over(&self) -> impl Future<Output = ()> + Send + 'static {
        self.window.over.clone().cancelled_owned()
    }

    /// An answer that was asked for at `begun` has ended.
    pub(super) fn note(&mut self, begun: u64, bytes: u64) {
        if self.window.counts() {
            let took = nanoseconds().saturating_sub(begun);
            self.tally.count += 1;
            self.tally.bytes += bytes;
            self.tally
                .nanoseconds
                .push(u32::try_from(took).unwrap_or(u32::MAX));
        }
    }

    /// Bytes of an answer that goes on have come.
    pub(super) fn note_bytes(&mut self, bytes: u64) {
        if self.window.counts() {
            self.tally.count += 1;
            self.tally.bytes += bytes;
        }
    }

    /// Something went wrong.
    pub(super) fn fail(&mut self, error: &anyhow::Error) {
        self.tally.fail(&format!("{error:#}"));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stand();
        // There is room for each worker's one report.
        drop(self.reports.try_send(std::mem::take(&mut self.tally)));
        self.window.finished.fetch_add(1, Ordering::Relaxed);
    }
}

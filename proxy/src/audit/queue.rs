//! Lines on their way from the tasks that end requests to the thread that writes them.
//!
//! A push is a copy under a short lock. It wakes the writer only if that sleeps, and the writer sleeps
//! only after it found nothing for a while: under load it comes by on its own clock and takes all that is
//! there, so that many events cost one wake-up and one write.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many bytes of lines may wait: about fifteen thousand events of usual length, which is what
/// kube-apiserver lets wait for its webhook (10,000) and half as many again. The writer may hold as much.
pub(super) const BOUND: usize = 8 * 1024 * 1024;

/// How long the writer stays up after a write to see whether more comes. A hundred wake-ups a second cost
/// nothing; and so much of the trail is lost at most when the process is killed.
const LINGER: Duration = Duration::from_millis(10);

/// Room that is kept for the next lines; what a burst needed beyond it is given back.
const KEPT_ROOM: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Told when the sleeping writer has something to do.
    stir: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    events: u64,
    /// The writer waits until it is told.
    asleep: bool,
    end: End,
    /// Events were turned away since the writer last came by.
    full: bool,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    /// More will come.
    #[default]
    Open,
    /// No more will come than is there.
    Closed,
    /// Nobody waits for what is there either.
    Abandoned,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Waits,
    /// There was no room, for the first time since the writer last came by.
    FirstDropped,
    Dropped,
}

/// Whole lines that the writer has taken.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<u8>,
    pub(super) events: u64,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            stir: Condvar::new(),
        }
    }

    /// Lets `render` append one line.
    pub(super) fn push(&self, render: impl FnOnce(&mut Vec<u8>)) -> Pushed {
        let mut waiting = self.lock();
        let before = waiting.lines.len();
        if before >= BOUND {
            let first = !std::mem::replace(&mut waiting.full, true);
            return if first {
                Pushed::FirstDropped
            } else {
                Pushed::Dropped
            };
        }
        render(&mut waiting.lines);
        waiting.events += 1;
        let half = before < BOUND / 2 && waiting.lines.len() >= BOUND / 2;
        let wakes = std::mem::take(&mut waiting.asleep) || half;
        drop(waiting);
        if wakes {
            self.stir.notify_one();
        }
        Pushed::Waits
    }

    /// Waits for lines and takes all that are there; `false` when none will come any more. `batch` gives
    /// its room for the next ones.
    pub(super) fn take(&self, batch: &mut Batch) -> bool {
        batch.lines.clear();
        batch.lines.shrink_to(KEPT_ROOM);
        let mut waiting = self.lock();
        while waiting.lines.is_empty() {
            if waiting.end != End::Open {
                return false;
            }
            waiting.asleep = true;
            waiting = self
                .stir
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        waiting.asleep = false;
        waiting.full = false;
        std::mem::swap(&mut waiting.lines, &mut batch.lines);
        batch.events = std::mem::take(&mut waiting.events);
        true
    }

    /// Lets some more lines come before the next [`take`](Self::take).
    pub(super) fn linger(&self) {
        let waiting = self.lock();
        if waiting.end == End::Open && waiting.lines.len() < BOUND / 2 {
            // Whether it was told or the time is over is the same.
            drop(self.stir.wait_timeout(waiting, LINGER));
        }
    }

    /// Waits so long, or until the end has come nearer; `false` when nobody waits for the writer.
    pub(super) fn rest(&self, time: Duration) -> bool {
        let end = self.lock().end;
        let unchanged = |waiting: &mut Waiting| waiting.end == end && end != End::Abandoned;
        self.stir
            .wait_timeout_while(self.lock(), time, unchanged)
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .end
            != End::Abandoned
    }

    /// Nothing will be pushed any more; what is there should be written now.
    pub(super) fn close(&self) {
        self.lock().end = End::Closed;
        self.stir.notify_one();
    }

    /// Nobody waits any more for what is not written yet: so many events, but for the writer's own.
    pub(super) fn abandon(&self) -> u64 {
        let mut waiting = self.lock();
        waiting.end = End::Abandoned;
        let left = waiting.events;
        drop(waiting);
        self.stir.notify_one();
        left
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Lines on their way from the tasks that end requests to the thread that writes them.
//!
//! A push is a copy under a short lock. It wakes the writer only if that sleeps, and the writer sleeps
//! only after it found nothing for a while: under load it comes by on its own clock and takes all that is
//! there, so that many events cost one wake-up and one write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gangplank_config::role::audit::WhenFull;
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How many bytes of lines may wait: about ten thousand events of usual length, as many as kube-apiserver
/// lets wait for its webhook. The writer may hold as much again.
pub(super) const BOUND: usize = 8 * 1024 * 1024;

/// How many of them may be of requests that were refused out of hand: strangers can send those as fast as they
/// like, and must neither push out nor hold up the events of what was done.
pub(super) const BOUND_OF_REFUSALS: usize = BOUND / 2;

/// How long the writer stays up after a write to see whether more comes. A hundred wake-ups a second cost
/// nothing; and so much of the trail is lost at most when the process is killed.
const LINGER: Duration = Duration::from_millis(10);

/// How long a request may wait for room: what a collector takes to start anew, and less than a person
/// takes to give up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Room that is kept for the next lines; what a burst needed beyond it is given back.
const KEPT_ROOM: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Queue {
    when_full: WhenFull,
    waiting: Mutex<Waiting>,
    /// Told when the sleeping writer has something to do.
    stir: Condvar,
    /// As many bytes wait as may, or more.
    full: AtomicBool,
    /// Told when there is room again.
    room: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    events: u64,
    /// Events that the writer has taken and may not have written.
    in_hand: u64,
    /// The writer waits until it is told.
    asleep: bool,
    end: End,
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

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A request that was, or may have been, done.
    Something,
    /// One that was refused out of hand.
    Refusal,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits.
    Waits,
    /// It waits, and nothing more should.
    Filled,
    /// There was no room.
    Dropped,
}

/// Whole lines that the writer has taken.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<u8>,
    pub(super) events: u64,
}

impl Queue {
    pub(super) fn new(when_full: WhenFull) -> Self {
        Self {
            when_full,
            waiting: Mutex::default(),
            stir: Condvar::new(),
            full: AtomicBool::new(false),
            room: Notify::new(),
        }
    }

    pub(super) const fn when_full(&self) -> WhenFull {
        self.when_full
    }

    /// Lets `render` append one line, if there is room. Where a full queue blocks, there always is for what was
    /// done: then the requests that run are the last ones.
    pub(super) fn push(&self, about: About, render: impl FnOnce(&mut Vec<u8>)) -> Pushed {
        let mut waiting = self.waiting.lock();
        let before = waiting.lines.len();
        let has_room = match (about, self.when_full) {
            (About::Refusal, _) => before < BOUND_OF_REFUSALS,
            (About::Something, WhenFull::Drop) => before < BOUND,
            (About::Something, WhenFull::Block) => true,
        };
        if !has_room {
            return Pushed::Dropped;
        }
        render(&mut waiting.lines);
        waiting.events += 1;
        let after = waiting.lines.len();
        let reaches = |mark: usize| before < mark && after >= mark;
        if reaches(BOUND) {
            self.full.store(true, Ordering::Release);
        }
        let wakes = std::mem::take(&mut waiting.asleep) || reaches(BOUND / 2);
        drop(waiting);
        if wakes {
            self.stir.notify_one();
        }
        if reaches(BOUND) {
            Pushed::Filled
        } else {
            Pushed::Waits
        }
    }

    /// Waits until there is room; `false` when that takes too long. Where a full queue drops, nobody has
    /// to wait.
    pub(super) async fn has_room(&self) -> bool {
        if self.when_full == WhenFull::Drop || !self.is_full() {
            return true;
        }
        let room = async {
            loop {
                let told = self.room.notified();
                if !self.is_full() {
                    return;
                }
                told.await;
            }
        };
        timeout(PATIENCE, room).await.is_ok()
    }

    fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Waits for lines and takes all that are there; `false` when none will come any more. `batch` gives
    /// its room for the next ones.
    pub(super) fn take(&self, batch: &mut Batch) -> bool {
        batch.lines.clear();
        batch.lines.shrink_to(KEPT_ROOM);
        let mut waiting = self.waiting.lock();
        waiting.in_hand = 0;
        while waiting.lines.is_empty() {
            if waiting.end != End::Open {
                return false;
            }
            waiting.asleep = true;
            self.stir.wait(&mut waiting);
        }
        waiting.asleep = false;
        std::mem::swap(&mut waiting.lines, &mut batch.lines);
        batch.events = std::mem::take(&mut waiting.events);
        waiting.in_hand = batch.events;
        let was_full = self.full.swap(false, Ordering::AcqRel);
        drop(waiting);
        if was_full {
            self.room.notify_waiters();
        }
        true
    }

    /// Lets some more lines come before the next [`take`](Self::take).
    pub(super) fn linger(&self) {
        let mut waiting = self.waiting.lock();
        if waiting.end == End::Open && waiting.lines.len() < BOUND / 2 {
            // Whether it was told or the time is over is the same.
            self.stir.wait_for(&mut waiting, LINGER);
        }
    }

    /// Waits so long, or until the end has come nearer; `false` when nobody waits for the writer.
    pub(super) fn rest(&self, time: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        let end = waiting.end;
        let unchanged = |waiting: &mut Waiting| waiting.end == end && end != End::Abandoned;
        self.stir.wait_while_for(&mut waiting, unchanged, time);
        waiting.end != End::Abandoned
    }

    /// Nothing will be pushed any more; what is there should be written now.
    pub(super) fn close(&self) {
        self.waiting.lock().end = End::Closed;
        self.stir.notify_one();
    }

    /// Nobody waits any more for what is not written yet: so many events at most.
    pub(super) fn abandon(&self) -> u64 {
        let mut waiting = self.waiting.lock();
        waiting.end = End::Abandoned;
        let left = waiting.events + waiting.in_hand;
        drop(waiting);
        self.stir.notify_one();
        left
    }

    /// How many events are not written yet, at most.
    pub(super) fn events(&self) -> u64 {
        let waiting = self.waiting.lock();
        waiting.events + waiting.in_hand
    }
}

#[cfg(test)]
mod tests;

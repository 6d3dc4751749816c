//! The thread that writes: takes what waits, gives it to the sink, and does not give up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gangplank_pki::WithCauses;

use super::Sink;
use super::metrics::TrailMetrics;
use super::queue::{Batch, Queue};

/// The pauses between two attempts at a sink that fails: soon at first, since most causes pass at once (a
/// full pipe, a collector that restarts), and never so long that a mended sink goes unnoticed.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What the thread works with.
pub(super) struct Writing {
    queue: Arc<Queue>,
    sink: Box<dyn Sink>,
    metrics: TrailMetrics,
}

impl Writing {
    pub(super) fn new(queue: Arc<Queue>, sink: Box<dyn Sink>, metrics: TrailMetrics) -> Self {
        Self {
            queue,
            sink,
            metrics,
        }
    }

    /// Writes until the queue is closed and empty, or abandoned.
    pub(super) fn run(mut self) {
        let mut batch = Batch::default();
        while self.queue.take(&mut batch) {
            if !self.deliver(&batch.lines) {
                return;
            }
            self.metrics.written.inc_by(batch.events);
            self.queue.linger();
        }
    }

    /// Offers the lines until the sink has all of them; `false` when nobody waits for that any more.
    fn deliver(&mut self, lines: &[u8]) -> bool {
        let (mut left, mut pause) = (lines, FIRST_PAUSE);
        while !left.is_empty() {
            let fault = match self.sink.write(left) {
                Ok(written) if written > 0 => {
                    left = left.get(written..).unwrap_or_default();
                    if pause > FIRST_PAUSE {
                        tracing::info!("audit events are written again");
                        pause = FIRST_PAUSE;
                    }
                    continue;
                }
                Ok(_) => io::ErrorKind::WriteZero.into(),
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
                Err(fault) => fault,
            };
            self.note(&fault, pause == FIRST_PAUSE);
            if !self.queue.rest(pause) {
                return false;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        true
    }

    fn note(&self, fault: &io::Error, first: bool) {
        self.metrics.sink_faults.inc();
        let error = WithCauses(fault);
        if first {
            tracing::error!(%error, "audit events cannot be written; they wait as far as there is room");
        }
    }
}

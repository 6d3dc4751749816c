//! The two ends of the queue: what requests write to, and what ends it in order.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use gangplank_config::role::audit::WhenFull;
use gangplank_pki::clock::Clock;
use prometheus_client::registry::Registry;

use super::Sink;
use super::metrics::TrailMetrics;
use super::queue::{About, Pushed, Queue};
use super::timestamp::{Timestamp, timestamp};
use super::writer::Writing;

/// Where requests' events go. Cheap to clone.
#[derive(Clone)]
pub struct Trail(Option<Arc<Shared>>);

struct Shared {
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    metrics: TrailMetrics,
}

impl Trail {
    /// No trail at all.
    pub const fn off() -> Self {
        Self(None)
    }

    /// A trail that ends in `sink`, and the thread that writes to it.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        sink: Box<dyn Sink>,
        when_full: WhenFull,
        clock: Arc<dyn Clock>,
        registry: &mut Registry,
    ) -> io::Result<(Self, Writer)> {
        let queue = Arc::new(Queue::new(when_full));
        let metrics = TrailMetrics::register(registry, Arc::clone(&queue));
        let writing = Writing::new(Arc::clone(&queue), sink, metrics.clone());
        let (running, ended) = mpsc::sync_channel(0);
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || {
                writing.run();
                drop(running);
            })?;
        let writer = Writer {
            queue: Arc::clone(&queue),
            ended,
        };
        let shared = Shared {
            queue,
            clock,
            metrics,
        };
        Ok((Self(Some(Arc::new(shared))), writer))
    }

    /// Whether nothing that is written arrives anywhere.
    pub const fn is_off(&self) -> bool {
        self.0.is_none()
    }

    /// Has a line rendered behind those that wait, if there is room for it.
    pub(super) fn write(&self, about: About, render: impl FnOnce(&Timestamp, &mut Vec<u8>)) {
        let Some(shared) = &self.0 else {
            return;
        };
        let moment = timestamp(shared.clock.since_1970());
        match shared.queue.push(about, |line| render(&moment, line)) {
            Pushed::Waits => {}
            Pushed::Filled => shared.tell_full(),
            Pushed::Dropped => {
                shared.metrics.dropped.inc();
            }
        }
    }

    /// Waits until the event of one more request has room; `false` when that takes too long, and the event
    /// of this request has none.
    pub(crate) async fn has_room(&self) -> bool {
        let Some(shared) = &self.0 else {
            return true;
        };
        let has_room = shared.queue.has_room().await;
        if !has_room {
            shared.metrics.dropped.inc();
        }
        has_room
    }
}

impl Shared {
    /// Once each time: the next event comes by only after the writer did.
    fn tell_full(&self) {
        let consequence = match self.queue.when_full() {
            WhenFull::Drop => "further ones are dropped",
            WhenFull::Block => "further requests wait",
        };
        tracing::error!(
            "too many audit events wait for a sink that does not take them; {consequence}"
        );
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trail")
            .field("off", &self.is_off())
            .finish()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The thread that writes a trail. It ends when the last [`Trail`] is gone and everything is written.
#[derive(Debug)]
pub struct Writer {
    queue: Arc<Queue>,
    /// Breaks off when the thread has ended.
    ended: mpsc::Receiver<Infallible>,
}

impl Writer {
    /// Waits until everything is written, at most so long. Whatever could write events should have ended.
    ///
    /// # Errors
    /// The number of events that were not written.
    pub fn finish(self, limit: Duration) -> Result<(), u64> {
        self.queue.close();
        match self.ended.recv_timeout(limit) {
            Ok(never) => match never {},
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(()),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(self.queue.abandon()),
        }
    }
}

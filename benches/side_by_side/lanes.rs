//! Threads with a runtime of one thread each. Connections stay on theirs, so that nothing is stolen and little
//! is locked: generator and upstream must cost less than what is measured between them.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle};

/// The lanes; each further task goes to the next one.
#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: Vec<Handle>,
    next: AtomicUsize,
}

impl Lanes {
    /// As many lanes as the machine has cores. They end with the process.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let mut lanes = Vec::with_capacity(count);
        for _ in 0..count {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build()
                .context("no runtime")?;
            lanes.push(runtime.handle().clone());
            thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        }
        Ok(Self {
            lanes,
            next: AtomicUsize::new(0),
        })
    }

    /// Runs a task on the next lane.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len().max(1);
        if let Some(lane) = self.lanes.get(turn) {
            drop(lane.spawn(task));
        }
    }
}

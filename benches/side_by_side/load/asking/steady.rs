//! Loads that go on whatever the path does: bodies read without a pause, and small requests at their times.

use anyhow::ensure;
use tokio::time::{Duration, Instant, sleep_until};

use super::super::http1::request;
use super::{Crew, SMALL, Worker, target};
use crate::clock::nanoseconds;

/// A body of which no window sees the end.
const ENDLESS: u64 = 1 << 40;

/// Reads one body until the window is over.
pub(super) async fn read_on(crew: Crew, mut worker: Box<Worker>) {
    let done = async {
        let mut http = crew.connect(true).await?;
        let head = http.ask(&request(&target(Some(ENDLESS)), "")).await?;
        ensure!(head.status == 200, "status {}", head.status);
        worker.stand();
        let over = worker.over();
        tokio::pin!(over);
        loop {
            tokio::select! {
                read = http.read() => read?,
                () = &mut over => return Ok(()),
            }
            worker.note_bytes(http.skip());
        }
    };
    if let Err(error) = done.await {
        worker.fail(&error);
    }
}

/// When a worker's turns are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat {
    first: Duration,
    period: Duration,
}

impl Beat {
    /// That of one of so many workers, who take turns.
    pub(super) fn of(number: u32, workers: u32, per_second: u32) -> Self {
        let step = Duration::from_secs(1) / per_second.max(1);
        Self {
            first: step * number,
            period: step * workers,
        }
    }
}

/// Asks at each of its turns. A turn that comes while the answer before is still on its way counts from when it was due:
/// who waits in line waits.
pub(super) async fn ask_in_time(crew: Crew, mut worker: Box<Worker>, beat: Beat) {
    let done = async {
        let request = request(SMALL, "");
        let mut http = crew.connect(false).await?;
        worker.stand();
        let mut due = Instant::now() + beat.first;
        while !worker.is_over() {
            sleep_until(due).await;
            let late = u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let begun = nanoseconds().saturating_sub(late);
            let length = http.get(&request).await?;
            worker.note(begun, length);
            due += beat.period;
        }
        http.close().await;
        Ok(())
    };
    if let Err(error) = done.await {
        worker.fail(&error);
    }
}

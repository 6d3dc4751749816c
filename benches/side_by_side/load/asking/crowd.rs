//! Many watches at once, some of which nobody reads, and a LIST that nobody reads either.

use super::super::http1::{Http1, request};
use super::{Crew, Lanes, Load, Worker, each, stall, trickle};

/// A watch that is read has an event a second, which is busy for a watch and no load to speak of: what is
/// looked at is what the unread ones hold.
const PERIOD_MS: u32 = 1_000;

/// A watch with events that never pause.
const BUSY: &str = "/api/v1/namespaces/shop/pods?watch=true&busy=true";

/// All of them, each on a connection of its own.
pub(super) fn start(lanes: &Lanes, crew: &Crew, load: Load) {
    let Load::Crowd {
        watches,
        unread,
        list,
    } = load
    else {
        return;
    };
    each(lanes, crew, unread, |crew, worker, _| leave(crew, worker));
    each(lanes, crew, watches - unread, |crew, worker, number| {
        trickle(crew, worker, (PERIOD_MS, number))
    });
    each(lanes, crew, 1, |crew, worker, _| stall(crew, worker, list));
}

/// Reads a busy watch's first event and no more.
async fn leave(crew: Crew, mut worker: Box<Worker>) {
    if let Err(error) = read_first(&crew, &mut worker).await {
        worker.fail(&error);
    }
}

async fn read_first(crew: &Crew, worker: &mut Worker) -> anyhow::Result<()> {
    let mut http: Http1 = crew.connect(false).await?;
    let head = http.ask(&request(BUSY, "")).await?;
    anyhow::ensure!(head.status == 200, "status {}", head.status);
    let first = http.chunk().await?;
    anyhow::ensure!(!first.is_empty(), "a watch without its event");
    worker.stand();
    worker.over().await;
    Ok(())
}

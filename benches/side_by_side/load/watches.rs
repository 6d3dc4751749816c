//! Watches: with events that say when they were written, and idle ones.

use anyhow::{Context as _, ensure};
use h2::RecvStream;

use super::http1::{Http1, request};
use super::tally::Worker;
use crate::tls::Connector;
use crate::way::Way;

/// The target of a watch whose events come each `period_ms`, `phase_ms` after the whole period.
pub(super) fn target(period_ms: u32, phase_ms: u32) -> String {
    format!("/api/v1/namespaces/shop/pods?watch=true&period={period_ms}&phase={phase_ms}")
}

/// The target of a watch with one event at its beginning and none after it. nginx sends no head over HTTP/2
/// before there is a body, so without that one a caller would wait for ever.
pub(super) fn idle_target() -> String {
    format!("{}&first=true", target(0, 0))
}

/// A watch over HTTP/1.1, after its head.
pub(super) async fn open(way: &Way, connector: &Connector, target: &str) -> anyhow::Result<Http1> {
    let mut http = Http1::connect(way, connector, false).await?;
    let head = http.ask(&request(target, "")).await?;
    ensure!(head.status == 200, "status {}", head.status);
    ensure!(head.length.is_none(), "a watch with a length");
    Ok(http)
}

/// Notes each event's delay.
pub(super) async fn follow(mut http: Http1, worker: &mut Worker) -> anyhow::Result<()> {
    let over = worker.over();
    tokio::pin!(over);
    let mut line = Vec::new();
    loop {
        let chunk = tokio::select! {
            () = &mut over => return Ok(()),
            chunk = http.chunk() => chunk?,
        };
        ensure!(!chunk.is_empty(), "the watch ended");
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let bytes = u64::try_from(line.len())?;
                worker.note(written_at(&line)?, bytes);
                line.clear();
            }
        }
    }
}

/// When an event says it was written.
fn written_at(line: &[u8]) -> anyhow::Result<u64> {
    let (_, rest) = std::str::from_utf8(line)?
        .split_once("\"at\":\"")
        .context("an event without a time")?;
    let (digits, _) = rest.split_once('"').context("an event cut off")?;
    Ok(digits.parse()?)
}

/// Holds a watch on which nothing may happen after its first event.
pub(super) async fn hold(mut http: Http1, worker: &mut Worker) -> anyhow::Result<()> {
    http.chunk().await?;
    worker.stand();
    tokio::select! {
        () = worker.over() => Ok(()),
        read = http.read() => {
            read?;
            anyhow::bail!("an event on an idle watch")
        }
    }
}

/// The same over HTTP/2.
pub(super) async fn hold_stream(mut body: RecvStream, worker: &mut Worker) -> anyhow::Result<()> {
    let first = body.data().await.context("a watch without its event")??;
    body.flow_control().release_capacity(first.len())?;
    worker.stand();
    tokio::select! {
        () = worker.over() => Ok(()),
        part = body.data() => {
            if let Some(part) = part {
                part?;
            }
            anyhow::bail!("an idle watch ended")
        }
    }
}

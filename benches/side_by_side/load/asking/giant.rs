//! One giant body, down or up.

use anyhow::ensure;

use super::super::http1::{Http1, post, request};
use super::{Crew, SMALL, Worker, target};
use crate::clock::nanoseconds;

/// One body of so many bytes, up or down, on a connection that has carried a small request before.
pub(super) async fn carry(crew: Crew, mut worker: Box<Worker>, (bytes, up): (u64, bool)) {
    let done = async {
        let mut http = crew.connect(true).await?;
        http.get(&request(SMALL, "")).await?;
        worker.stand();
        worker.begun().await;
        let begun = nanoseconds();
        let carried = if up {
            upload(&mut http, bytes).await?
        } else {
            http.get(&request(&target(Some(bytes)), "")).await?
        };
        ensure!(carried == bytes, "{carried} of {bytes} bytes");
        worker.note(begun, carried);
        http.close().await;
        Ok(())
    };
    if let Err(error) = done.await {
        worker.fail(&error);
    }
}

/// Sends a body. Answers how much of it the upstream says to have got.
async fn upload(http: &mut Http1, bytes: u64) -> anyhow::Result<u64> {
    let head = post("/api/v1/namespaces/shop/configmaps?taking=true", bytes);
    http.send(&head, bytes).await?;
    Ok(http.read_text(&[]).await?.parse()?)
}

//! Single questions, asked by the suite itself.

use super::asking::SMALL;
use super::http1::{Http1, request};
use super::{Connector, Protocol, Way};

/// Whether one request goes through.
pub(crate) async fn probe(way: &Way) -> anyhow::Result<()> {
    let mut http = connect(way).await?;
    http.get(&request(SMALL, "")).await?;
    http.close().await;
    Ok(())
}

/// How many bytes of large bodies and busy watches the upstream has written so far.
pub(crate) async fn written(way: &Way) -> anyhow::Result<u64> {
    let mut http = connect(way).await?;
    let said = http.read_text(&request("/?written=true", "")).await?;
    http.close().await;
    Ok(said.parse()?)
}

async fn connect(way: &Way) -> anyhow::Result<Http1> {
    let connector = Connector::new(way, Protocol::Http1)?;
    Http1::connect(way, &connector, false).await
}

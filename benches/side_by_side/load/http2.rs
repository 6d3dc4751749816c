//! A caller's HTTP/2 connection.

use anyhow::ensure;
use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::Request;
use tokio::runtime::Handle;

use crate::papers::ENTRANCE;
use crate::tls::Connector;
use crate::way::Way;

/// What a stream may receive unread: as Go's client has it.
const STREAM_WINDOW: u32 = 4 << 20;
/// What a connection may: as Go's client has it.
const CONNECTION_WINDOW: u32 = 1 << 30;

/// A new connection; its driver runs on the same lane.
pub(super) async fn connect(
    way: &Way,
    connector: &Connector,
) -> anyhow::Result<SendRequest<Bytes>> {
    let line = way.connect(connector).await?;
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .enable_push(false)
        .handshake(line)
        .await?;
    // Its streams tell what goes wrong.
    drop(Handle::current().spawn(async move { drop(connection.await) }));
    Ok(sender)
}

/// A request without a body, as kubectl's would look.
pub(super) fn request(target: &str) -> anyhow::Result<Request<()>> {
    Ok(Request::get(format!("https://{ENTRANCE}{target}"))
        .header("user-agent", "kubectl/v1.35.0 (linux/amd64)")
        .header("accept", "application/json")
        .body(())?)
}

/// Sends a request and reads the answer's head, which must be a good one.
pub(super) async fn ask(
    sender: &SendRequest<Bytes>,
    request: &Request<()>,
) -> anyhow::Result<RecvStream> {
    let mut sender = sender.clone().ready().await?;
    let (answer, _) = sender.send_request(request.clone(), true)?;
    let answer = answer.await?;
    ensure!(answer.status() == 200, "status {}", answer.status());
    Ok(answer.into_body())
}

/// Reads a request's whole answer. Answers its body's length.
pub(super) async fn get(sender: &SendRequest<Bytes>, request: &Request<()>) -> anyhow::Result<u64> {
    let mut body = ask(sender, request).await?;
    let mut length = 0;
    while let Some(part) = body.data().await {
        let part = part?.len();
        length += u64::try_from(part)?;
        body.flow_control().release_capacity(part)?;
    }
    Ok(length)
}

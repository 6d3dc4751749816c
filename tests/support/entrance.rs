//! A caller at the relay's TCP port that says what it likes, and hears how it is sent away.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::wait;

/// The fatal alert for a name that leads nowhere.
pub(crate) const UNRECOGNIZED_NAME: u8 = 112;

/// The fatal alert for a cluster whose agent is away.
pub(crate) const INTERNAL_ERROR: u8 = 80;

/// A fatal alert in plaintext, as it goes over the wire.
pub(crate) fn alert(description: u8) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, description]
}

/// A connection whose writes leave at once.
pub(crate) async fn connect(relay: SocketAddr) -> TcpStream {
    let socket = wait::within("a connection", TcpStream::connect(relay))
        .await
        .expect("the relay listens");
    socket.set_nodelay(true).expect("our own socket");
    socket
}

/// Says it and hears the other side out, to its end of file.
pub(crate) async fn say(relay: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut caller = connect(relay).await;
    wait::within("bytes to leave", caller.write_all(bytes)).await?;
    hear_out(&mut caller).await
}

/// Everything the other side says until it ends.
pub(crate) async fn hear_out(caller: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    wait::within("the end of a connection", caller.read_to_end(&mut heard)).await?;
    Ok(heard)
}

//! A caller's TCP connection and its stream, joined until both directions have ended.
//!
//! Each direction ends by itself: FIN becomes FIN. A break on either side becomes a break on the
//! other: RST ↔ RESET_STREAM, so that what was cut off never looks complete. There is no idle
//! timeout. While nothing moves, no buffer is held: what the tunnel brings goes to the socket as it came,
//! what a caller says is read on the stack.

mod directions;

use std::io;
use std::pin::pin;

use tokio::net::TcpStream;
use tokio::sync::Notify;

use self::directions::{broken_caller, caller_to_tunnel, tunnel_to_caller};
use crate::session::BoxFuture;
use crate::stream::Stream;
use crate::wire::AbortCode;

/// What passed, and how it ended.
#[derive(Debug)]
pub struct Spliced {
    /// Bytes from the caller into the tunnel.
    pub to_tunnel_bytes: u64,
    /// Bytes from the tunnel to the caller.
    pub to_caller_bytes: u64,
    /// How it ended.
    pub ended: Ended,
}

/// How a caller's connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ended {
    /// Both directions came to their end.
    Finished,
    /// The caller's connection broke off; the exit saw a reset.
    ByCaller(io::Error),
    /// The exit broke off; the caller saw a reset.
    ByExit(AbortCode),
    /// The tunnel was lost; the caller saw a reset.
    TunnelLost,
    /// The caller took nothing and had to make way; both sides saw a reset.
    MadeWay,
}

impl Ended {
    /// The end as one word, for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Finished => "Finished",
            Self::ByCaller(_) => "BrokenByCaller",
            Self::ByExit(_) => "BrokenByExit",
            Self::TunnelLost => "TunnelLost",
            Self::MadeWay => "MadeWay",
        }
    }
}

/// Why a direction broke off.
#[derive(Debug)]
enum Break {
    ByCaller(io::Error),
    ByExit(AbortCode),
    TunnelLost,
    MadeWay,
}

/// What a caller is told to who takes nothing of what has come for it: a future that resolves when it has to make
/// way for others. Asked for anew each time that the caller stands still, and dropped as soon as it takes a byte.
pub type Patience<'p> = dyn Fn() -> BoxFuture<'static, ()> + Send + Sync + 'p;

/// Moves bytes both ways until both directions have ended or one broke off, until the caller is known to be `gone`, or until the
/// `patience` with one who takes nothing is over. When it returns, nothing of the caller is under way any more, and the
/// session may be closed. Cancelling aborts both sides.
pub async fn splice(
    caller: TcpStream,
    stream: Stream,
    patience: &Patience<'_>,
    gone: impl Future<Output = ()>,
) -> Spliced {
    let (mut reader, mut writer) = stream.into_split();
    let (mut to_tunnel_bytes, mut to_caller_bytes) = (0, 0);
    let caller = ResetOnDrop::armed(caller);
    let moved = {
        let answered = Notify::new();
        let mut out = pin!(async {
            let (socket, moved) = (&caller.socket, &mut to_caller_bytes);
            let ended = tunnel_to_caller(&mut reader, socket, moved, patience).await;
            answered.notify_one();
            ended
        });
        let mut into = pin!(caller_to_tunnel(
            &caller.socket,
            &mut writer,
            &mut to_tunnel_bytes,
            &answered
        ));
        tokio::select! {
            ended = async { tokio::try_join!(&mut into, &mut out) } => ended.map(|_both| ()),
            error = broken_caller(&caller.socket) => Err(Break::ByCaller(error)),
            // What the kernel would say, much later.
            () = gone => Err(Break::ByCaller(io::ErrorKind::TimedOut.into())),
        }
    };
    let ended = match moved {
        Ok(()) => {
            caller.disarm();
            writer.delivered().await;
            Ended::Finished
        }
        Err(broken) => {
            let (code, ended) = match broken {
                Break::ByCaller(error) => (AbortCode::PeerReset, Ended::ByCaller(error)),
                Break::ByExit(code) => (code, Ended::ByExit(code)),
                Break::TunnelLost => (AbortCode::SessionLost, Ended::TunnelLost),
                Break::MadeWay => (AbortCode::TimedOut, Ended::MadeWay),
            };
            writer.reset(code);
            reader.stop(code);
            ended
        }
    };
    Spliced {
        to_tunnel_bytes,
        to_caller_bytes,
        ended,
    }
}

/// A caller's socket that ends with RST unless both directions came to their end.
struct ResetOnDrop {
    socket: TcpStream,
    armed: bool,
}

impl ResetOnDrop {
    const fn armed(socket: TcpStream) -> Self {
        Self {
            socket,
            armed: true,
        }
    }

    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if self.armed
            && let Err(error) = self.socket.set_zero_linger()
        {
            tracing::debug!(%error, "a caller's socket could not be reset");
        }
    }
}

#[cfg(test)]
mod tests;

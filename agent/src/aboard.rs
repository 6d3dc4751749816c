//! Sessions that stand, those that were welcomed, and what calls for the next.

use std::sync::Arc;

use gangplank_tunnel::Session;
use tokio::sync::oneshot;

use crate::dial::Welcomed;

/// The slot of the session that is always held. The others of a fallback lie above it.
pub(crate) const FIRST_SLOT: u16 = 0;

/// Why a session needs a successor.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It has ended, in this word.
    Ended(&'static str),
    /// The relay is going away. What runs there goes on until it is gone, which is told here.
    RelayDrains(oneshot::Receiver<&'static str>),
    /// The agent's certificate was renewed. The old session serves until the new one stands; then
    /// the relay sends new callers to the new one and closes the old when its last caller left.
    Renewed,
    /// UDP is open again: here is the successor.
    QuicIsBack(Box<Aboard>),
    /// Nothing was heard on it for a while, and another one stands beside it.
    Silent(Box<Aboard>),
    /// A hello over QUIC was not welcomed, and may have taken the session over TCP out of service: another one stands now.
    Unanswered(Box<Aboard>),
}

/// A session that stands and has not been greeted.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) session: Arc<dyn Session>,
    pub(crate) identity_generation: u64,
}

/// A welcomed session, as it was dialled.
#[derive(Debug)]
pub(crate) struct Aboard {
    pub(crate) welcomed: Welcomed,
    pub(crate) slot: u16,
    pub(crate) epoch: u64,
    pub(crate) identity_generation: u64,
}

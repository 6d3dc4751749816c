//! Connections as every role has them: listening, accepting through shortages, noticing who vanished,
//! writing once for many.
//!
//! [`Listener`] takes connections in, for callers and for the admin endpoint; [`tune`] sets up a socket,
//! accepted or dialled; a [`Lookout`] finds the far ends that are gone while something is sent to them. What is
//! said on a connection, and to whom one is dialled, is not known here.

mod accept;
mod keepalive;
mod last_in_line;
mod listener;
mod lookout;

pub use keepalive::tune;
pub use last_in_line::LastInLine;
pub use listener::Listener;
pub use lookout::{Followed, Lookout, Pace};

//! Connections as every role has them: listening, accepting through shortages, noticing who vanished,
//! writing once for many.
//!
//! [`Listener`] takes connections in, for callers and for the admin endpoint; [`tune`] sets up a socket,
//! accepted or dialled. What is said on a connection, and to whom one is dialled, is not known here.

mod accept;
mod keepalive;
mod last_in_line;
mod listener;

pub use keepalive::tune;
pub use last_in_line::LastInLine;
pub use listener::Listener;

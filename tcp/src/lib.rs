//! TCP as every role has it: listening, accepting through shortages, noticing who vanished.
//!
//! [`Listener`] takes connections in, for callers and for the admin endpoint; [`tune`] sets up a socket,
//! accepted or dialled. What is said on a connection, and to whom one is dialled, is not known here.

mod accept;
mod keepalive;
mod listener;

pub use keepalive::tune;
pub use listener::Listener;

//! The end of the callers' TLS: authenticate, impersonate, forward.
//!
//! An [`Exit`] takes connections, from a tunnel or from [`listen`], and carries their requests to the
//! API server in the name that each caller's certificate has here. What happens to a request, in
//! order: [`handshake`] (TLS), [`authenticate`] (who is it), `connection` (HTTP), `request` (the
//! steps), [`nested`] (may they act as someone else), [`headers`] (what is passed on), [`upstream`] (to the API
//! server), [`body`] and `upgrade` (back and forth), [`audit`]. `respond` writes every answer that is ours;
//! `shares` bounds what one organisation may use; `live` ends connections
//! whose caller's right has ended.
//!
//! Not here: where connections come from (tunnels are the agent's affair), and where trust comes from.

pub mod audit;
pub mod authenticate;
pub mod body;
pub mod exit;
pub mod handshake;
pub mod headers;
pub mod listen;
pub mod metrics;
pub mod nested;
pub mod upstream;

mod connection;
mod live;
mod request;
mod respond;
mod shares;
mod upgrade;

#[doc(hidden)] // for the fuzz target of this step alone
pub use body::watch_is_whole_after;
pub use exit::{Caller, Exit, Parts, Witness};
pub use listen::TcpProxy;
pub use upgrade::Protocol;

//! HTTP/2 over TLS over TCP as the carrier of a session: where UDP is blocked.
//!
//! The agent dials; once TLS stands, the *relay* is the client of HTTP/2, because it is the relay that
//! opens streams, one a caller, as extended CONNECT (RFC 8441) with `:protocol: gangplank`. An agent has
//! no way to open anything towards the relay: a server of HTTP/2 opens no streams. The relay opens the
//! control stream too, before all others, and the agent greets on it.
//!
//! A reset of a stream ends both of its directions here, and carries our codes. The end of a
//! session is told by a reset of its control stream. Lost packets stall every stream of a connection, so
//! an agent holds [`CONNECTIONS`](limits::CONNECTIONS) of them. Every limit stands in [`limits`] with its
//! reason.

mod agent;
mod closing;
mod codes;
mod driver;
mod ending;
mod ends;
pub mod limits;
mod meter;
mod pulse;
mod relay;
mod session;
mod sessions;
mod socket;
mod stream;

pub use agent::AgentEndpoint;
pub use closing::HandshakeError;
pub use relay::RelayEndpoint;
pub use session::Http2Session;

/// What the relay asks for in `:protocol`.
const PROTOCOL: &str = "gangplank";

/// The target of the one stream on which the session itself is spoken of.
const CONTROL: &str = "/control";

/// The target of a caller's stream.
const CALLER: &str = "/caller";

#[cfg(test)]
mod tests;

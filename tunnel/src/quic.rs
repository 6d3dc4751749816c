//! QUIC as the carrier of a session.
//!
//! Mutual TLS 1.3, no resumption, no tickets, no 0-RTT: whoever connects is judged by the verifier
//! of that moment. One bidirectional stream a caller, opened by the relay; the agent opens only the
//! control stream. Every limit of the transport stands in [`limits`] with its reason.

mod agent;
mod apart;
mod closing;
mod congestion;
mod credit;
mod keys;
pub mod limits;
mod precedence;
mod relay;
mod route;
mod runtime;
mod segments;
mod session;
mod socket;
mod stream;

pub use agent::AgentEndpoint;
pub use closing::HandshakeError;
pub use congestion::CongestionControl;
pub use keys::RelaySecret;
pub use relay::{Arrival, RelayEndpoint};
pub use session::QuicSession;
pub(crate) use session::canonical;
pub use socket::{BindError, SocketBuffers};

pub use crate::tls::{ALPN, AgentTls, RelayTls, TlsError};

#[cfg(test)]
mod tests;

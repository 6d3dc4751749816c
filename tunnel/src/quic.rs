//! QUIC as the carrier of a session.
//!
//! Mutual TLS 1.3, no resumption, no tickets, no 0-RTT: whoever connects is judged by the verifier
//! of that moment. One bidirectional stream a caller, opened by the relay; the agent opens only the
//! control stream. Every limit of the transport stands in [`limits`] with its reason.

mod agent;
mod apart;
mod closing;
mod credit;
mod keys;
pub mod limits;
mod relay;
mod route;
mod runtime;
mod session;
mod socket;
mod stream;

pub use agent::{AgentEndpoint, AgentTls};
pub use closing::HandshakeError;
pub use keys::RelaySecret;
pub use relay::{Arrival, RelayEndpoint, RelayTls};
pub use session::QuicSession;
pub use socket::{BindError, SocketBuffers};

/// The protocol's name in the TLS handshake.
pub const ALPN: &[u8] = b"gangplank/1";

/// Why a TLS identity cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// rustls did not take certificate and key.
    #[error("the certificate and its key cannot be used together; do they belong to one another?")]
    Identity(#[source] rustls::Error),
    /// The crypto provider lacks what QUIC needs.
    #[error("the crypto provider has no TLS 1.3 suite that QUIC can use")]
    NoInitialSuite,
}

impl TlsError {
    /// The error as one word, for metrics and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Identity(_) => "IdentityUnusable",
            Self::NoInitialSuite => "NoInitialSuite",
        }
    }
}

#[cfg(test)]
mod tests;

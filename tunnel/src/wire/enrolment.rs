//! Enrolment: an agent asks the relay for its certificate, over TLS that ends at the relay's own name.
//!
//! One question and one answer a connection. Who asks is proven by the question (a join token, or that of a
//! Kubernetes service account) where the agent has nothing yet ([`JOIN_PROTOCOL`]), and by its present certificate where it has ([`RENEW_PROTOCOL`]).

mod answer;
mod question;
mod token;

pub use answer::{EnrolmentAnswer, EnrolmentRefusal, Grant, MAX_ANSWER};
pub use question::{EnrolmentQuestion, MAX_QUESTION, TunnelText};
pub use token::{JoinToken, JoinTokenFault, TOKEN_ID, TOKEN_SECRET};

/// ALPN of a first enrolment: the relay shows its certificate, the agent has none to show.
pub const JOIN_PROTOCOL: &[u8] = b"gangplank-join/1";

/// ALPN of a renewal: both show certificates.
pub const RENEW_PROTOCOL: &[u8] = b"gangplank-renew/1";

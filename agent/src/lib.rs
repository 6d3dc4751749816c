//! The tunnel exit: dial out, keep the sessions alive, hand each stream on.
//!
//! One [dialler](Agent::run) a relay holds one session to it and replaces it before it is gone: when
//! the relay drains, when the agent's certificate is renewed. Every caller's stream is answered once
//! and handed to the [`Handoff`], which the binary joins to the proxy; this crate knows nothing of
//! what is behind it.

mod aboard;
mod addresses;
mod agent;
mod backoff;
mod boarding;
mod company;
mod course;
mod crew;
mod dial;
mod dialler;
pub mod enrolment;
mod metrics;
mod moorings;
mod probe;
mod random;
mod renewal;
mod settings;
mod silence;
mod tunnel;
mod view;
mod way;

pub use addresses::LookUpError;
pub use agent::{Agent, AgentError};
pub use boarding::{Boarding, Handoff, Refusal};
pub use renewal::RenewalView;
pub use settings::{Relay, Settings};
pub use view::{AgentView, TunnelState, TunnelView};
#[doc(hidden)] // for the fuzz target of this parser alone
pub use way::proxy_status;
pub use way::{ProxyFault, WayError};

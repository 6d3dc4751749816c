//! The tunnel entrance: callers come in by TCP and are carried, unread, to the agent whose tunnel their
//! server name means; agents come in by QUIC on the same port, or by TCP where UDP is blocked.
//!
//! The relay decrypts nothing of a caller and holds no key that could. What it knows of a connection is
//! the caller's address, the server name in its ClientHello, and how many bytes went each way.
//!
//! [`Relay::bind`] takes the port, [`Relay::run`] serves until it is told to stop and then drains,
//! [`Relay::view`] is for readiness and status. The binary calls all three and nobody else does.

mod enrolment_papers;
mod entrance;
mod identity;
mod landing;
mod listener;
mod metrics;
mod reception;
mod registry;
mod relay;
mod tunnels;
mod view;

pub use enrolment_papers::EnrolmentPapers;
#[doc(hidden)]
// for the bench and the fuzz targets of these steps alone, which would otherwise meet a copy of them
pub use entrance::{Mismatch, MismatchCrowd, MismatchView, forwarded_source, peek_server_name};
pub use relay::{Relay, RelayError};
pub use view::{RelayView, TunnelView};

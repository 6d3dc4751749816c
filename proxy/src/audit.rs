//! The audit trail: who asked for what, and how it ended.
//!
//! One event a request when it ends, and one more at the start of what runs long. A request's task renders
//! its event's line into a bounded queue ([`Trail`]); one thread takes what is there and gives it to the
//! [`Sink`]. Events never hold a query (an exec's command stands there), a header's value other than the
//! two of the caller's that an entry names, or a body.

mod entry;
mod kind;
mod line;
mod metrics;
mod queue;
mod request_info;
mod sink;
mod timestamp;
mod trail;
mod who;
mod writer;

pub(crate) use self::entry::{Entry, Outcome};
pub(crate) use self::kind::Kind;
#[doc(hidden)] // for the fuzz target of this step alone
pub use self::request_info::words_of;
pub use self::sink::{RotatingFile, Sink, Stream, Webhook, WebhookFault, open};
pub use self::trail::{Trail, Writer};
pub(crate) use self::who::{Accepted, Who};

/// What tells an event from a line of the log, where both go to the same stream.
pub const TARGET: &str = "gangplank::audit";

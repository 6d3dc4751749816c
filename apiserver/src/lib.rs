//! The way to an API server: a connection that has proven whom it leads to, and the one credential that is
//! shown there.
//!
//! The exit forwards callers' requests over such connections; the programs that keep objects ask their own
//! questions over them. Not here: HTTP, and whose request it is.

mod connect;
mod credential;
mod fault;
mod limits;

pub use connect::{Connector, Offer, Secured, chose_http2};
pub use credential::{Credential, TokenFile};
pub use fault::{CredentialError, DialError};
pub use limits::Deadlines;

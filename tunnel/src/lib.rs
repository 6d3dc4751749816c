//! What agent and relay say to one another, and how it travels.
//!
//! [`wire`] is the language: pure functions between bytes and meaning. [`Session`] is one agent's
//! connection to one relay, whatever carries it; [`Stream`] is one caller's connection inside it.
//! [`quic`] is the transport, [`http2`] the one where UDP is blocked; [`greet`] and [`await_hello`] open
//! a session, [`announce`] and [`receive_header`] begin a stream, [`splice()`] joins a caller's TCP
//! connection to it.
//!
//! This crate knows nothing of names, routing or trust: the relay routes, the agent hands on, and
//! certificates are judged by the verifiers that are passed in.

mod boarding;
mod control;
#[cfg(test)]
mod fixture;
mod greeting;
pub mod http2;
mod ledger;
pub mod quic;
mod session;
mod splice;
mod stream;
pub mod tls;
pub mod wire;

pub use boarding::{BoardingError, announce, answer, await_status, receive_header};
pub use control::{ControlError, ControlReader, ControlWriter, Notice};
pub use greeting::{GreetError, Greeting, await_hello, greet};
pub use ledger::{Account, End, Entry, Ledger, encode_accounts};
pub use session::{BoxFuture, Closed, Session, SessionError, Traffic};
pub use splice::{Ended, Patience, Spliced, splice};
pub use stream::{
    OpenStreams, ReadHalf, Stream, StreamReader, StreamReset, StreamWriter, WriteHalf,
};

//! Hosts and links for tests and benchmarks: what crosses a network is tried on one.
//!
//! A [`Host`] is a network namespace: what is opened or started within it has its addresses and its routes and no
//! others. A [`Link`] joins two of them by a TUN device in each, and a thread between the devices carries the packets
//! under [`Conditions`], which may change while it runs: it queues, limits the rate, delays, loses, reorders,
//! duplicates, cuts, refuses protocols and sizes, and rewrites addresses as a router does.
//!
//! The devices are without any offload, so what is carried are the packets of the wire, of at most [`MTU`] bytes for
//! TCP and UDP alike. Nothing has a name that outlives its owner: a namespace and its devices are gone with the last
//! file and process that hold them, also when a test is killed.
//!
//! It is for IPv4. It is no part of the program, which never imports it.

mod address;
mod chance;
mod conditions;
mod device;
mod host;
mod link;
mod nat;
mod packet;
mod tally;
mod wire;

pub use chance::{Chance, Share};
pub use conditions::{Conditions, Reordering};
pub use host::{Host, HostFault};
pub use link::{Direction, Link, LinkFault, lack};
pub use packet::Protocol;
pub use tally::Tally;

/// The largest packet of a link, IP header and all: Ethernet's.
pub const MTU: u16 = 1500;

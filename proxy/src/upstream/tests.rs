//! The API server's side as a whole, against servers on loopback that do what is hard to bear.

mod fake;
mod support;

mod answers;
mod connections;
mod credentials;
mod faults;
mod grants;
mod http1;
mod reads;
mod upgrades;

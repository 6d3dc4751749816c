//! The callers' side as a whole, between real TLS callers and a small API server.

mod draining;
mod hostile;
mod http;
mod identity;
mod panics;
mod shares;
mod stage;
mod trail;
mod trust_changes;
mod turns;
mod upgrades;

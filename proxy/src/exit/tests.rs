//! The callers' side as a whole, between real TLS callers and a small API server.

mod draining;
mod http;
mod identity;
mod stage;
mod trail;
mod trust_changes;
mod turns;
mod upgrades;

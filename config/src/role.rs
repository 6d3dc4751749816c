//! The files that `--config` names, one kind a role, and the blocks they share.
//!
//! Each role has a `load` that gives what is meant: paths resolved against the folder of the file, every
//! file it names read and checked once, addresses parsed. All that is wrong is told at once.

pub mod agent;
pub mod audit;
pub mod controller;
pub mod exit;
pub mod limits;
pub mod proxy;
pub mod relay;

mod blocks;
mod enrolment;

pub use blocks::{CongestionControl, Drain, Log, LogFormat, LogLevel};

#[cfg(test)]
mod tests;

//! How fast a session may send.
//!
//! quinn asks its controller for one number, the bytes that may be under way, and paces them over a round trip. Of
//! quinn's own controllers Cubic takes every loss for congestion and starves where packets are lost by chance; its BBR
//! keeps its rate and fills the path's queue, in which small requests then wait. [`Model`] keeps the rate
//! and the queue short.

use std::sync::Arc;

use quinn::congestion::{BbrConfig, ControllerFactory, CubicConfig};

mod ceiling;
mod controller;
mod filters;
mod model;
mod rate;
mod round;

use controller::DeliveryRateConfig;
use model::Model;

/// What decides how many bytes a session may have under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CongestionControl {
    /// The rate at which the path delivers and its shortest round trip, both measured. Loss below 2 % is taken for
    /// chance.
    #[default]
    DeliveryRate,
    /// RFC 9438: until a packet is lost, then less.
    Cubic,
    /// quinn's BBR, which it calls experimental.
    Bbr,
}

impl CongestionControl {
    /// What quinn makes controllers with.
    pub(super) fn factory(self) -> Arc<dyn ControllerFactory + Send + Sync> {
        match self {
            Self::DeliveryRate => Arc::new(DeliveryRateConfig),
            Self::Cubic => Arc::new(CubicConfig::default()),
            Self::Bbr => Arc::new(BbrConfig::default()),
        }
    }
}

#[cfg(test)]
mod tests;

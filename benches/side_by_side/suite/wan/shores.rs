//! The two hosts and what lies between them.

use std::fs;
use std::net::IpAddr;

use gangplank_link::{Host, Link};

use crate::site::Site;

/// Which congestion control TCP has in a network namespace.
const CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// The hosts.
pub(super) struct Shores<'s> {
    /// Where callers are; the present thread is within it.
    pub(super) near: &'s Host,
    /// Where the upstream is.
    pub(super) far: &'s Host,
    pub(super) link: &'s Link,
    pub(super) site: &'s Site,
    /// The same with an upstream whose TCP has Cubic: what most kernels have.
    pub(super) cubic: &'s Site,
}

impl Shores<'_> {
    /// The near host's address on the link.
    pub(super) fn near_address(&self) -> IpAddr {
        self.link.first().into()
    }

    /// TCP's congestion control in the near host.
    pub(super) fn congestion_control(&self) -> anyhow::Result<String> {
        let said = self.near.within(|| fs::read_to_string(CONTROL))??;
        Ok(said.trim().to_owned())
    }
}

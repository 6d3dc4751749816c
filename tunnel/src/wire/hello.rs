//! The greeting: who dials, and whom it reached.

use super::fields::Fields;
use super::{EntranceDomain, SoftwareName, WireFault};

/// The first frame of an agent. The tunnel's name is not in it: that comes from the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The agent process, drawn at random when it started. Tunnels of several instances share load.
    pub instance: u128,
    /// Which of the instance's parallel connections to this relay this is.
    pub slot: u16,
    /// Grows with every dial of an instance and slot: the higher one supersedes the lower one.
    pub epoch: u64,
    /// Program and version, for the relay's status page only.
    pub software: SoftwareName,
}

impl Hello {
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(26 + self.software.len());
        body.extend_from_slice(&self.instance.to_be_bytes());
        body.extend_from_slice(&self.slot.to_be_bytes());
        body.extend_from_slice(&self.epoch.to_be_bytes());
        body.extend_from_slice(self.software.as_bytes());
        body
    }

    pub(super) fn parse(body: &[u8]) -> Result<Self, WireFault> {
        let mut fields = Fields::of(body);
        Ok(Self {
            instance: fields.array("hello.instance").map(u128::from_be_bytes)?,
            slot: fields.short("hello.slot")?,
            epoch: fields.array("hello.epoch").map(u64::from_be_bytes)?,
            software: SoftwareName::parse(fields.remainder(), "hello.software")?,
        })
    }
}

/// The relay's answer: the tunnel is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The relay process, drawn at random when it started.
    pub relay_instance: u128,
    /// The domain below which callers reach this tunnel, for what the agent prints.
    pub entrance_domain: EntranceDomain,
}

impl Welcome {
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(16 + self.entrance_domain.len());
        body.extend_from_slice(&self.relay_instance.to_be_bytes());
        body.extend_from_slice(self.entrance_domain.as_bytes());
        body
    }

    pub(super) fn parse(body: &[u8]) -> Result<Self, WireFault> {
        let mut fields = Fields::of(body);
        Ok(Self {
            relay_instance: fields
                .array("welcome.relay_instance")
                .map(u128::from_be_bytes)?,
            entrance_domain: EntranceDomain::parse(fields.remainder(), "welcome.entrance_domain")?,
        })
    }
}

//! A router's address translation at the first end of a link: what leaves gets the router's address and a port of its
//! own, what comes back finds the host behind it.
//!
//! As routers at home have it for UDP: one port for a source, whomever it speaks to, and whoever answers to that port is let in
//! (RFC 4787: endpoint-independent mapping and filtering). What cannot be translated is dropped: other
//! protocols, fragments, and who comes to a port that nobody has.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::packet::{End, Protocol, address, protocol, readdress};

/// The first port that is given: above those that services have, below those that kernels choose.
const FIRST_PORT: u16 = 20_000;

/// One router.
#[derive(Debug)]
pub(crate) struct Nat {
    public: Ipv4Addr,
    /// Ports are given once, so that no two mappings of a test are taken for one another. When all have been given
    /// nothing new passes.
    next_port: Option<u16>,
    outward: HashMap<(Protocol, SocketAddrV4), u16>,
    inward: HashMap<(Protocol, u16), SocketAddrV4>,
}

impl Nat {
    /// A router with this address.
    pub(crate) fn at(public: Ipv4Addr) -> Self {
        Self {
            public,
            next_port: Some(FIRST_PORT),
            outward: HashMap::new(),
            inward: HashMap::new(),
        }
    }

    /// Forgets who had which port, as a router that was switched off and on, which may have got another address.
    pub(crate) fn rebind(&mut self, public: Ipv4Addr) {
        self.public = public;
        self.outward.clear();
        self.inward.clear();
    }

    /// Rewrites the source of what leaves; nothing where it is to be dropped.
    pub(crate) fn translate_outward(&mut self, packet: &mut [u8]) -> Option<()> {
        let (protocol, source) = (protocol(packet), address(packet, End::Source)?);
        let port = match self.outward.get(&(protocol, source)) {
            Some(port) => *port,
            None => self.map(protocol, source)?,
        };
        readdress(packet, End::Source, SocketAddrV4::new(self.public, port))
    }

    /// Rewrites the destination of what comes; nothing where it is to be dropped.
    pub(crate) fn translate_inward(&self, packet: &mut [u8]) -> Option<()> {
        let (protocol, to) = (protocol(packet), address(packet, End::Destination)?);
        if *to.ip() != self.public {
            return None;
        }
        let host = *self.inward.get(&(protocol, to.port()))?;
        readdress(packet, End::Destination, host)
    }

    fn map(&mut self, protocol: Protocol, source: SocketAddrV4) -> Option<u16> {
        let port = self.next_port?;
        self.next_port = port.checked_add(1);
        self.outward.insert((protocol, source), port);
        self.inward.insert((protocol, port), source);
        Some(port)
    }
}

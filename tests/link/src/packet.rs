//! The little of an IPv4 packet that a link must know: its protocol, and the addresses that a router rewrites.
//!
//! Nothing is trusted to be there: what is too short, or no IPv4, has no protocol of ours and no addresses.

use std::net::{Ipv4Addr, SocketAddrV4};

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Anything else, ICMP for one.
    Other,
}

/// Which of a packet's two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Destination,
}

/// Where things are in a header (RFC 791).
const FRAGMENT: usize = 6;
const PROTOCOL: usize = 9;
const IP_CHECKSUM: usize = 10;

/// More fragments, or not the first one: then the packet has no whole header of its protocol.
const FRAGMENTED: u16 = 0x3fff;

impl End {
    /// Its address from the packet's first byte, and its port from the first byte behind the IP header.
    const fn offsets(self) -> (usize, usize) {
        match self {
            Self::Source => (12, 0),
            Self::Destination => (16, 2),
        }
    }
}

/// What it carries.
pub(crate) fn protocol(packet: &[u8]) -> Protocol {
    match (header_length(packet), packet.get(PROTOCOL)) {
        (Some(_), Some(6)) => Protocol::Tcp,
        (Some(_), Some(17)) => Protocol::Udp,
        _ => Protocol::Other,
    }
}

/// Address and port of an end, of a whole TCP or UDP packet.
pub(crate) fn address(packet: &[u8], end: End) -> Option<SocketAddrV4> {
    let header = header_length(packet)?;
    if protocol(packet) == Protocol::Other || word(packet, FRAGMENT)? & FRAGMENTED != 0 {
        return None;
    }
    let (address, port) = end.offsets();
    let address: [u8; 4] = packet.get(address..address + 4)?.try_into().ok()?;
    Some(SocketAddrV4::new(
        Ipv4Addr::from(address),
        word(packet, header + port)?,
    ))
}

/// Rewrites an end, and the checksums with it. Answers nothing, and leaves a packet that is to be dropped, where it has
/// no such end.
pub(crate) fn readdress(packet: &mut [u8], end: End, new: SocketAddrV4) -> Option<()> {
    address(packet, end)?;
    let header = header_length(packet)?;
    let checksum = header
        + match protocol(packet) {
            Protocol::Tcp => 16,
            Protocol::Udp | Protocol::Other => 6,
        };
    // A UDP checksum of zero is none (RFC 768), and stays none.
    let summed = protocol(packet) == Protocol::Tcp || word(packet, checksum)? != 0;
    let [a, b, c, d] = new.ip().octets();
    let (address, port) = end.offsets();
    for (at, value) in [(address, [a, b]), (address + 2, [c, d])] {
        let value = u16::from_be_bytes(value);
        amend(packet, IP_CHECKSUM, word(packet, at)?, value)?;
        if summed {
            // The pseudo-header has the addresses.
            amend(packet, checksum, word(packet, at)?, value)?;
        }
        write(packet, at, value)?;
    }
    if summed {
        amend(packet, checksum, word(packet, header + port)?, new.port())?;
    }
    write(packet, header + port, new.port())
}

/// The length of a header of IPv4.
fn header_length(packet: &[u8]) -> Option<usize> {
    let first = packet.first()?;
    let length = usize::from(first & 0x0f) * 4;
    (first >> 4 == 4 && length >= 20 && packet.len() >= length).then_some(length)
}

fn word(packet: &[u8], at: usize) -> Option<u16> {
    let bytes = packet.get(at..at + 2)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn write(packet: &mut [u8], at: usize, value: u16) -> Option<()> {
    packet
        .get_mut(at..at + 2)?
        .copy_from_slice(&value.to_be_bytes());
    Some(())
}

/// Amends a checksum for a word that changes (RFC 1624, equation 3).
fn amend(packet: &mut [u8], checksum: usize, old: u16, new: u16) -> Option<()> {
    let sum = u32::from(!word(packet, checksum)?) + u32::from(!old) + u32::from(new);
    // Two carries at the most.
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    write(packet, checksum, !u16::try_from(sum).ok()?)
}

#[cfg(test)]
mod tests;

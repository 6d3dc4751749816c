//! Which addresses the ends of a link have: of 198.18.0.0/15, the network for tests of networks (RFC 2544).

use std::net::Ipv4Addr;

/// Bits of a link's network, the third byte of which is the link's number.
pub(crate) const PREFIX: u8 = 24;

/// The first end.
pub(crate) const fn first(link: u8) -> Ipv4Addr {
    of(link, 1)
}

/// The second end.
pub(crate) const fn second(link: u8) -> Ipv4Addr {
    of(link, 2)
}

/// Any other address of the link's network: of a router, or a host that moved.
pub(crate) const fn of(link: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, link, host)
}

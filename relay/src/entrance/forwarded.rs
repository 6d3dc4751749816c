//! Callers that a load balancer forwards: whose they are says a PROXY header (version 2) before their first byte.
//!
//! From the networks that the relay's file lists the header is demanded, from all others it is refused like any
//! bytes that are not TLS: so nobody chooses its own address. Only the address is taken from it; what else a
//! header may hold (names, certificates, identifiers of clouds) is skipped unread.
//!
//! Source: "The PROXY protocol, versions 1 & 2", HAProxy, section 2.2. Read here and not by a crate, because it is
//! sixteen bytes and two addresses, and what reads strangers' first bytes should be seen at a glance.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

use mismatches::Mismatches;
pub use mismatches::{Mismatch, MismatchCrowd, MismatchView};

mod mismatches;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Behind the first sixteen bytes. Addresses are 36 at the most; clouds add some hundred bytes of their own, and
/// the protocol's authors count on all of it fitting into one packet.
const LONGEST: u16 = 1024;

/// Where load balancers are that tell whom they forward. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forwarders {
    networks: Arc<[IpNet]>,
    /// Those that do otherwise than the list says.
    mismatches: Mismatches,
}

/// Why a forwarder's connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ForwardFault {
    /// It does not begin with the signature.
    #[error(
        "a connection from a network in `proxyProtocolFrom` does not begin with a PROXY header of version 2; let the load balancer send it, or take the network out"
    )]
    Missing,
    /// It begins as one, and does not go on as one.
    #[error("a PROXY header does not make sense: {0}")]
    Malformed(&'static str),
    /// It is there, and nobody there is believed.
    #[error(
        "a connection begins with a PROXY header and comes from no network in `proxyProtocolFrom`; add the network if it is the load balancer's, or let that send none"
    )]
    Unlisted,
}

impl ForwardFault {
    /// The word for metrics and logs.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "ProxyHeaderMissing",
            Self::Malformed(_) => "ProxyHeaderMalformed",
            Self::Unlisted => "ProxyHeaderUnlisted",
        }
    }
}

impl Forwarders {
    pub(crate) fn new(networks: Vec<IpNet>) -> Self {
        Self {
            networks: networks.into(),
            mismatches: Mismatches::default(),
        }
    }

    /// Whether connections from there begin with a PROXY header.
    pub(crate) fn include(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// Notes a connection that was refused, and tells of it now and then.
    pub(crate) fn refused(&self, address: IpAddr, fault: ForwardFault) {
        let address = address.to_canonical();
        if self.mismatches.note(fault.into(), address, Instant::now()) {
            tracing::warn!(balancer.addr = %address, reason = fault.reason(), error = %fault, "callers are refused");
        }
    }

    /// What was refused of late.
    pub(crate) fn mismatches(&self) -> Vec<MismatchView> {
        self.mismatches.of_late(Instant::now())
    }

    /// How many more there are.
    pub(crate) fn mismatch_crowds(&self) -> Vec<MismatchCrowd> {
        self.mismatches.crowds(Instant::now())
    }
}

/// Whether a connection begins with such a header, of this version or of the one before.
pub(crate) fn is_header(first_bytes: &[u8]) -> bool {
    first_bytes.starts_with(&SIGNATURE) || first_bytes.starts_with(b"PROXY ")
}

/// Reads the header, and not a byte of what follows. `None` when the forwarder speaks for itself, as it does to
/// see whether the relay is there.
///
/// # Errors
///
/// When the socket fails or ends, and when it is no header ([`ForwardFault`]). There is no deadline here.
pub(crate) async fn read_forwarded<R: AsyncRead + Unpin>(
    forwarder: &mut R,
) -> io::Result<Result<Option<SocketAddr>, ForwardFault>> {
    let mut signature = [0; SIGNATURE.len()];
    forwarder.read_exact(&mut signature).await?;
    if signature != SIGNATURE {
        return Ok(Err(ForwardFault::Missing));
    }
    let mut head = [0; 4];
    forwarder.read_exact(&mut head).await?;
    let [version_and_command, family_and_protocol, length @ ..] = head;
    let length = u16::from_be_bytes(length);
    if length > LONGEST {
        return Ok(Err(ForwardFault::Malformed("it is too long")));
    }
    let mut rest = vec![0; usize::from(length)];
    forwarder.read_exact(&mut rest).await?;
    Ok(match version_and_command {
        0x20 => Ok(None),
        0x21 => source(family_and_protocol, &rest),
        _ => Err(ForwardFault::Malformed(
            "its version or its command is unknown",
        )),
    })
}

/// The address alone, if one is told; see the crate's root.
pub async fn forwarded_source<R: AsyncRead + Unpin>(forwarder: &mut R) -> Option<SocketAddr> {
    read_forwarded(forwarder).await.ok()?.ok()?
}

fn source(family_and_protocol: u8, rest: &[u8]) -> Result<Option<SocketAddr>, ForwardFault> {
    let too_short = || ForwardFault::Malformed("it is too short for its addresses");
    match family_and_protocol {
        // Unspecified: the forwarder does not know, and its own address is the best there is.
        0x00 => Ok(None),
        0x11 => {
            let [a, b, c, d, _, _, _, _, high, low, _, _] =
                *rest.first_chunk::<12>().ok_or_else(too_short)?;
            let port = u16::from_be_bytes([high, low]);
            Ok(Some((Ipv4Addr::new(a, b, c, d), port).into()))
        }
        0x21 => {
            let addresses = rest.first_chunk::<36>().ok_or_else(too_short)?;
            let source = addresses.first_chunk::<16>().ok_or_else(too_short)?;
            let (_, ports) = addresses.split_last_chunk::<4>().ok_or_else(too_short)?;
            let [high, low, _, _] = *ports;
            let port = u16::from_be_bytes([high, low]);
            Ok(Some((Ipv6Addr::from(*source), port).into()))
        }
        _ => Err(ForwardFault::Malformed("it is not about TCP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[version, family], &length, rest].concat()
    }

    async fn read(
        bytes: &[u8],
    ) -> (
        io::Result<Result<Option<SocketAddr>, ForwardFault>>,
        Vec<u8>,
    ) {
        let mut left = bytes;
        let read = read_forwarded(&mut left).await;
        (read, left.to_vec())
    }

    const V4: [u8; 12] = [203, 0, 113, 7, 192, 0, 2, 1, 0x30, 0x39, 0x01, 0xbb];

    #[tokio::test]
    async fn address_is_taken_and_what_follows_is_left() {
        let more = [&V4[..], &[0x04, 0, 2, 9, 9]].concat(); // with a TLV
        for rest in [&V4[..], &more] {
            let bytes = [&header(0x21, 0x11, rest)[..], b"hello"].concat();
            let (source, left) = read(&bytes).await;
            assert_eq!(
                source.unwrap(),
                Ok(Some("203.0.113.7:12345".parse().unwrap()))
            );
            assert_eq!(left, b"hello");
        }
        let mut v6 = [0; 36];
        v6[..2].copy_from_slice(&[0x20, 0x01]);
        v6[15] = 5;
        v6[32..34].copy_from_slice(&[0x30, 0x39]);
        let (source, _) = read(&header(0x21, 0x21, &v6)).await;
        assert_eq!(
            source.unwrap(),
            Ok(Some("[2001::5]:12345".parse().unwrap()))
        );
    }

    #[tokio::test]
    async fn forwarder_may_speak_for_itself() {
        for header in [
            header(0x20, 0x00, b""),
            header(0x20, 0x11, &V4),
            header(0x21, 0x00, b"anything"),
        ] {
            assert_eq!(read(&header).await.0.unwrap(), Ok(None));
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_a_fault() {
        let missing = read(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03more").await;
        assert_eq!(missing.0.unwrap(), Err(ForwardFault::Missing));
        let v1 = read(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n").await;
        assert_eq!(v1.0.unwrap(), Err(ForwardFault::Missing));
        for malformed in [
            header(0x11, 0x11, &V4),        // version 1
            header(0x22, 0x11, &V4),        // a command to come
            header(0x21, 0x12, &V4),        // UDP
            header(0x21, 0x31, &[0; 216]),  // a local socket
            header(0x21, 0x11, &V4[..11]),  // addresses cut
            header(0x21, 0x21, &[0; 35]),   // likewise
            header(0x21, 0x11, &[0; 1025]), // without end
        ] {
            let read = read(&malformed).await.0.unwrap();
            assert!(
                matches!(read, Err(ForwardFault::Malformed(_))),
                "{malformed:?}"
            );
        }
        for length in 0..27 {
            let whole = header(0x21, 0x11, &V4);
            assert!(read(&whole[..length]).await.0.is_err(), "{length}");
        }
    }

    #[test]
    fn networks_are_matched_as_written() {
        let forwarders = Forwarders::new(vec![
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ]);
        for (address, listed) in [
            ("10.255.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("11.0.0.1", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(
                forwarders.include(address.parse().unwrap()),
                listed,
                "{address}"
            );
        }
        assert!(!Forwarders::default().include("127.0.0.1".parse().unwrap()));
    }
}

//! What the relay says of a caller before the caller's first byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::fields::Fields;
use super::{ServerName, WireFault, record};

/// Bytes of a `traceparent` (W3C Trace Context, level 1: version, trace, parent and flags in hex).
pub const TRACEPARENT_LENGTH: usize = 55;

/// The largest body of a stream header, in bytes: connection, IPv6 address, trace and the longest
/// server name.
pub const MAX_HEADER: usize = 16 + 19 + 1 + TRACEPARENT_LENGTH + 253;

const WHAT: &str = "stream header";
const IPV4: u8 = 4;
const IPV6: u8 = 6;

/// The relay's word on a caller. It may lie: good for audit, never for who someone is. Nothing in it
/// chooses where the exit connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHeader {
    /// The caller's connection, drawn at random by the relay, so that both logs join.
    pub connection: u128,
    /// The server name of the caller's ClientHello.
    pub sni: ServerName,
    /// The caller's TCP address as the relay saw it.
    pub caller: SocketAddr,
    /// The trace this connection belongs to.
    pub traceparent: Option<[u8; TRACEPARENT_LENGTH]>,
}

impl StreamHeader {
    /// The header as bytes, version and length included.
    ///
    /// # Errors
    ///
    /// Never with the bounds of today's fields.
    pub fn encode(&self) -> Result<Vec<u8>, WireFault> {
        let mut body = Vec::with_capacity(MAX_HEADER);
        body.extend_from_slice(&self.connection.to_be_bytes());
        match self.caller.ip() {
            IpAddr::V4(address) => {
                body.push(IPV4);
                body.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                body.push(IPV6);
                body.extend_from_slice(&address.octets());
            }
        }
        body.extend_from_slice(&self.caller.port().to_be_bytes());
        body.push(u8::from(self.traceparent.is_some()));
        body.extend_from_slice(
            self.traceparent
                .as_ref()
                .map_or(&[][..], |trace| &trace[..]),
        );
        body.extend_from_slice(self.sni.as_bytes());
        record(&body, WHAT, MAX_HEADER)
    }

    /// Reads a header's body.
    ///
    /// # Errors
    ///
    /// When the body is not a stream header.
    pub fn parse(body: &[u8]) -> Result<Self, WireFault> {
        let mut fields = Fields::of(body);
        let connection = fields.array("header.connection").map(u128::from_be_bytes)?;
        let address: IpAddr = match fields.byte("header.caller")? {
            IPV4 => Ipv4Addr::from(fields.array::<4>("header.caller")?).into(),
            IPV6 => Ipv6Addr::from(fields.array::<16>("header.caller")?).into(),
            _ => {
                return Err(WireFault::Meaningless {
                    what: "header.caller",
                });
            }
        };
        let port = fields.short("header.caller")?;
        let traceparent = match fields.byte("header.traceparent")? {
            0 => None,
            1 => Some(parse_traceparent(&mut fields)?),
            _ => {
                return Err(WireFault::Meaningless {
                    what: "header.traceparent",
                });
            }
        };
        Ok(Self {
            connection,
            sni: ServerName::parse(fields.remainder(), "header.sni")?,
            caller: SocketAddr::new(address, port),
            traceparent,
        })
    }
}

/// A traceparent goes into headers and logs: only its own characters pass.
fn parse_traceparent(fields: &mut Fields<'_>) -> Result<[u8; TRACEPARENT_LENGTH], WireFault> {
    let trace = fields.array("header.traceparent")?;
    let legal = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    if trace.iter().all(legal) {
        return Ok(trace);
    }
    Err(WireFault::Meaningless {
        what: "header.traceparent",
    })
}

//! Addresses, names and durations, from the text a person wrote.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use rustls_pki_types::ServerName;

pub(crate) use self::size::size;

mod size;

/// What is wrong with a piece of text, and what to write instead. The place is the caller's to add.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

impl Complaint {
    fn new(reason: &'static str, message: String, remedy: impl Into<String>) -> Self {
        Self {
            reason,
            message,
            remedy: remedy.into(),
        }
    }
}

/// `written` in backquotes, bounded and without control characters; never anything like a private key.
pub(crate) fn quoted(written: &str) -> String {
    /// Long enough for a name of 63 letters a label and a port; longer text is not one.
    const MAX_QUOTED: usize = 80;
    if written.contains("PRIVATE KEY") {
        return "(a private key)".to_owned();
    }
    let short: String = written.chars().take(MAX_QUOTED).collect();
    let dots = if short.len() < written.len() {
        "…"
    } else {
        ""
    };
    let visible = short.chars().flat_map(|c| {
        let escaped = c.is_control().then(|| c.escape_default());
        let plain = escaped.is_none().then_some(c);
        escaped.into_iter().flatten().chain(plain)
    });
    format!("`{}{dots}`", visible.collect::<String>())
}

/// A DNS host name: lower case, letters, digits and hyphens, no trailing dot (RFC 1123 §2.1, RFC 1035
/// §2.3.4 for the lengths), not an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName(String);

impl HostName {
    /// The name, lower case, without a trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name is `other`, or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0
            .strip_suffix(&other.0)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    pub(crate) fn parse(written: &str) -> Result<Self, Complaint> {
        let name = written.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let refuse = |why: &str| {
            let message = format!("{} is not a host name: {why}", quoted(written));
            Err(Complaint::new(
                "BadHostName",
                message,
                "write a DNS name such as `relay.example.com`",
            ))
        };
        if name.parse::<IpAddr>().is_ok() {
            return refuse("it is an IP address");
        }
        if name.is_empty() {
            return refuse("it is empty");
        }
        if name.len() > 253 {
            return refuse("it is longer than 253 characters");
        }
        for label in name.split('.') {
            if label.is_empty() || label.len() > 63 {
                return refuse("each part between dots must have 1 to 63 characters");
            }
            if !label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            {
                return refuse("only letters, digits, hyphens and dots may stand in it");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return refuse("no part of it may begin or end with a hyphen");
            }
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {remedy}")]
pub struct HostNameFault {
    message: String,
    remedy: String,
}

impl FromStr for HostName {
    type Err = HostNameFault;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        Self::parse(written).map_err(
            |Complaint {
                 message, remedy, ..
             }| HostNameFault { message, remedy },
        )
    }
}

/// A host, by name or address, and a port; looked up only when dialled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// The host: a DNS name or an IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name that a certificate of this host must carry.
    pub(crate) fn server_name(&self) -> Result<ServerName<'static>, Complaint> {
        server_name(&self.host)
    }

    pub(crate) fn parse(written: &str) -> Result<Self, Complaint> {
        let (host, port) = written.rsplit_once(':').ok_or_else(|| no_port(written))?;
        let port = parse_port(written, port)?;
        Self::from_parts(host, port)
    }

    /// `host` may be an IPv6 address in brackets.
    pub(crate) fn from_parts(host: &str, port: u16) -> Result<Self, Complaint> {
        let bracketed = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let host = match bracketed {
            Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => address.to_owned(),
            Some(_) => {
                let message = format!("{} is not an IPv6 address in brackets", quoted(host));
                return Err(Complaint::new(
                    "BadAddress",
                    message,
                    "write it as `[2001:db8::1]:8443`",
                ));
            }
            None if host.contains(':') => {
                let message = format!("the IPv6 address {} needs brackets", quoted(host));
                return Err(Complaint::new(
                    "BadAddress",
                    message,
                    "write it as `[2001:db8::1]:8443`",
                ));
            }
            None if host.parse::<IpAddr>().is_ok() => host.to_owned(),
            None => HostName::parse(host)?.0,
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// A name, or address, to find in a certificate.
pub(crate) fn server_name(written: &str) -> Result<ServerName<'static>, Complaint> {
    if let Ok(address) = written.parse::<IpAddr>() {
        return Ok(ServerName::IpAddress(address.into()));
    }
    let name = HostName::parse(written)?;
    ServerName::try_from(name.0).map_err(|_invalid| {
        let message = format!("{} cannot stand in a certificate", quoted(written));
        Complaint::new(
            "BadHostName",
            message,
            "write a DNS name such as `relay.example.com`",
        )
    })
}

/// An address to listen on.
pub(crate) fn listen_address(written: &str) -> Result<SocketAddr, Complaint> {
    if let Ok(address) = written.parse() {
        return Ok(address);
    }
    let (host, port) = written.rsplit_once(':').ok_or_else(|| no_port(written))?;
    let port = parse_port(written, port)?;
    let message = format!("{} is not an address to listen on", quoted(written));
    let remedy = match host {
        "" => format!(
            "write `[::]:{port}` for all addresses, or `127.0.0.1:{port}` for this host only"
        ),
        "localhost" => format!("write `127.0.0.1:{port}` or `[::1]:{port}`"),
        _ if host.contains(':') && !host.starts_with('[') => {
            format!("put the IPv6 address in brackets: `[2001:db8::1]:{port}`")
        }
        _ => format!("write an IP address of this host, or `[::]:{port}` for all of them"),
    };
    Err(Complaint::new("BadAddress", message, remedy))
}

fn no_port(written: &str) -> Complaint {
    let message = format!("{} lacks a port", quoted(written));
    Complaint::new(
        "BadAddress",
        message,
        "write the port behind a colon, such as `:8443`",
    )
}

fn parse_port(written: &str, port: &str) -> Result<u16, Complaint> {
    port.parse().map_err(|_not_a_port| {
        let message = format!("{} does not end in a port", quoted(written));
        Complaint::new(
            "BadAddress",
            message,
            "write a number from 0 to 65535 behind the last colon",
        )
    })
}

/// A network, such as `10.0.0.0/8`; without a length it is one address.
pub(crate) fn network(written: &str) -> Result<IpNet, Complaint> {
    let address = || written.parse::<IpAddr>().map(IpNet::from);
    let network = written.parse::<IpNet>().or_else(|_| address());
    let Ok(network) = network else {
        let message = format!("{} is no network", quoted(written));
        return Err(Complaint::new(
            "NotANetwork",
            message,
            "write an address and a length, such as `10.0.0.0/8` or `2001:db8::/32`",
        ));
    };
    let (first, length) = (network.network(), network.prefix_len());
    if first == network.addr() {
        return Ok(network);
    }
    let message = format!("{} has bits behind its length", quoted(written));
    Err(Complaint::new(
        "NotANetwork",
        message,
        format!(
            "write `{first}/{length}` for the network, or `{}` for the address alone",
            network.addr()
        ),
    ))
}

/// `500ms`, `2s`, `1m30s`, `1h`: as Kubernetes and Go write durations, without fractions.
pub(crate) fn duration(written: &str) -> Result<Duration, Complaint> {
    const REMEDY: &str = "write whole numbers with units, such as `500ms`, `2s`, `1m30s` or `1h`";
    let refuse = |why: &str| {
        let message = format!("{} is not a duration: {why}", quoted(written));
        let remedy = meant_duration(written).unwrap_or_else(|| REMEDY.to_owned());
        Complaint::new("BadDuration", message, remedy)
    };
    let mut rest = written;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(refuse("it is empty"));
    }
    while !rest.is_empty() {
        let digits_end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (digits, behind) = rest.split_at(digits_end);
        let number: u64 = digits.parse().map_err(|_not_a_number| match digits {
            "" => refuse("a number must stand before each unit"),
            _ => refuse("it is too long"),
        })?;
        let unit_end = behind
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        let milliseconds = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1_000),
            "m" => number.checked_mul(60 * 1_000),
            "h" => number.checked_mul(60 * 60 * 1_000),
            "" => return Err(refuse("it lacks a unit")),
            "d" => {
                return Err(refuse(
                    "days are no unit here, as they are none in Kubernetes",
                ));
            }
            _ => return Err(refuse("its unit is not one of ms, s, m, h")),
        };
        total = milliseconds
            .and_then(|milliseconds| total.checked_add(Duration::from_millis(milliseconds)))
            .ok_or_else(|| refuse("it is too long"))?;
        rest = behind;
    }
    Ok(total)
}

/// What to write instead of a number alone, or of days.
fn meant_duration(written: &str) -> Option<String> {
    if let Some(days) = written.strip_suffix('d') {
        let hours = days.parse::<u64>().ok()?.checked_mul(24)?;
        return Some(format!("write `{hours}h`"));
    }
    let number: u64 = written.parse().ok()?;
    Some(format!(
        "write its unit behind it: `{number}h`, `{number}m`, `{number}s` or `{number}ms`"
    ))
}

#[cfg(test)]
mod tests;

//! From the server name a caller asks for to the tunnel it means.

use std::fmt;

use thiserror::Error;

use crate::tunnel_name::{TunnelName, is_label};

/// Longest host name in text form, without the final dot (RFC 1035 §2.3.4 less length bytes).
const LONGEST_NAME: usize = 253;

/// The domain below which the entrances of all tunnels lie.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntranceDomain(String);

impl EntranceDomain {
    /// Reads a host name; upper case is folded and a final dot dropped.
    ///
    /// # Errors
    /// When it is no host name, or leaves no room for `<cluster>.<account>.` before it.
    pub fn parse(text: &str) -> Result<Self, EntranceFault> {
        let domain = host_name(text)?;
        if domain.len() > LONGEST_NAME.saturating_sub("c.a.".len()) {
            return Err(EntranceFault::TooLong);
        }
        Ok(Self(domain))
    }

    /// The domain in lower case, without a final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tunnel that a server name means here: `<cluster>.<account>.<domain>`, or the same with
    /// one more label before it.
    ///
    /// Labels are compared whole; case and one final dot make no difference.
    ///
    /// # Errors
    /// When the name is no host name, lies elsewhere, or has too few or too many labels. There is no
    /// default route.
    pub fn route(&self, server_name: &str) -> Result<TunnelName, EntranceFault> {
        let name = host_name(server_name)?;
        let below = name
            .strip_suffix(self.as_str())
            .and_then(|rest| rest.strip_suffix('.'))
            .ok_or(EntranceFault::Elsewhere)?;
        let tunnel = match below.split('.').count() {
            2 => below,
            3 => below.split_once('.').map_or(below, |(_, tunnel)| tunnel),
            _ => return Err(EntranceFault::WrongDepth),
        };
        TunnelName::parse(tunnel).map_err(|_fault| EntranceFault::NotAHostName)
    }

    /// The host name of a tunnel's entrance here.
    pub fn entrance_of(&self, tunnel: &TunnelName) -> String {
        format!("{tunnel}.{}", self.0)
    }

    /// Is this host name the domain itself or below it? A relay's own name may not be.
    pub fn covers(&self, host: &str) -> bool {
        host_name(host).is_ok_and(|host| {
            host.strip_suffix(self.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

/// [`EntranceDomain::route`] as a function.
///
/// # Errors
/// As there.
pub fn route(server_name: &str, domain: &EntranceDomain) -> Result<TunnelName, EntranceFault> {
    domain.route(server_name)
}

/// Folds case, drops one final dot, and lets through host names only: letters, digits and hyphens
/// in labels of 1 to 63 bytes, 253 in all, and not an IPv4 address.
fn host_name(text: &str) -> Result<String, EntranceFault> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.len() > LONGEST_NAME {
        return Err(EntranceFault::TooLong);
    }
    let name = text.to_ascii_lowercase();
    let last_is_a_number = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if last_is_a_number || !name.split('.').all(is_label) {
        return Err(EntranceFault::NotAHostName);
    }
    Ok(name)
}

impl fmt::Display for EntranceDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EntranceDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a server name leads to no tunnel, or a text is no domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EntranceFault {
    /// Not letters, digits and hyphens in labels; an address; empty.
    #[error("this is not a host name")]
    NotAHostName,
    /// Longer than a host name can be.
    #[error("a host name has 253 bytes at most")]
    TooLong,
    /// Not below the domain.
    #[error("this name does not lie below the entrance domain")]
    Elsewhere,
    /// Below the domain, but not two or three labels before it.
    #[error("an entrance is `<cluster>.<account>.<domain>`, with at most one label before it")]
    WrongDepth,
}

impl EntranceFault {
    /// The kind of fault, for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotAHostName => "NotAHostName",
            Self::TooLong => "NameTooLong",
            Self::Elsewhere => "OtherDomain",
            Self::WrongDepth => "WrongDepth",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn domain() -> EntranceDomain {
        EntranceDomain::parse("Tunnels.Example.com.").unwrap()
    }

    #[test]
    fn entrances_lead_to_their_tunnel() {
        for name in [
            "one.acme.tunnels.example.com",
            "one.acme.tunnels.example.com.",
            "ONE.Acme.TUNNELS.example.COM",
            "kube-mtls-proxy.one.acme.tunnels.example.com",
        ] {
            assert_eq!(domain().route(name).unwrap().as_str(), "one.acme", "{name}");
        }
        assert_eq!(
            route("1.2.tunnels.example.com", &domain())
                .unwrap()
                .as_str(),
            "1.2"
        );
    }

    #[test]
    fn everything_else_leads_nowhere() {
        use EntranceFault::{Elsewhere, NotAHostName, TooLong, WrongDepth};
        let long_label = format!("{}.acme.tunnels.example.com", "a".repeat(64));
        let long_name = format!("{}.tunnels.example.com", ["abc"; 70].join("."));
        for (name, fault) in [
            ("", NotAHostName),
            (".", NotAHostName),
            ("one.acme.tunnels.example.com..", NotAHostName),
            ("one..tunnels.example.com", NotAHostName),
            (".one.acme.tunnels.example.com", NotAHostName),
            ("*.acme.tunnels.example.com", NotAHostName),
            ("one_.acme.tunnels.example.com", NotAHostName),
            ("ön.acme.tunnels.example.com", NotAHostName),
            ("one\0.acme.tunnels.example.com", NotAHostName),
            ("one.acme.tunnels.example.com:443", NotAHostName),
            ("192.0.2.1", NotAHostName),
            ("2001:db8::1", NotAHostName),
            ("[::1]", NotAHostName),
            (long_label.as_str(), NotAHostName),
            (long_name.as_str(), TooLong),
            ("one.acme.tunnels.example.org", Elsewhere),
            ("one.acme.xtunnels.example.com", Elsewhere),
            ("one.acme.tunnels.example.com.evil", Elsewhere),
            ("tunnels.example.com", Elsewhere),
            ("example.com", Elsewhere),
            ("acme.tunnels.example.com", WrongDepth),
            ("a.b.one.acme.tunnels.example.com", WrongDepth),
        ] {
            assert_eq!(domain().route(name), Err(fault), "{name}");
        }
    }

    #[test]
    fn a_relay_s_own_name_is_seen_to_lie_below() {
        for (host, covered) in [
            ("tunnels.example.com", true),
            ("relay.Tunnels.example.com.", true),
            ("relay.example.com", false),
            ("xtunnels.example.com", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(domain().covers(host), covered, "{host}");
        }
    }

    proptest! {
        #[test]
        fn routing_never_panics_and_never_guesses(name in any::<String>()) {
            if let Ok(tunnel) = domain().route(&name) {
                let entrance = domain().entrance_of(&tunnel);
                let asked = name.to_ascii_lowercase();
                prop_assert!(asked.trim_end_matches('.').ends_with(&entrance));
            }
        }

        #[test]
        fn every_tunnel_is_found_at_its_entrance(
            cluster in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", account in "[a-z0-9]{1,63}",
        ) {
            let tunnel = TunnelName::parse(&format!("{cluster}.{account}")).unwrap();
            prop_assert_eq!(domain().route(&domain().entrance_of(&tunnel)), Ok(tunnel));
        }
    }
}

//! What may be asked of a CA.

use std::net::IpAddr;
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{DnType, DnValue, ExtendedKeyUsagePurpose, SanType};
use rustls_pki_types::{ServerName, UnixTime};

use super::IssueFault;
use crate::identify::{check_common_name, check_uri};
use crate::path::Usage;
use crate::tunnel_name::TunnelName;

/// What a certificate is for, and the names that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Someone who calls through a tunnel: clientAuth.
    Caller {
        /// The common name, of up to 2048 bytes; X.520's 64 do not count here.
        common_name: String,
        /// A URI such as a SPIFFE ID, for exits that take the username from it.
        uri: Option<String>,
    },
    /// The far end of tunnels: serverAuth.
    Exit {
        /// The entrances it answers for; `*.` in front is not accepted.
        dns_names: Vec<String>,
    },
    /// An agent: clientAuth and its tunnel's name.
    Agent {
        /// The tunnel.
        tunnel: TunnelName,
    },
    /// A relay: serverAuth.
    Relay {
        /// Host names or IP addresses it is dialled by.
        hosts: Vec<String>,
    },
}

/// One certificate that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What for.
    pub kind: Kind,
    /// How long from `now`, in whole seconds; it ends with the CA at the latest.
    pub lifetime: Duration,
    /// The current time.
    pub now: UnixTime,
}

impl Kind {
    pub(super) fn usage(&self) -> Usage {
        match self {
            Self::Caller { .. } => Usage::CallerAtExit,
            Self::Agent { .. } => Usage::AgentAtRelay,
            Self::Exit { .. } | Self::Relay { .. } => Usage::RelayAtAgent,
        }
    }

    pub(super) fn extended_key_usage(&self) -> ExtendedKeyUsagePurpose {
        match self {
            Self::Caller { .. } | Self::Agent { .. } => ExtendedKeyUsagePurpose::ClientAuth,
            Self::Exit { .. } | Self::Relay { .. } => ExtendedKeyUsagePurpose::ServerAuth,
        }
    }

    /// The subject: a caller's name, or for the others the first alternative name, as far as X.520
    /// has room for it, for people who look at the certificate.
    pub(super) fn common_name(&self) -> Result<Option<(DnType, DnValue)>, IssueFault> {
        let name = match self {
            Self::Caller { common_name, .. } => {
                check_common_name(common_name).map_err(IssueFault::Name)?;
                common_name.clone()
            }
            Self::Exit { dns_names: hosts } | Self::Relay { hosts } => {
                hosts.first().ok_or(IssueFault::NoHost)?.clone()
            }
            Self::Agent { tunnel } => tunnel.to_string(),
        };
        let fits = matches!(self, Self::Caller { .. }) || name.len() <= 64;
        Ok(fits.then_some((DnType::CommonName, DnValue::Utf8String(name))))
    }

    pub(super) fn alternative_names(&self) -> Result<Vec<SanType>, IssueFault> {
        match self {
            Self::Caller { uri: None, .. } => Ok(Vec::new()),
            Self::Caller { uri: Some(uri), .. } => {
                check_uri(uri).map_err(IssueFault::Name)?;
                Ok(vec![SanType::URI(ia5(uri)?)])
            }
            Self::Exit { dns_names } => dns_names.iter().map(|name| dns(name)).collect(),
            Self::Agent { tunnel } => Ok(vec![dns(tunnel.as_str())?]),
            Self::Relay { hosts } => hosts
                .iter()
                .map(|host| match host.parse::<IpAddr>() {
                    Ok(address) => Ok(SanType::IpAddress(address)),
                    Err(_name) => dns(host),
                })
                .collect(),
        }
    }
}

fn dns(name: &str) -> Result<SanType, IssueFault> {
    match ServerName::try_from(name) {
        Ok(ServerName::DnsName(_)) if !name.ends_with('.') => Ok(SanType::DnsName(ia5(name)?)),
        _ => Err(IssueFault::Host {
            name: name.to_owned(),
        }),
    }
}

fn ia5(text: &str) -> Result<Ia5String, IssueFault> {
    Ia5String::try_from(text).map_err(IssueFault::Library)
}

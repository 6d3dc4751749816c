//! Where to join: the relays of the command line, and the HTTP proxy on the way to each.

use std::fmt;

use gangplank_agent::enrolment::Address;
use gangplank_config::{HttpProxy, ProxyEnvironment};

use crate::failure::Failure;

/// As many as an agent's file may name.
const MOST_RELAYS: usize = 16;

/// The relays that the agent will hold a tunnel to.
pub(super) struct Relays {
    /// Where the token is used.
    pub(super) first: RelayPlace,
    pub(super) others: Vec<RelayPlace>,
}

/// One relay, as it is asked.
#[derive(PartialEq, Eq)]
pub(super) struct RelayPlace {
    pub(super) host: String,
    port: u16,
    proxy: Option<HttpProxy>,
}

impl Relays {
    pub(super) fn read(written: &[String]) -> Result<Self, Failure> {
        let environment = ProxyEnvironment::read(|name| std::env::var(name).ok());
        let environment = environment.map_err(Failure::Usage)?;
        if written.len() > MOST_RELAYS {
            return Err(Failure::Usage(format!(
                "{} relays are too many: name at most {MOST_RELAYS}",
                written.len()
            )));
        }
        let mut places = Vec::new();
        for written in written {
            let (host, port) = host_and_port(written)?;
            let proxy = environment.on_the_way_to(&host);
            let place = RelayPlace { host, port, proxy };
            if places.contains(&place) {
                return Err(Failure::Usage(format!(
                    "the relay {place} is named twice: remove one of the two"
                )));
            }
            places.push(place);
        }
        let mut places = places.into_iter();
        let Some(first) = places.next() else {
            return Err(wrong_relay(""));
        };
        Ok(Self {
            first,
            others: places.collect(),
        })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &RelayPlace> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl RelayPlace {
    pub(super) fn address(&self) -> Address<'_> {
        Address {
            host: &self.host,
            port: self.port,
            proxy: self.proxy.as_ref(),
        }
    }

    /// Whether an agent's file means this relay by such an address.
    pub(super) fn is_at(&self, written: &str) -> bool {
        host_and_port(written)
            .is_ok_and(|(host, port)| host.eq_ignore_ascii_case(&self.host) && port == self.port)
    }

    /// By what it is asked, to stand behind its name.
    pub(super) fn way(&self) -> String {
        match &self.proxy {
            Some(proxy) => format!(" over TCP, through the HTTP proxy {proxy}"),
            None => " over TCP".to_owned(),
        }
    }
}

/// As an agent's file has it.
impl fmt::Display for RelayPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// `relay.example.com` is at port 443.
fn host_and_port(written: &str) -> Result<(String, u16), Failure> {
    let unbracketed = |host: &str| {
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        bare.unwrap_or(host).to_owned()
    };
    let whole_host = written.starts_with('[') && written.ends_with(']');
    match written.rsplit_once(':').filter(|_| !whole_host) {
        None if !written.is_empty() => Ok((unbracketed(written), 443)),
        Some((host, port)) if !host.is_empty() => {
            let port = port.parse().map_err(|_no_number| wrong_relay(written))?;
            Ok((unbracketed(host), port))
        }
        _ => Err(wrong_relay(written)),
    }
}

fn wrong_relay(written: &str) -> Failure {
    Failure::Usage(format!(
        "`{written}` is no address of a relay: write a host and a port, such as `relay.example.com:8443`"
    ))
}

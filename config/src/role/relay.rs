//! The relay's file: where callers and agents come in.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use gangplank_pki::{EntranceDomain, TunnelName};
use ipnet::IpNet;

use crate::fault::Faults;
use crate::material::{Anchors, KeyPair, Material, Purpose};
use crate::role::{CongestionControl, Drain, Log, blocks, enrolment};
use crate::scalar::{self, HostName, quoted};
use crate::section::Section;
use crate::sheet::Sheet;

pub use crate::role::enrolment::{Enrolment, Etcd, JoiningAccount, Register};

const KEYS: &[&str] = &[
    "listen",
    "domain",
    "tunnel",
    "enrolment",
    "hideNames",
    "proxyProtocolFrom",
    "admin",
    "log",
    "drain",
];
const TUNNEL_KEYS: &[&str] = &[
    "serverName",
    "certificateFile",
    "keyFile",
    "clientCAFile",
    "authorities",
    "congestionControl",
];
const AUTHORITY_KEYS: &[&str] = &["caFile", "accounts"];
/// Authorities that accounts bring; beyond it the relay's own authority and `enrolment` are less work for all.
const MOST_AUTHORITIES: usize = 1024;
/// Networks of load balancers: each connection is compared with all of them, and clouds name a dozen.
const MOST_FORWARDERS: usize = 64;

/// What the relay is to do.
#[derive(Clone, Debug)]
pub struct Relay {
    /// TCP for callers and UDP for agents, on the same port.
    pub listen: SocketAddr,
    /// Entrances are `<cluster>.<account>.<domain>`.
    pub domain: EntranceDomain,
    /// The relay's own end of the tunnels.
    pub tunnel: TunnelEntrance,
    /// How clusters join by themselves, if they may.
    pub enrolment: Option<Enrolment>,
    /// Whether an offline name looks like an unknown one to callers.
    pub hide_names: bool,
    /// Networks of load balancers that say by PROXY protocol (version 2) whom they forward.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Where metrics, probes and status are served, if at all.
    pub admin: Option<SocketAddr>,
    /// How to log.
    pub log: Log,
    /// How to end.
    pub drain: Drain,
}

/// Who the relay is to agents, and which agents it believes.
#[derive(Clone, Debug)]
pub struct TunnelEntrance {
    /// The relay's own host name; never at or below the entrance domain.
    pub server_name: HostName,
    /// The relay's certificate and key.
    pub key_pair: Material<KeyPair>,
    /// The authorities that sign agents' certificates, for any account.
    pub agent_authorities: Material<Anchors>,
    /// Further ones, each for some accounts.
    pub account_authorities: Vec<AccountAuthority>,
    /// How fast the relay sends to agents over QUIC.
    pub congestion_control: CongestionControl,
}

/// Authorities that an account brings for its own agents.
#[derive(Clone, Debug)]
pub struct AccountAuthority {
    /// The authorities.
    pub authorities: Material<Anchors>,
    /// The accounts whose clusters they may name.
    pub accounts: BTreeSet<String>,
}

/// Loads a relay's file.
///
/// # Errors
/// All faults of the file and of the files it names.
pub fn load(path: &Path) -> Result<Relay, Faults> {
    Sheet::load(path, |sheet, root| {
        let section = sheet.section(root, "the relay's file", KEYS)?;
        relay(&section)
    })
}

fn relay(section: &Section<'_>) -> Option<Relay> {
    let listen = section.listen_address("listen");
    let domain = entrance_domain(section);
    let tunnel = section
        .required_section("tunnel", TUNNEL_KEYS)
        .and_then(|tunnel| tunnel_entrance(&tunnel, domain.as_ref()));
    let enrolment = enrolment::enrolment(section, tunnel.as_ref());
    let hide_names = section.flag("hideNames", false);
    let proxy_protocol_from = forwarders(section);
    let admin = blocks::admin(section);
    let log = blocks::log(section);
    let drain = blocks::drain(section);
    Some(Relay {
        listen: listen?,
        domain: domain?,
        tunnel: tunnel?,
        enrolment: enrolment?,
        hide_names: hide_names?,
        proxy_protocol_from: proxy_protocol_from?,
        admin,
        log: log?,
        drain: drain?,
    })
}

fn forwarders(section: &Section<'_>) -> Option<Vec<IpNet>> {
    let key = "proxyProtocolFrom";
    let Some(node) = section.optional(key) else {
        return Some(Vec::new());
    };
    let items = section.optional_list(key)?;
    if items.len() > MOST_FORWARDERS {
        let message = format!("{} networks are too many", items.len());
        let remedy = format!("name at most {MOST_FORWARDERS}, larger ones if need be");
        section
            .sheet
            .fault(node.place, "TooManyNetworks", message, remedy);
        return None;
    }
    let read: Vec<_> = items
        .iter()
        .map(|item| {
            let written = section.text(key, item)?;
            section
                .sheet
                .accept(written.place, scalar::network(written.text))
        })
        .collect();
    read.into_iter().collect()
}

fn entrance_domain(section: &Section<'_>) -> Option<EntranceDomain> {
    let written = section.required_text("domain")?;
    match EntranceDomain::parse(written.text) {
        Ok(domain) => Some(domain),
        Err(fault) => {
            let message = format!(
                "{} cannot be the entrance domain: {fault}",
                quoted(written.text)
            );
            let remedy = "write a DNS domain such as `tunnels.example.com`";
            section
                .sheet
                .fault(written.place, fault.reason(), message, remedy);
            None
        }
    }
}

fn tunnel_entrance(
    section: &Section<'_>,
    domain: Option<&EntranceDomain>,
) -> Option<TunnelEntrance> {
    let server_name = server_name(section, domain);
    let purpose = server_name
        .clone()
        .map_or(Purpose::Unchecked, Purpose::Relay);
    let key_pair = section.key_pair(purpose);
    let agent_authorities = section.anchors("clientCAFile");
    let account_authorities = account_authorities(section);
    let congestion_control = blocks::congestion_control(section);
    Some(TunnelEntrance {
        server_name: server_name?,
        key_pair: key_pair?,
        agent_authorities: agent_authorities?,
        account_authorities: account_authorities?,
        congestion_control: congestion_control?,
    })
}

fn account_authorities(section: &Section<'_>) -> Option<Vec<AccountAuthority>> {
    let Some(node) = section.optional("authorities") else {
        return Some(Vec::new());
    };
    let items = section.optional_list("authorities")?;
    if items.len() > MOST_AUTHORITIES {
        let message = format!("{} authorities are too many", items.len());
        let remedy =
            format!("name at most {MOST_AUTHORITIES}, or let clusters join by `enrolment`");
        section
            .sheet
            .fault(node.place, "TooManyAuthorities", message, remedy);
        return None;
    }
    let read: Vec<_> = items
        .iter()
        .map(|item| {
            account_authority(
                &section
                    .sheet
                    .section(item, "an authority", AUTHORITY_KEYS)?,
            )
        })
        .collect();
    read.into_iter().collect()
}

fn account_authority(section: &Section<'_>) -> Option<AccountAuthority> {
    let authorities = section.anchors("caFile");
    let items = section.required_list("accounts")?;
    if items.is_empty() {
        let remedy = "name the accounts whose clusters this authority may name";
        section
            .sheet
            .fault(section.place, "NoAccounts", "`accounts` is empty", remedy);
    }
    let accounts: Vec<Option<String>> = items
        .iter()
        .map(|item| {
            let written = section.text("accounts", item)?;
            // A cluster of it, to see whether the account can be part of a name.
            let named = TunnelName::parse(&format!("x.{}", written.text));
            if let Err(fault) = &named {
                let message = format!("{} cannot be an account: {fault}", quoted(written.text));
                let remedy = "write the second label of the clusters' names, such as `acme`";
                section
                    .sheet
                    .fault(written.place, fault.reason(), message, remedy);
            }
            named.ok().map(|named| named.account().to_owned())
        })
        .collect();
    Some(AccountAuthority {
        authorities: authorities?,
        accounts: accounts.into_iter().collect::<Option<_>>()?,
    })
}

/// The relay ends TLS for its own name only; a name among the entrances would shadow a cluster's.
fn server_name(section: &Section<'_>, domain: Option<&EntranceDomain>) -> Option<HostName> {
    let written = section.required_text("serverName")?;
    let name = section
        .sheet
        .accept(written.place, HostName::parse(written.text))?;
    if domain.is_some_and(|domain| domain.covers(name.as_str())) {
        let message = format!("the relay's own name `{name}` lies below the entrance domain");
        let remedy = "give the relay a name outside `domain`, such as `relay.example.com`";
        section
            .sheet
            .fault(written.place, "ServerNameBelowDomain", message, remedy);
        return None;
    }
    Some(name)
}

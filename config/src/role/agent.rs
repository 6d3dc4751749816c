//! The agent's file: which relays to dial as whom, and the exit behind it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustls_pki_types::ServerName;

use crate::fault::Faults;
use crate::http_proxy::{HttpProxy, ProxyEnvironment};
use crate::material::{Anchors, KeyPair, Material, Purpose};
use crate::role::exit::Exit;
use crate::role::{CongestionControl, Drain, Log, blocks, exit};
use crate::scalar::{HostPort, server_name};
use crate::section::Section;
use crate::sheet::Sheet;
use crate::upstream::InCluster;

/// What the agent is to do.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The relays to hold a tunnel to, at least one.
    pub relays: Vec<RelayTarget>,
    /// The agent's certificate, which carries the tunnel's name, and its key. Read it at every dial.
    pub tunnel: Material<KeyPair>,
    /// The file in which the certificate is replaced before it expires, if the agent is to renew it.
    pub renewal: Option<PathBuf>,
    /// How fast the agent sends to its relays over QUIC.
    pub congestion_control: CongestionControl,
    /// The exit behind the tunnels.
    pub exit: Exit,
    /// Where metrics, probes and status are served, if at all.
    pub admin: Option<SocketAddr>,
    /// How to log.
    pub log: Log,
    /// How to end.
    pub drain: Drain,
}

/// One relay, as the agent dials it.
#[derive(Clone, Debug)]
pub struct RelayTarget {
    /// Where to dial; the host is looked up at every attempt.
    pub address: HostPort,
    /// The name its certificate must carry: `serverName`, or the host of the address.
    pub server_name: ServerName<'static>,
    /// The authorities its certificate may come from.
    pub authorities: Material<Anchors>,
    /// What carries the tunnel.
    pub transport: Transport,
    /// The HTTP proxy through which its TCP port is reached, if there is one.
    pub proxy: Option<HttpProxy>,
}

/// What carries a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// QUIC, and TCP where UDP is blocked.
    #[default]
    Auto,
    /// QUIC or nothing.
    Quic,
    /// TCP or nothing.
    Tcp,
}

impl Agent {
    /// Where the file says nothing of a proxy, the environment does.
    #[must_use]
    pub fn with_proxies_of(mut self, environment: &ProxyEnvironment) -> Self {
        for relay in &mut self.relays {
            if relay.proxy.is_none() {
                relay.proxy = environment.on_the_way_to(relay.address.host());
            }
        }
        self
    }
}

const KEYS: &[&str] = &["relays", "tunnel", "exit", "admin", "log", "drain"];
const TUNNEL_KEYS: &[&str] = &[
    "certificateFile",
    "keyFile",
    "identityFile",
    "renewal",
    "congestionControl",
];
const RELAY_KEYS: &[&str] = &["address", "serverName", "caFile", "transport", "httpProxy"];
const TRANSPORTS: &[(&str, Transport)] = &[
    ("Auto", Transport::Auto),
    ("Quic", Transport::Quic),
    ("Tcp", Transport::Tcp),
];
/// An agent holds a tunnel to each; more than a handful is a list pasted from elsewhere.
const MAX_RELAYS: usize = 16;

/// Loads an agent's file.
///
/// # Errors
/// All faults of the file and of the files it names.
pub fn load(path: &Path, in_cluster: &InCluster) -> Result<Agent, Faults> {
    Sheet::load(path, |sheet, root| {
        let section = sheet.section(root, "the agent's file", KEYS)?;
        agent(&section, in_cluster)
    })
}

fn agent(section: &Section<'_>, in_cluster: &InCluster) -> Option<Agent> {
    let relays = relays(section);
    let tunnel = section.required_section("tunnel", TUNNEL_KEYS);
    let congestion_control = tunnel.as_ref().and_then(blocks::congestion_control);
    let tunnel = tunnel.and_then(|tunnel| identity(&tunnel));
    let exit = exit::exit(section, in_cluster);
    let admin = blocks::admin(section);
    let log = blocks::log(section);
    let drain = blocks::drain(section);
    let (tunnel, renewal) = tunnel?;
    Some(Agent {
        relays: relays?,
        tunnel,
        renewal,
        congestion_control: congestion_control?,
        exit: exit?,
        admin,
        log: log?,
        drain: drain?,
    })
}

/// The certificate and its key: two files, or one that the agent itself replaces.
fn identity(section: &Section<'_>) -> Option<(Material<KeyPair>, Option<PathBuf>)> {
    let one_file = section.optional("identityFile").is_some();
    let renews = section.word("renewal", &[("Off", false), ("Automatic", true)], false);
    if !one_file {
        if renews == Some(true) {
            let message = "`renewal: Automatic` needs certificate and key in one file";
            let remedy = "write `identityFile` instead of `certificateFile` and `keyFile`, as `gangplank join` does";
            section
                .sheet
                .fault(section.place, "RenewalNeedsOneFile", message, remedy);
        }
        let pair = section.key_pair(Purpose::Agent);
        return Some((pair?, None));
    }
    for other in ["certificateFile", "keyFile"] {
        if let Some(node) = section.optional(other) {
            let message = format!("`{other}` stands beside `identityFile`, which holds both");
            section.sheet.fault(
                node.place,
                "TwoIdentities",
                message,
                "remove one of the two",
            );
        }
    }
    let material = section.key_pair_of_one_file("identityFile", Purpose::Agent)?;
    let file = material.first_file().map(Path::to_path_buf);
    Some((material, file.filter(|_| renews == Some(true))))
}

fn relays(section: &Section<'_>) -> Option<Vec<RelayTarget>> {
    let items = section.required_list("relays")?;
    let place = section.required("relays")?.place;
    if items.is_empty() {
        let remedy = "name at least one, with `address` and `caFile`";
        section
            .sheet
            .fault(place, "NoRelays", "the list of relays is empty", remedy);
    }
    if items.len() > MAX_RELAYS {
        let message = format!("{} relays are too many", items.len());
        let remedy = format!("name at most {MAX_RELAYS}; two are usual");
        section.sheet.fault(place, "TooManyRelays", message, remedy);
        return None;
    }
    let relays: Vec<Option<RelayTarget>> = items
        .iter()
        .map(|item| relay_target(&section.sheet.section(item, "a relay", RELAY_KEYS)?))
        .collect();
    let relays: Vec<RelayTarget> = relays.into_iter().collect::<Option<_>>()?;
    for (index, relay) in relays.iter().enumerate() {
        let before = relays
            .iter()
            .take(index)
            .any(|other| other.address == relay.address);
        if let (true, Some(item)) = (before, items.get(index)) {
            let message = format!("the relay `{}` is named twice", relay.address);
            section.sheet.fault(
                item.place,
                "DuplicateRelay",
                message,
                "remove one of the two",
            );
        }
    }
    Some(relays)
}

fn relay_target(section: &Section<'_>) -> Option<RelayTarget> {
    let address = section.required_text("address").and_then(|written| {
        section
            .sheet
            .accept(written.place, HostPort::parse(written.text))
    });
    let server_name = if section.optional("serverName").is_some() {
        section.optional_text("serverName").and_then(|written| {
            section
                .sheet
                .accept(written.place, server_name(written.text))
        })
    } else {
        address
            .as_ref()
            .and_then(|address| section.sheet.accept(section.place, address.server_name()))
    };
    let authorities = section.anchors("caFile");
    let transport = section.word("transport", TRANSPORTS, Transport::default());
    let written = section.optional_text("httpProxy");
    let proxy = written.and_then(|written| {
        section
            .sheet
            .accept(written.place, HttpProxy::parse(written.text))
    });
    let proxy_is_faulty = section.optional("httpProxy").is_some() && proxy.is_none();
    if proxy_is_faulty {
        return None;
    }
    Some(RelayTarget {
        address: address?,
        server_name: server_name?,
        authorities: authorities?,
        transport: transport?,
        proxy,
    })
}

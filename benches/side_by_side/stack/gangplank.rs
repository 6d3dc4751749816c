//! Gangplank itself, with its default configuration: only names, papers and the upstream are set.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gangplank_link::Host;
use serde_json::{Value, json};

use super::Running;
use crate::flotilla::Flotilla;
use crate::free_port::{free_address, free_address_of};
use crate::papers::{DOMAIN, PREFIX, RELAY, further_authority};
use crate::process::Process;
use crate::site::{Site, TOKEN, write};
use crate::way::Door;

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_gangplank");

/// Relay and agent, with so many trust anchors at the exit.
pub(super) fn tunnel<const ANCHORS: usize>(site: &Site) -> anyhow::Result<Running> {
    let folder = site.folder(&format!("gangplank-{ANCHORS}"))?;
    let entrance = free_address()?;
    let agent = agent(site, &folder, entrance, ANCHORS)?;
    let processes = vec![
        role(site, &folder, "relay", &relay(site, entrance))?,
        role(site, &folder, "agent", &agent)?,
    ];
    Ok(Running {
        way: site.way_to_exit(Door::Tcp(entrance)),
        processes,
        company: None,
    })
}

/// Relay and agent; beside that agent so many others as make `TUNNELS` in all.
pub(super) fn in_company<const TUNNELS: u32>(site: &Site) -> anyhow::Result<Running> {
    let running = tunnel::<1>(site)?;
    let others = Flotilla::fitting(TUNNELS - 1);
    let company = match running.way.door {
        Door::Tcp(entrance) if others > 0 => Some(Flotilla::launch(site, entrance, others)?),
        _ => None,
    };
    Ok(Running { company, ..running })
}

/// What a tunnel between two hosts is set to besides the defaults; nothing where it is `None`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tunnel {
    /// The agent's `transport`.
    pub(crate) transport: Option<&'static str>,
    /// Both ends' `congestionControl`.
    pub(crate) congestion: Option<&'static str>,
}

/// The relay on this host, the agent on another one, from where the relay is at `near`.
pub(crate) fn across(
    site: &Site,
    name: &str,
    (near, far): (IpAddr, &Host),
    tunnel: Tunnel,
) -> anyhow::Result<Running> {
    let folder = site.folder(name)?;
    let entrance = free_address_of(near)?;
    let mut relay = relay(site, entrance);
    let mut agent = agent(site, &folder, entrance, 1)?;
    if let Some(congestion) = tunnel.congestion {
        set(&mut relay, "/tunnel", ("congestionControl", congestion))?;
        set(&mut agent, "/tunnel", ("congestionControl", congestion))?;
    }
    if let Some(transport) = tunnel.transport {
        set(&mut agent, "/relays/0", ("transport", transport))?;
    }
    let processes = vec![
        role(site, &folder, "relay", &relay)?,
        far.within(|| role(site, &folder, "agent", &agent))??,
    ];
    Ok(Running {
        way: site.way_to_exit(Door::Tcp(entrance)),
        processes,
        company: None,
    })
}

fn set(config: &mut Value, block: &str, (key, value): (&str, &str)) -> anyhow::Result<()> {
    let block = config.pointer_mut(block).and_then(Value::as_object_mut);
    let block = block.context("no such block")?;
    block.insert(key.to_owned(), value.into());
    Ok(())
}

/// The exit on a TCP listener.
pub(super) fn proxy(site: &Site) -> anyhow::Result<Running> {
    let folder = site.folder("gangplank-proxy")?;
    let listen = free_address()?;
    let proxy = json!({ "listen": listen, "exit": exit(site, &folder, 1)? });
    Ok(Running {
        way: site.way_to_exit(Door::Tcp(listen)),
        processes: vec![role(site, &folder, "proxy", &proxy)?],
        company: None,
    })
}

/// A role and the admin endpoint that it was given besides its defaults.
pub(crate) type Watched = (Process, SocketAddr);

/// A relay that says when it is ready, and where its entrance is.
pub(crate) fn watched_relay(site: &Site) -> anyhow::Result<(Watched, SocketAddr)> {
    let entrance = free_address()?;
    let folder = site.folder("watched-relay")?;
    let relay = watched(site, &folder, "relay", relay(site, entrance))?;
    Ok((relay, entrance))
}

/// An agent of that relay.
pub(crate) fn watched_agent(site: &Site, entrance: SocketAddr) -> anyhow::Result<Watched> {
    let folder = site.folder("watched-agent")?;
    let agent = agent(site, &folder, entrance, 1)?;
    watched(site, &folder, "agent", agent)
}

/// A proxy.
pub(crate) fn watched_proxy(site: &Site) -> anyhow::Result<Watched> {
    let folder = site.folder("watched-proxy")?;
    let proxy = json!({ "listen": free_address()?, "exit": exit(site, &folder, 1)? });
    watched(site, &folder, "proxy", proxy)
}

fn watched(site: &Site, folder: &Path, name: &str, mut config: Value) -> anyhow::Result<Watched> {
    let admin = free_address()?;
    let config_of_role = config.as_object_mut().context("an object")?;
    config_of_role.insert("admin".to_owned(), json!({ "listen": admin }));
    Ok((role(site, folder, name, &config)?, admin))
}

fn relay(site: &Site, entrance: SocketAddr) -> Value {
    let papers = &site.papers;
    json!({
        "listen": entrance,
        "domain": DOMAIN,
        "tunnel": {
            "serverName": RELAY,
            "certificateFile": papers.certificate("relay"),
            "keyFile": papers.key("relay"),
            "clientCAFile": papers.authority("agent"),
        },
    })
}

fn agent(
    site: &Site,
    folder: &Path,
    entrance: SocketAddr,
    anchors: usize,
) -> anyhow::Result<Value> {
    let papers = &site.papers;
    Ok(json!({
        "relays": [{
            "address": entrance.to_string(),
            "serverName": RELAY,
            "caFile": papers.authority("relay"),
        }],
        "tunnel": {
            "certificateFile": papers.certificate("agent"),
            "keyFile": papers.key("agent"),
        },
        "exit": exit(site, folder, anchors)?,
    }))
}

fn role(site: &Site, folder: &Path, role: &str, config: &Value) -> anyhow::Result<Process> {
    let config = write(folder, &format!("{role}.yaml"), &config.to_string())?;
    let mut command = Command::new(PROGRAM);
    command.arg(role).arg("--config").arg(config);
    site.start(folder, role, command)
}

fn exit(site: &Site, folder: &Path, anchors: usize) -> anyhow::Result<Value> {
    let trust = folder.join("trust");
    fs::create_dir(&trust)?;
    let callers = fs::read_to_string(site.papers.authority("caller"))?;
    provider(&trust, "team-a", PREFIX, &callers)?;
    for number in 1..anchors {
        let name = format!("team-{number}");
        let prefix = format!("spiffe://{name}.example/");
        provider(&trust, &name, &prefix, &further_authority(number)?)?;
    }
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "upstream",
        "contexts": [{ "name": "upstream", "context": { "cluster": "upstream", "user": "exit" } }],
        "clusters": [{ "name": "upstream", "cluster": {
            "server": format!("https://{}", site.upstream),
            "certificate-authority": site.papers.authority("upstream"),
        } }],
        "users": [{ "name": "exit", "user": { "token": TOKEN } }],
    });
    let kubeconfig = write(folder, "upstream.kubeconfig", &kubeconfig.to_string())?;
    Ok(json!({
        "servingCertificate": {
            "certificateFile": site.papers.certificate("exit"),
            "keyFile": site.papers.key("exit"),
        },
        "trust": { "directory": trust },
        "upstream": { "kubeconfig": kubeconfig },
        // One organisation alone is the load here: counted, and never refused.
        "limits": {
            "provider": { "requestsPerSecond": 1_000_000, "connections": 1_000_000 },
            "caller": { "connections": 1_000_000 },
        },
    }))
}

fn provider(trust: &Path, name: &str, prefix: &str, authority: &str) -> anyhow::Result<()> {
    let provider = json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1",
        "kind": "TrustedIdentityProvider",
        "metadata": { "name": name },
        "spec": {
            "prefix": prefix,
            "certificateAuthorityData": BASE64_STANDARD.encode(authority),
        },
    });
    write(trust, &format!("{name}.yaml"), &provider.to_string()).map(drop)
}

//! Gangplank itself, with its default configuration: only names, papers and the upstream are set.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::Running;
use crate::free_port::free_address;
use crate::papers::{DOMAIN, PREFIX, RELAY, further_authority};
use crate::process::Process;
use crate::site::{Site, TOKEN, write};
use crate::way::Door;

/// Relay and agent, with so many trust anchors at the exit.
pub(super) fn tunnel<const ANCHORS: usize>(site: &Site) -> anyhow::Result<Running> {
    let folder = site.folder(&format!("gangplank-{ANCHORS}"))?;
    let papers = &site.papers;
    let entrance = free_address()?;
    let relay = json!({
        "listen": entrance,
        "domain": DOMAIN,
        "tunnel": {
            "serverName": RELAY,
            "certificateFile": papers.certificate("relay"),
            "keyFile": papers.key("relay"),
            "clientCAFile": papers.authority("agent"),
        },
    });
    let agent = json!({
        "relays": [{
            "address": entrance.to_string(),
            "serverName": RELAY,
            "caFile": papers.authority("relay"),
        }],
        "tunnel": {
            "certificateFile": papers.certificate("agent"),
            "keyFile": papers.key("agent"),
        },
        "exit": exit(site, &folder, ANCHORS)?,
    });
    let processes = vec![
        role(site, &folder, "relay", &relay)?,
        role(site, &folder, "agent", &agent)?,
    ];
    Ok(Running {
        way: site.way_to_exit(Door::Tcp(entrance)),
        processes,
    })
}

/// The exit on a TCP listener.
pub(super) fn proxy(site: &Site) -> anyhow::Result<Running> {
    let folder = site.folder("gangplank-proxy")?;
    let listen = free_address()?;
    let proxy = json!({ "listen": listen, "exit": exit(site, &folder, 1)? });
    Ok(Running {
        way: site.way_to_exit(Door::Tcp(listen)),
        processes: vec![role(site, &folder, "proxy", &proxy)?],
    })
}

fn role(
    site: &Site,
    folder: &Path,
    role: &str,
    config: &serde_json::Value,
) -> anyhow::Result<Process> {
    let config = write(folder, &format!("{role}.yaml"), &config.to_string())?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_gangplank"));
    command.arg(role).arg("--config").arg(config);
    site.start(folder, role, command)
}

fn exit(site: &Site, folder: &Path, anchors: usize) -> anyhow::Result<serde_json::Value> {
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

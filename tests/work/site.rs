//! A path from a caller to the API server: the files of its parts, and the parts.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use crate::papers::Papers;
use crate::part::{Part, Role};

/// The tunnel's name.
pub(crate) const TUNNEL: &str = "harbour.acme";
/// Where entrances lie.
const DOMAIN: &str = "tunnels.example.com";
/// The name that callers ask for.
pub(crate) const ENTRANCE: &str = "harbour.acme.tunnels.example.com";
/// The relay's own name.
pub(crate) const RELAY: &str = "relay.example.com";

/// How callers reach the exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Straight at the `proxy` role.
    Hop,
    /// Through a relay and a tunnel.
    Tunnel,
}

/// The files of all parts.
#[derive(Debug)]
pub(crate) struct Site {
    folder: TempDir,
}

/// The running parts of a way.
#[derive(Debug)]
pub(crate) struct Running {
    /// The caller's side first.
    pub(crate) parts: Vec<Part>,
    /// Where callers connect.
    pub(crate) address: SocketAddr,
}

impl Site {
    /// Writes what every way needs.
    ///
    /// # Errors
    ///
    /// When there is no room for temporary files.
    pub(crate) fn write(papers: &Papers, api_server: SocketAddr) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("gangplank-work-")
            .tempdir()?;
        papers.write(folder.path())?;
        write_trust(folder.path(), &papers.caller.ca_pem)?;
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
             clusters: [{{ name: it, cluster: {{ server: \"https://{api_server}\", certificate-authority: api-server-ca.crt }} }}]\n\
             users: [{{ name: exit, user: {{ token: a-token }} }}]\n\
             contexts: [{{ name: it, context: {{ cluster: it, user: exit }} }}]\n"
        );
        fs::write(folder.path().join("api-server.kubeconfig"), kubeconfig)?;
        Ok(Self { folder })
    }

    /// Starts the parts of a way.
    ///
    /// # Errors
    ///
    /// When one does not start.
    pub(crate) fn start(&self, way: Way) -> anyhow::Result<Running> {
        match way {
            Way::Hop => {
                let text = format!("listen: \"127.0.0.1:0\"\n{}", exit_block());
                let proxy = self.part(Role::Proxy, &text)?;
                let address = proxy.listen.context("a proxy listens")?;
                Ok(Running {
                    parts: vec![proxy],
                    address,
                })
            }
            Way::Tunnel => {
                let relay = self.part(Role::Relay, &relay_file())?;
                let address = relay.listen.context("a relay listens")?;
                let text = format!("{}{}", agent_file(address), exit_block());
                let agent = self.part(Role::Agent, &text)?;
                Ok(Running {
                    parts: vec![relay, agent],
                    address,
                })
            }
        }
    }

    fn part(&self, role: Role, text: &str) -> anyhow::Result<Part> {
        let file = self.folder.path().join(format!("{}.yaml", role.name()));
        fs::write(&file, text)?;
        Part::start(role, &file)
    }
}

fn relay_file() -> String {
    format!(
        "listen: \"127.0.0.1:0\"\ndomain: {DOMAIN}\n\
         tunnel: {{ serverName: {RELAY}, certificateFile: relay.crt, keyFile: relay.key, clientCAFile: agent-ca.crt }}\n"
    )
}

fn agent_file(relay: SocketAddr) -> String {
    format!(
        "relays: [{{ address: \"{relay}\", serverName: {RELAY}, caFile: relay-ca.crt }}]\n\
         tunnel: {{ certificateFile: agent.crt, keyFile: agent.key }}\n"
    )
}

fn exit_block() -> &'static str {
    "exit:\n  servingCertificate: { certificateFile: exit.crt, keyFile: exit.key }\n  \
     trust: { directory: trust }\n  upstream: { kubeconfig: api-server.kubeconfig }\n"
}

fn write_trust(folder: &Path, authority: &str) -> anyhow::Result<()> {
    let trust = folder.join("trust");
    fs::create_dir(&trust)?;
    let provider = format!(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: TrustedIdentityProvider\nmetadata: {{ name: team-a }}\n\
         spec:\n  prefix: spiffe://team-a.example/\n  certificateAuthorityData: {}\n",
        BASE64_STANDARD.encode(authority)
    );
    fs::write(trust.join("team-a.yaml"), provider)?;
    Ok(())
}

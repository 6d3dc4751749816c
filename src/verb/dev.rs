//! `gangplank dev`: relay and agent on loopback before a cluster of a kubeconfig, with throwaway authorities.
//!
//! It writes the same files a person would write and runs the same roles from them, so that what works here
//! works for real, and the files can be taken along.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gangplank_config::role;
use gangplank_config::upstream::InCluster;
use gangplank_pki::clock::{Clock as _, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Kind, Request};
use gangplank_pki::{EntranceDomain, Prefix, TunnelName, WithCauses};
use gangplank_relay::Relay;
use prometheus_client::registry::Registry;
use serde_json::json;

use crate::cli::{DevArguments, KubeconfigArguments};
use crate::failure::{Failure, Outcome};
use crate::logging::{self, Format};
use crate::output::print;
use crate::role::{Stage, run_on_runtime};
use crate::secret_file;
use crate::signals;
use crate::verb::{agent, kubeconfig};

/// The cluster's name, its account and the relay's names in this little world.
const CLUSTER: &str = "cluster.dev";
const DOMAIN: &str = "tunnels.dev.example";
const RELAY: &str = "relay.dev.example";

/// A rehearsal ends the same day.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Makes the files, runs the roles, prints the kubeconfig.
pub(crate) fn run(arguments: &DevArguments) -> Outcome {
    let upstream = upstream_kubeconfig(arguments)?;
    Prefix::parse(&arguments.prefix)
        .map_err(|fault| Failure::Usage(format!("--prefix {}: {fault}", arguments.prefix)))?;
    let folder = Folder::prepare(arguments)?;
    let certificates = folder.path.display();
    folder.write_papers(arguments)?;
    folder.write_relay(arguments.listen)?;
    logging::start(Format::fitting_stderr(), &arguments.log_level)?;
    tracing::info!(folder = %certificates, "throwaway authorities and configuration");
    run_on_runtime(|stage| serve(&folder, arguments, &upstream, stage))
}

async fn serve(
    folder: &Folder,
    arguments: &DevArguments,
    upstream: &Path,
    stage: Stage,
) -> Outcome {
    let shutdown = signals::listen(&stage)?;
    let relay_file = role::relay::load(&folder.path.join("relay.yaml"))?;
    let mut relay_metrics = Registry::with_prefix("gangplank");
    let relay = Relay::bind(relay_file, Arc::new(SystemClock), &mut relay_metrics)
        .await
        .map_err(anyhow::Error::new)?;
    let entrance = relay.local_address();
    folder.write_agent(entrance, upstream, arguments.context.as_deref())?;
    let agent_file = role::agent::load(
        &folder.path.join("agent.yaml"),
        &InCluster::from_environment(),
    )?;
    let abort = shutdown.abort.clone().cancelled_owned();
    stage.tasks.spawn(relay.run(stage.over.clone(), abort));
    folder.write_kubeconfig(entrance)?;
    let kubeconfig = folder.path.join("kubeconfig");
    print(&format!(
        "\nThe way is open. As {}{}:\n\n  kubectl --kubeconfig {} auth whoami\n\nTrust is in {}; Ctrl-C ends it all.\n",
        arguments.prefix,
        arguments.caller,
        kubeconfig.display(),
        folder.path.join("trust").display(),
    ))?;
    agent::serve(agent_file, stage, shutdown).await
}

/// The kubeconfig of the cluster to stand before: named, or the first that kubectl would read.
fn upstream_kubeconfig(arguments: &DevArguments) -> Result<PathBuf, Failure> {
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    let named = arguments
        .kubeconfig
        .clone()
        .unwrap_or_else(|| home.join(".kube/config"));
    let found = std::env::split_paths(&named).find(|file| file.is_file());
    let Some(found) = found else {
        return Err(Failure::Usage(format!(
            "there is no kubeconfig at {}: name the cluster to stand before with --kubeconfig",
            named.display()
        )));
    };
    Ok(std::path::absolute(&found)
        .with_context(|| format!("{} has no absolute path", found.display()))?)
}

/// Where everything is, and whether it goes at the end.
struct Folder {
    path: PathBuf,
    throwaway: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.throwaway {
            // A folder that cannot be removed holds keys of authorities that nobody trusts any more.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

impl Folder {
    fn prepare(arguments: &DevArguments) -> Result<Self, Failure> {
        let (path, throwaway) = match &arguments.directory {
            Some(named) => (named.clone(), false),
            None => (
                std::env::temp_dir().join(format!("gangplank-dev-{}", std::process::id())),
                true,
            ),
        };
        let path = std::path::absolute(&path)
            .with_context(|| format!("{} has no absolute path", path.display()))?;
        create_private(&path)?;
        create_private(&path.join("trust"))?;
        Ok(Self { path, throwaway })
    }

    /// Authorities that live only in this call, and the certificates they sign.
    fn write_papers(&self, arguments: &DevArguments) -> Outcome {
        let cluster = TunnelName::parse(CLUSTER).map_err(|fault| anyhow!(fault))?;
        let domain = EntranceDomain::parse(DOMAIN).map_err(|fault| anyhow!(fault))?;
        self.papers(
            "relay",
            Kind::Relay {
                hosts: vec![RELAY.to_owned()],
            },
        )?;
        self.papers(
            "agent",
            Kind::Agent {
                tunnel: cluster.clone(),
            },
        )?;
        self.papers(
            "exit",
            Kind::Exit {
                dns_names: vec![domain.entrance_of(&cluster)],
            },
        )?;
        let callers = self.papers(
            "caller",
            Kind::Caller {
                common_name: arguments.caller.clone(),
                uri: None,
            },
        )?;
        let provider = json!({
            "apiVersion": "multicluster.admiralty.io/v1alpha1",
            "kind": "TrustedIdentityProvider",
            "metadata": { "name": "dev" },
            "spec": { "prefix": arguments.prefix, "certificateAuthorityData": BASE64_STANDARD.encode(callers) },
        });
        self.write_yaml("trust/dev.yaml", &provider)
    }

    /// One authority, one certificate of it, three files. Answers the authority's certificate.
    fn papers(&self, name: &str, kind: Kind) -> Result<String, Failure> {
        let now = SystemClock.now();
        let refused = |fault| Failure::Usage(WithCauses(&fault).to_string());
        let authority = CertificateAuthority::create(&format!("gangplank dev {name} CA"), 1, now)
            .map_err(refused)?;
        let issued = authority
            .issue(&Request {
                kind,
                lifetime: LIFETIME,
                now,
            })
            .map_err(refused)?;
        secret_file::create_pair(
            (&self.path.join(format!("{name}.crt")), &issued.cert_pem),
            (&self.path.join(format!("{name}.key")), &issued.key_pem),
        )?;
        secret_file::create_public(
            &self.path.join(format!("{name}-ca.crt")),
            issued.ca_pem.as_bytes(),
        )?;
        Ok(issued.ca_pem)
    }

    fn write_relay(&self, listen: SocketAddr) -> Outcome {
        let relay = json!({
            "listen": listen.to_string(),
            "domain": DOMAIN,
            "tunnel": {
                "serverName": RELAY,
                "certificateFile": "relay.crt",
                "keyFile": "relay.key",
                "clientCAFile": "agent-ca.crt",
            },
            "drain": { "settle": "0s", "limit": "5s" },
        });
        self.write_yaml("relay.yaml", &relay)
    }

    fn write_agent(&self, relay: SocketAddr, upstream: &Path, context: Option<&str>) -> Outcome {
        let cluster = match context {
            Some(context) => json!({ "kubeconfig": upstream, "context": context }),
            None => json!({ "kubeconfig": upstream }),
        };
        let agent = json!({
            "relays": [{ "address": relay.to_string(), "serverName": RELAY, "caFile": "relay-ca.crt" }],
            "tunnel": { "certificateFile": "agent.crt", "keyFile": "agent.key" },
            "exit": {
                "servingCertificate": { "certificateFile": "exit.crt", "keyFile": "exit.key" },
                "trust": { "directory": "trust" },
                "upstream": cluster,
            },
            "drain": { "settle": "0s", "limit": "5s" },
        });
        self.write_yaml("agent.yaml", &agent)
    }

    fn write_kubeconfig(&self, entrance: SocketAddr) -> Outcome {
        kubeconfig::write(&KubeconfigArguments {
            cluster: CLUSTER.to_owned(),
            domain: DOMAIN.to_owned(),
            connect: Some(entrance.to_string()),
            port: entrance.port(),
            certificate_authority: self.path.join("exit-ca.crt"),
            client_certificate: self.path.join("caller.crt"),
            client_key: self.path.join("caller.key"),
            reference_files: false,
            namespace: None,
            out: Some(self.path.join("kubeconfig")),
        })
    }

    fn write_yaml(&self, name: &str, value: &serde_json::Value) -> Outcome {
        let text = serde_saphyr::to_string(value).context("YAML cannot be written")?;
        secret_file::create(&self.path.join(name), text.as_bytes())
    }
}

fn create_private(folder: &Path) -> Outcome {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(folder)
        .with_context(|| format!("{} cannot be created", folder.display()))?;
    Ok(())
}

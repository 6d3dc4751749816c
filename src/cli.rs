//! The command line: one binary, one verb a role.
//!
//! Flags override `GANGPLANK_…` variables, which override the configuration file.

use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod connection;
mod enrolment;

pub(crate) use connection::{
    AcceptArguments, ClusterAccess, Compared, DryRun, InviteArguments, OwnNames, PinPlace,
    RevokeArguments, TrustAddArguments, TrustListArguments, TrustRemoveArguments, TrustVerb,
};
pub(crate) use enrolment::{
    ClusterListArguments, ClusterRevokeArguments, ClusterVerb, JoinArguments, RelayFile,
    TokenCreateArguments, TokenDeleteArguments, TokenListArguments, TokenVerb,
};

/// mTLS reverse-tunnel proxy for Kubernetes APIs.
///
/// A cluster without a public endpoint runs an agent that dials out to a relay; callers reach its API
/// through the relay with certificates of their own organisation, and the relay can read nothing.
#[derive(Debug, Parser)]
#[command(
    name = "gangplank",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the tunnel's entrance: callers over TCP, agents over QUIC, one port
    Relay(ListenerArguments),
    /// Run the tunnel's exit in a private cluster: dial out, authenticate callers, impersonate
    Agent(RoleArguments),
    /// Run the exit without a tunnel, on a TCP listener: sidecar, or behind a load balancer
    Proxy(ListenerArguments),
    /// Run the reconcilers: make Secrets and bindings of the custom resources of a cluster
    Controller(RoleArguments),
    /// Run relay and agent on loopback before a cluster you have a kubeconfig for, with throwaway CAs
    Dev(DevArguments),
    /// Make this cluster one of a relay's, with a token from there: writes a folder that an agent runs from
    Join(JoinArguments),
    /// At the relay: make tokens by which clusters join, list and delete them
    #[command(subcommand)]
    Token(TokenVerb),
    /// At the relay: list the clusters that have joined, and revoke one
    #[command(subcommand)]
    Cluster(ClusterVerb),
    /// Offer another administrator a role in a namespace of this cluster: prints a line for them
    Invite(InviteArguments),
    /// Accept another administrator's invitation, or their answer to yours, once it was compared
    Accept(AcceptArguments),
    /// Take away what accept made for another cluster
    Revoke(RevokeArguments),
    /// Pin other clusters' authorities, list and remove pins
    #[command(subcommand)]
    Trust(TrustVerb),
    /// Make authorities and certificates, and see what is in a file
    #[command(subcommand)]
    Pki(PkiVerb),
    /// Write a caller's kubeconfig for a cluster behind a gangplank
    Kubeconfig(KubeconfigArguments),
    /// Be asked by a Kubernetes client for a caller's certificate: an exec credential plugin
    Credential(CredentialArguments),
    /// Show what a running role sees: tunnels, trust, certificates, objects
    Status(StatusArguments),
}

/// What every role takes.
#[derive(Debug, Args)]
pub(crate) struct RoleArguments {
    /// The role's YAML file (examples: docs/examples/)
    #[arg(long, short, env = "GANGPLANK_CONFIG", value_name = "FILE")]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// What the roles take that callers connect to: an agent dials out and has no `listen`.
#[derive(Debug, Args)]
pub(crate) struct ListenerArguments {
    #[command(flatten)]
    pub(crate) role: RoleArguments,
    /// Listen for callers here instead of the file's `listen`
    #[arg(long, env = "GANGPLANK_LISTEN", value_name = "ADDRESS:PORT", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,
}

/// What a flag or a variable may override in a role's file.
#[derive(Debug, Default, Args)]
pub(crate) struct Overrides {
    /// Serve metrics, health and status here instead of the file's `admin.listen`
    #[arg(long, env = "GANGPLANK_ADMIN_LISTEN", value_name = "ADDRESS:PORT", value_parser = address)]
    pub(crate) admin_listen: Option<SocketAddr>,
    /// Log filter instead of the file's `log.level`, for example `info` or `debug,hyper=warn`
    #[arg(long, env = "GANGPLANK_LOG_LEVEL", value_name = "FILTER")]
    pub(crate) log_level: Option<String>,
    /// Log format instead of the file's `log.format`
    #[arg(long, env = "GANGPLANK_LOG_FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON otherwise
    Auto,
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Arguments of `dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArguments {
    /// The kubeconfig of the cluster to stand before (default: $KUBECONFIG, then ~/.kube/config)
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context in it (default: its current-context)
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// Keep authorities, certificates, configuration and the kubeconfig in this new folder instead of a throwaway one
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Who the caller is: the common name of its certificate
    #[arg(
        long,
        default_value = "ns/default/id/developer",
        value_name = "COMMON_NAME"
    )]
    pub(crate) caller: String,
    /// The prefix its organisation has at the cluster
    #[arg(long, default_value = "spiffe://dev.example/")]
    pub(crate) prefix: String,
    /// Where the relay listens; port 0 asks the kernel for a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT", value_parser = address)]
    pub(crate) listen: SocketAddr,
    /// Log filter, for example `info` or `debug,hyper=warn`
    #[arg(
        long,
        env = "GANGPLANK_LOG_LEVEL",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub(crate) log_level: String,
}

/// Reads an address and says to whoever wrote something else how one looks.
fn address(written: &str) -> Result<SocketAddr, String> {
    written.parse().ok().ok_or_else(|| {
        "write an IP address and a port, such as `127.0.0.1:9090` or `[::]:8443`".to_owned()
    })
}

/// Takes `host:port` as it is and says to whoever wrote something else how one looks.
fn host_and_port(written: &str) -> Result<String, String> {
    let parts = written.rsplit_once(':');
    let good = parts.is_some_and(|(host, port)| {
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let host_is_whole = match bare {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.contains([':', '/', '[', ']']),
        };
        host_is_whole && port.parse::<NonZeroU16>().is_ok()
    });
    good.then(|| written.to_owned()).ok_or_else(|| {
        "write a host and a port without a scheme, such as `relay.example.com:8443` or `[::1]:8443`"
            .to_owned()
    })
}

/// The verbs under `pki`.
#[derive(Debug, Subcommand)]
pub(crate) enum PkiVerb {
    /// Create a certificate authority: ca.crt and ca.key in a folder
    Init(PkiInitArguments),
    /// Issue a certificate of one of the four kinds
    Issue(PkiIssueArguments),
    /// Show what is in a PEM file, and who its first certificate would be at an exit
    Inspect(PkiInspectArguments),
}

/// Arguments of `pki init`.
#[derive(Debug, Args)]
pub(crate) struct PkiInitArguments {
    /// Where ca.crt and ca.key go; the folder is created, existing files are never overwritten
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// The authority's common name
    #[arg(long, default_value = "Gangplank CA")]
    pub(crate) common_name: String,
    /// How long it lives, in days
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) days: u32,
}

/// What a certificate is for: one extended key usage each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// Someone who calls a cluster (clientAuth); the common name becomes the username
    Caller,
    /// The exit of a cluster (serverAuth for its entrance names)
    Exit,
    /// The agent that opens a cluster's tunnel (clientAuth; its one DNS name is the tunnel's name)
    Agent,
    /// The relay (serverAuth for its own host name)
    Relay,
}

/// Arguments of `pki issue`.
#[derive(Debug, Args)]
pub(crate) struct PkiIssueArguments {
    /// What the certificate is for
    #[arg(long = "for", value_enum, value_name = "KIND")]
    pub(crate) purpose: Purpose,
    /// The folder of the authority, as `pki init` made it
    #[arg(long, value_name = "DIR")]
    pub(crate) ca: PathBuf,
    /// Write OUT.crt and OUT.key (so leave the ending out); existing files are never overwritten
    #[arg(long, value_name = "OUT")]
    pub(crate) out: PathBuf,
    /// Caller: the common name, for example `ns/shop/id/deployer`
    #[arg(long, required_if_eq("purpose", "caller"))]
    pub(crate) common_name: Option<String>,
    /// Caller: a URI name besides, for providers with `usernameFrom: URI`
    #[arg(long)]
    pub(crate) uri: Option<String>,
    /// Exit and agent: the cluster as `<cluster>.<account>`
    #[arg(long, required_if_eq_any([("purpose", "exit"), ("purpose", "agent")]))]
    pub(crate) cluster: Option<String>,
    /// Exit: the entrance domain of the relay
    #[arg(long, required_if_eq("purpose", "exit"))]
    pub(crate) domain: Option<String>,
    /// Relay: its host name (repeat for several; IP addresses too)
    #[arg(long, required_if_eq("purpose", "relay"))]
    pub(crate) host: Vec<String>,
    /// How long it lives, in hours
    #[arg(long, default_value_t = 24 * 90, value_parser = clap::value_parser!(u32).range(1..=876_000))]
    pub(crate) hours: u32,
}

/// Arguments of `pki inspect`.
#[derive(Debug, Args)]
pub(crate) struct PkiInspectArguments {
    /// A PEM file: a certificate, a chain, or a bundle of authorities
    pub(crate) file: PathBuf,
    /// A trust directory: says who the first certificate would be at that exit, or why nobody
    #[arg(long, value_name = "DIR")]
    pub(crate) trust: Option<PathBuf>,
    /// Table for people, JSON or YAML for programs
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    Table,
    /// For programs
    Json,
    /// For programs
    Yaml,
}

/// Arguments of `kubeconfig`.
#[derive(Debug, Args)]
pub(crate) struct KubeconfigArguments {
    /// The cluster as `<cluster>.<account>`
    #[arg(long)]
    pub(crate) cluster: String,
    /// The entrance domain of the relay
    #[arg(long)]
    pub(crate) domain: String,
    /// Connect here instead of the entrance's own name; the name is still asked for in TLS
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "port", value_parser = host_and_port)]
    pub(crate) connect: Option<String>,
    /// The port callers reach the relay at
    #[arg(long, default_value_t = 443)]
    pub(crate) port: u16,
    /// The authority of the cluster's exit (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate_authority: PathBuf,
    /// The caller's certificate (PEM, with intermediates if any)
    #[arg(long, value_name = "FILE")]
    pub(crate) client_certificate: PathBuf,
    /// The caller's key (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) client_key: PathBuf,
    /// Name certificate files instead of embedding them, so that a renewal needs no new kubeconfig
    #[arg(long)]
    pub(crate) reference_files: bool,
    /// The default namespace of the context
    #[arg(long)]
    pub(crate) namespace: Option<String>,
    /// Write here (mode 0600, never overwriting) instead of printing
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Arguments of `credential`.
#[derive(Debug, Args)]
pub(crate) struct CredentialArguments {
    /// The caller's certificate (PEM, with intermediates if any), read anew each time
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: PathBuf,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// The running role's `admin.listen` (in the examples: relay 9090, agent 9091, proxy 9092)
    #[arg(
        long,
        env = "GANGPLANK_ADMIN",
        default_value = "127.0.0.1:9090",
        value_name = "ADDRESS:PORT",
        value_parser = address
    )]
    pub(crate) admin: SocketAddr,
    /// Table for people, JSON or YAML for programs
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

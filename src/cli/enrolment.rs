//! What joining takes: `join` at the cluster, `token` and `cluster` at the relay.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::OutputFormat;

/// Arguments of `join`.
#[derive(Debug, Args)]
pub(crate) struct JoinArguments {
    /// Where the relay is: host and port (443 if left out). Of several, which share a register, the first takes the
    /// token; the others are looked at, and the agent will hold a tunnel to each
    #[arg(value_name = "HOST:PORT", required = true)]
    pub(crate) relays: Vec<String>,
    /// The token itself; other users of this machine see a command line, so rather use --token-file
    #[arg(long, env = "GANGPLANK_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file with the token, or `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// Instead of a join token: the token of this cluster's service account, made for the relay's audience
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["token", "token_file"],
        requires_all = ["cluster", "relay_ca"]
    )]
    pub(crate) service_account_token_file: Option<PathBuf>,
    /// With a service account's token: the cluster as `<cluster>.<account>`
    #[arg(long, requires = "service_account_token_file")]
    pub(crate) cluster: Option<String>,
    /// With a service account's token: the authority of the relay's certificate (a join token brings it along)
    #[arg(long, value_name = "FILE", requires = "service_account_token_file")]
    pub(crate) relay_ca: Option<PathBuf>,
    /// With a service account's token: the name in the relay's certificate, if it is not the host that is dialled
    #[arg(long, value_name = "NAME", requires = "service_account_token_file")]
    pub(crate) server_name: Option<String>,
    /// The folder for the agent: certificate, key, configuration
    #[arg(long, value_name = "DIR", default_value = "gangplank-agent")]
    pub(crate) directory: PathBuf,
    /// Join anew in a folder that has an agent: its certificate is replaced, everything else stays
    #[arg(long, conflicts_with_all = ["kubeconfig", "in_cluster"])]
    pub(crate) again: bool,
    /// The kubeconfig of the exit's account at the API server; left out in a pod, whose own account is taken
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The agent will run in a pod, and use the account of that, though this is none
    #[arg(long, conflicts_with = "kubeconfig")]
    pub(crate) in_cluster: bool,
    /// The context in it (default: its current-context)
    #[arg(long, requires = "kubeconfig")]
    pub(crate) context: Option<String>,
}

/// Which relay.
#[derive(Debug, Args)]
pub(crate) struct RelayFile {
    /// The relay's YAML file
    #[arg(long, short, env = "GANGPLANK_CONFIG", value_name = "FILE")]
    pub(crate) config: PathBuf,
}

/// The verbs under `token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Make a token for one cluster and print it
    Create(TokenCreateArguments),
    /// Show which tokens there are; never their secrets
    List(TokenListArguments),
    /// Delete a token that was not used
    Delete(TokenDeleteArguments),
}

/// Arguments of `token create`.
#[derive(Debug, Args)]
pub(crate) struct TokenCreateArguments {
    #[command(flatten)]
    pub(crate) relay: RelayFile,
    /// The cluster as `<cluster>.<account>`
    #[arg(long)]
    pub(crate) cluster: String,
    /// How long the token is good, such as `30m` or `1h30m`; a week at most
    #[arg(long, default_value = "30m", value_parser = token_lifetime)]
    pub(crate) ttl: u64,
    /// The cluster has joined before and is to join anew, beside its present certificate
    #[arg(long)]
    pub(crate) again: bool,
}

/// Arguments of `token list`.
#[derive(Debug, Args)]
pub(crate) struct TokenListArguments {
    #[command(flatten)]
    pub(crate) relay: RelayFile,
    /// Table for people, JSON or YAML for programs
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

/// Arguments of `token delete`.
#[derive(Debug, Args)]
pub(crate) struct TokenDeleteArguments {
    #[command(flatten)]
    pub(crate) relay: RelayFile,
    /// The token's ID, as `token list` prints it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

/// The verbs under `cluster`.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterVerb {
    /// Show which clusters have joined, and until when their certificates are good
    List(ClusterListArguments),
    /// End a cluster's right to its name: its tunnels end within a second
    Revoke(ClusterRevokeArguments),
}

/// Arguments of `cluster list`.
#[derive(Debug, Args)]
pub(crate) struct ClusterListArguments {
    #[command(flatten)]
    pub(crate) relay: RelayFile,
    /// Table for people, JSON or YAML for programs
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

/// Arguments of `cluster revoke`.
#[derive(Debug, Args)]
pub(crate) struct ClusterRevokeArguments {
    #[command(flatten)]
    pub(crate) relay: RelayFile,
    /// The cluster as `<cluster>.<account>`
    #[arg(value_name = "CLUSTER")]
    pub(crate) cluster: String,
}

/// Reads how long a token is good, in seconds: from one to a week.
fn token_lifetime(written: &str) -> Result<u64, String> {
    const WEEK: u64 = 7 * 24 * 60 * 60;
    let parsed = gangplank_config::duration(written)?;
    let seconds = parsed.as_secs();
    if (1..=WEEK).contains(&seconds) {
        return Ok(seconds);
    }
    Err("a token is good for one second to a week (168h): write such as `30m`".to_owned())
}

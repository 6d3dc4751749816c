//! What connecting two clusters takes: `invite`, `accept`, `revoke`, and `trust` for pins by hand.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::OutputFormat;

/// Which cluster a command works in.
#[derive(Debug, Args)]
pub(crate) struct ClusterAccess {
    /// The kubeconfig of the cluster to work in (default: $KUBECONFIG, then ~/.kube/config, then the pod's own account)
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context in it (default: its current-context)
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// The namespace that Gangplank is installed in
    #[arg(
        long,
        env = "GANGPLANK_INSTALLATION_NAMESPACE",
        default_value = "gangplank",
        value_name = "NAMESPACE"
    )]
    pub(crate) installation_namespace: String,
}

/// What is said of this cluster to others.
#[derive(Debug, Args)]
pub(crate) struct OwnNames {
    /// This cluster as `<cluster>.<account>` (default: what the installation says, in ConfigMap gangplank-cluster)
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<String>,
    /// The certificate of this cluster's authority (PEM) instead of the one in the installation's Secret
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate_authority: Option<PathBuf>,
}

/// Arguments of `invite`.
#[derive(Debug, Args)]
pub(crate) struct InviteArguments {
    #[command(flatten)]
    pub(crate) access: ClusterAccess,
    #[command(flatten)]
    pub(crate) own: OwnNames,
    /// Where this cluster's API is reached through the relay (default: what the installation says)
    #[arg(long, value_name = "https://HOST[:PORT]")]
    pub(crate) server: Option<String>,
    /// The namespace that is offered
    #[arg(long, short)]
    pub(crate) namespace: String,
    /// The ClusterRole that is offered there (repeat for several)
    #[arg(long, required = true, value_name = "CLUSTERROLE")]
    pub(crate) role: Vec<String>,
    /// The invitation alone, or with all that it says for programs
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    /// Print what would be there, without a look at what is
    Client,
    /// Print what would be there, after a look at what is
    Server,
}

/// Arguments of `accept`.
#[derive(Debug, Args)]
pub(crate) struct AcceptArguments {
    /// The invitation or the answer, or `-` for standard input
    #[arg(value_name = "INVITATION|ANSWER")]
    pub(crate) letter: String,
    #[command(flatten)]
    pub(crate) access: ClusterAccess,
    #[command(flatten)]
    pub(crate) own: OwnNames,
    #[command(flatten)]
    pub(crate) compared: Compared,
    /// The namespace here: of an invitation, the one that will call; of an answer, the one that was offered
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
    /// Invitation: the Kubeconfig's name; its Secret is NAME-kubeconfig (default: the inviting cluster's name)
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Invitation: the Identity that will call, of that namespace
    #[arg(long, default_value = "default")]
    pub(crate) identity: String,
    /// Answer: the ClusterRole that was offered (repeat for several); asked for where nobody can be asked
    #[arg(long, value_name = "CLUSTERROLE")]
    pub(crate) role: Vec<String>,
    /// Answer: what the other cluster's usernames begin with here (default: `spiffe://<cluster>.<account>/`)
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// Change nothing: print the objects instead (with -o json or yaml, to be committed or applied by others)
    #[arg(
        long,
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "server",
        value_name = "server|client"
    )]
    pub(crate) dry_run: Option<DryRun>,
    /// Table for people, JSON or YAML for programs
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

/// How a person says that fingerprints were compared, where there is no terminal to ask at.
#[derive(Debug, Args)]
pub(crate) struct Compared {
    /// The fingerprint that the other administrator sees: `sha256:…`, or its sixteen words
    #[arg(long)]
    pub(crate) fingerprint: Option<String>,
    /// Do not ask: what is shown has been compared
    #[arg(long, short, conflicts_with = "fingerprint")]
    pub(crate) yes: bool,
}

/// Arguments of `revoke`.
#[derive(Debug, Args)]
pub(crate) struct RevokeArguments {
    /// The other cluster as `<cluster>.<account>`
    #[arg(value_name = "CLUSTER")]
    pub(crate) cluster: String,
    #[command(flatten)]
    pub(crate) access: ClusterAccess,
    /// Only what was made in this namespace; what several namespaces share goes with the last
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
    /// Table for people, JSON or YAML for programs
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

/// The verbs under `trust`.
#[derive(Debug, Subcommand)]
pub(crate) enum TrustVerb {
    /// Pin another cluster's authorities
    Add(TrustAddArguments),
    /// Show which clusters are known, and by which authorities
    List(TrustListArguments),
    /// Forget a cluster's pins
    Remove(TrustRemoveArguments),
}

/// Where pins are kept.
#[derive(Debug, Args)]
pub(crate) struct PinPlace {
    #[command(flatten)]
    pub(crate) access: ClusterAccess,
    /// A trust directory instead of a cluster: a file for each known cluster
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

/// Arguments of `trust add`.
#[derive(Debug, Args)]
pub(crate) struct TrustAddArguments {
    /// The other cluster as `<cluster>.<account>`
    #[arg(value_name = "CLUSTER")]
    pub(crate) cluster: String,
    #[command(flatten)]
    pub(crate) place: PinPlace,
    /// Fingerprint of the authority of its identities, `sha256:…` (repeat for several)
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) identity: Vec<String>,
    /// The certificates of those authorities (PEM); with --identity, exactly those of these fingerprints
    #[arg(long, value_name = "FILE")]
    pub(crate) identity_authority: Option<PathBuf>,
    /// Fingerprint of the authority of its exit, `sha256:…` (repeat for several)
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) serving: Vec<String>,
    /// The certificates of those authorities (PEM); with --serving, exactly those of these fingerprints
    #[arg(long, value_name = "FILE")]
    pub(crate) serving_authority: Option<PathBuf>,
    /// Where its API is reached
    #[arg(long, value_name = "https://HOST[:PORT]")]
    pub(crate) server: Option<String>,
}

/// Arguments of `trust list`.
#[derive(Debug, Args)]
pub(crate) struct TrustListArguments {
    #[command(flatten)]
    pub(crate) place: PinPlace,
    /// Table for people, JSON or YAML for programs
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

/// Arguments of `trust remove`.
#[derive(Debug, Args)]
pub(crate) struct TrustRemoveArguments {
    /// The other cluster as `<cluster>.<account>`
    #[arg(value_name = "CLUSTER")]
    pub(crate) cluster: String,
    #[command(flatten)]
    pub(crate) place: PinPlace,
}

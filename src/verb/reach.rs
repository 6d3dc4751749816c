//! The cluster that a person's command works in: whose API, and what it says of itself.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use gangplank_config::upstream::InCluster;
use gangplank_config::{Anchors, Upstream};
use gangplank_objects::client::client;
use gangplank_objects::installation::{Facts, Installation};
use gangplank_pki::{TrustAnchor, TunnelName, WithCauses};

use crate::cli::{ClusterAccess, OwnNames};
use crate::failure::Failure;
use crate::verb::token;

/// Does `work` to its end.
///
/// # Errors
/// Those of the work.
pub(crate) fn on_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(work)
}

/// The installation in the cluster that is meant. Nothing is asked of it yet.
///
/// # Errors
/// When no kubeconfig leads there.
pub(crate) fn installation(access: &ClusterAccess) -> Result<Installation, Failure> {
    let upstream = upstream(access)?;
    let namespace = access.installation_namespace.clone();
    let client = client(&upstream, &namespace)
        .context("requests cannot be addressed to the configured API server")?;
    Ok(Installation { client, namespace })
}

fn upstream(access: &ClusterAccess) -> Result<Upstream, Failure> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let usual = home.unwrap_or_default().join(".kube/config");
    let named = access.kubeconfig.as_ref().unwrap_or(&usual);
    if let Some(found) = std::env::split_paths(named).find(|file| file.is_file()) {
        return Ok(Upstream::of_kubeconfig(&found, access.context.as_deref())?);
    }
    let pod = InCluster::from_environment();
    if access.kubeconfig.is_none() && pod.host.is_some() {
        return Ok(pod.upstream()?);
    }
    Err(Failure::Usage(format!(
        "there is no kubeconfig at {}: name the cluster to work in with --kubeconfig and --context",
        named.display()
    )))
}

/// What is known of this cluster, by flags and, where they do not say, by the installation.
pub(crate) struct Own<'a> {
    pub(crate) access: &'a ClusterAccess,
    pub(crate) names: &'a OwnNames,
}

impl Own<'_> {
    /// What the installation says of itself, asked only if `needed`.
    pub(crate) async fn facts(&self, needed: bool) -> Result<Facts, Failure> {
        if !needed {
            return Ok(Facts::default());
        }
        installation(self.access)?.facts().await.map_err(running)
    }

    /// This cluster's name, if it is known.
    pub(crate) fn known_cluster(&self, facts: &Facts) -> Result<Option<TunnelName>, Failure> {
        match (&self.names.cluster, &facts.cluster, &facts.account) {
            (Some(written), _, _) => token::cluster(written).map(Some),
            (None, Some(cluster), Some(account)) => {
                token::cluster(&format!("{cluster}.{account}")).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// This cluster's name.
    pub(crate) fn cluster(&self, facts: &Facts) -> Result<TunnelName, Failure> {
        self.known_cluster(facts)?.ok_or_else(|| {
            Failure::Usage(format!(
                "the installation in namespace {} does not say which cluster this is: name it with --cluster \
                 <cluster>.<account>, or name the installation with --installation-namespace",
                self.access.installation_namespace
            ))
        })
    }

    /// The certificates of this cluster's authority: of the file that was given, or of the Secret `name`.
    pub(crate) async fn authorities(&self, name: &str) -> Result<Vec<TrustAnchor>, Failure> {
        if let Some(file) = &self.names.certificate_authority {
            return authorities_in(file);
        }
        let installation = installation(self.access)?;
        installation.authorities(name).await.map_err(running)
    }
}

/// The certificates of authorities in a file.
pub(crate) fn authorities_in(file: &Path) -> Result<Vec<TrustAnchor>, Failure> {
    Ok(Anchors::read(file)?.anchors().to_vec())
}

/// A fault as the program's, with its causes.
pub(crate) fn running(fault: impl std::error::Error + 'static) -> Failure {
    Failure::Running(anyhow!("{}", WithCauses(&fault)))
}

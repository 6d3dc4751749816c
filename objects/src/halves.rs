//! The two halves of a connection between clusters: what each administrator's letter becomes in the other's cluster.
//!
//! The half of the cluster that calls is a pin of the other's exit and a `Kubeconfig`; the half of the one that is called
//! a pin of the other's identities, a provider and a `Source`. A cluster has one pin and one provider for each other
//! cluster, however many namespaces are connected; what is there already is used.

use gangplank_config::letter::{Answer, Invitation};
use gangplank_pki::{Prefix, TunnelName};
use kube::ResourceExt;

use crate::kubeconfig::{Cluster, User};
use crate::manifest::Manifest;
use crate::pinning::{PinFault, Pinned, Pinning, Purpose};
use crate::place::{is_marked, mark};
use crate::{
    ClusterReference, KnownCluster, Kubeconfig, KubeconfigSpec, Source, SourceSpec,
    TrustedIdentityProvider, TrustedIdentityProviderSpec,
};

/// Who will call from here, and under which name the way there is kept.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The namespace of the Identity and of the `Kubeconfig`.
    pub namespace: String,
    /// The `Kubeconfig`'s name.
    pub name: String,
    /// The Secret of the Identity's certificate; none for the namespace's default Identity.
    pub certificate_secret: Option<String>,
}

/// The half of the cluster that calls, where `known` is known.
///
/// # Errors
/// When something else is known of the inviting cluster.
pub fn calling(
    invitation: &Invitation,
    caller: &Caller,
    known: &[KnownCluster],
) -> Result<Vec<Manifest>, PinFault> {
    let cluster = invitation.cluster();
    let pinning = Pinning {
        cluster,
        purpose: Purpose::Serving,
        authorities: invitation.authorities(),
        server: Some(invitation.server()),
    };
    let mut manifests = pinned(pinning.among(known)?);
    let spec = KubeconfigSpec {
        secret_name: format!("{}-kubeconfig", caller.name),
        cluster: Cluster {
            admiralty_reference: Some(reference(cluster)),
            server: None,
            certificate_authority_data: None,
        },
        user: caller.certificate_secret.as_ref().map(|secret| User {
            certificate_secret_name: secret.clone(),
        }),
        layout: None,
        credential: None,
        mount_path: None,
    };
    let mut kubeconfig = Kubeconfig::new(&caller.name, spec);
    kubeconfig.metadata.namespace = Some(caller.namespace.clone());
    mark(&mut kubeconfig, cluster);
    manifests.push(Manifest::of(&kubeconfig));
    Ok(manifests)
}

/// What is granted to those who answered, and under which name they go here.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The namespace that they may act in.
    pub namespace: String,
    /// As whom: ClusterRoles.
    pub roles: Vec<String>,
    /// What their usernames begin with; none for the one that is there, or `spiffe://<cluster>.<account>/`.
    pub prefix: Option<Prefix>,
    /// Where providers are kept: who may write there may let anybody in.
    pub installation: String,
    /// This cluster's own account, which is meant where a reference names none.
    pub own_account: Option<String>,
}

/// The half of the cluster that is called, and the user's name there.
#[derive(Clone, Debug)]
pub struct Called {
    /// The objects.
    pub manifests: Vec<Manifest>,
    /// Who the other cluster's Identity is here.
    pub username: String,
}

/// The half of the cluster that is called, where `known` is known and `providers` are trusted.
///
/// # Errors
/// When something else is known of the cluster that answered, or its names begin with something else here.
pub fn called(
    answer: &Answer,
    grant: &Grant,
    known: &[KnownCluster],
    providers: &[TrustedIdentityProvider],
) -> Result<Called, HalfFault> {
    let cluster = answer.cluster();
    let pinning = Pinning {
        cluster,
        purpose: Purpose::Identity,
        authorities: answer.authorities(),
        server: None,
    };
    let mut manifests = pinned(pinning.among(known)?);
    let (provider, prefix) = provider_for(cluster, grant, providers)?;
    manifests.extend(provider);
    let username = format!("{prefix}{}", answer.common_name());
    let spec = SourceSpec {
        user_name: Some(username.clone()),
        group_name: None,
        service_account_name: None,
        roles: grant.roles.clone(),
    };
    let mut source = Source::new(&source_name(answer), spec);
    source.metadata.namespace = Some(grant.namespace.clone());
    mark(&mut source, cluster);
    manifests.push(Manifest::of(&source));
    Ok(Called {
        manifests,
        username,
    })
}

/// The provider by which the cluster's users are let in, if it is `gangplank accept`'s to write, and what their names begin
/// with.
fn provider_for(
    cluster: &TunnelName,
    grant: &Grant,
    providers: &[TrustedIdentityProvider],
) -> Result<(Option<Manifest>, String), HalfFault> {
    let Some(there) = provider_of(cluster, grant.own_account.as_deref(), providers) else {
        let own = || format!("spiffe://{cluster}/");
        let chosen = grant.prefix.as_ref();
        let prefix = chosen.map_or_else(own, |prefix| prefix.as_str().to_owned());
        let written = provider(cluster, cluster.as_str(), &grant.installation, &prefix);
        return Ok((Some(written), prefix));
    };
    let prefix = there.spec.prefix.clone();
    if let Some(wanted) = grant.prefix.as_ref().filter(|p| p.as_str() != prefix) {
        return Err(HalfFault::OtherPrefix {
            cluster: cluster.clone(),
            provider: told(there),
            prefix,
            wanted: wanted.clone(),
        });
    }
    let namespace = there.namespace().unwrap_or_default();
    let ours = is_marked(there, cluster);
    let written = ours.then(|| provider(cluster, &there.name_any(), &namespace, &prefix));
    Ok((written, prefix))
}

/// The provider of a cluster, whoever made it.
fn provider_of<'p>(
    cluster: &TunnelName,
    own_account: Option<&str>,
    providers: &'p [TrustedIdentityProvider],
) -> Option<&'p TrustedIdentityProvider> {
    providers.iter().find(|provider| {
        let reference = provider.spec.admiralty_reference.as_ref();
        reference.is_some_and(|reference| refers_to(reference, cluster, own_account))
    })
}

/// Does `reference` lead to `cluster`?
pub(crate) fn refers_to(
    reference: &ClusterReference,
    cluster: &TunnelName,
    own_account: Option<&str>,
) -> bool {
    reference.cluster_name == cluster.cluster()
        && reference.account_name.as_deref().or(own_account) == Some(cluster.account())
}

/// How a cluster is referred to.
fn reference(cluster: &TunnelName) -> ClusterReference {
    ClusterReference {
        account_name: Some(cluster.account().to_owned()),
        cluster_name: cluster.cluster().to_owned(),
    }
}

/// Cluster, account and namespace have no dots, so that no other Identity has this name.
fn source_name(answer: &Answer) -> String {
    format!(
        "{}.{}.{}",
        answer.cluster(),
        answer.namespace(),
        answer.identity()
    )
}

fn provider(cluster: &TunnelName, name: &str, namespace: &str, prefix: &str) -> Manifest {
    let spec = TrustedIdentityProviderSpec {
        prefix: prefix.to_owned(),
        certificate_authority_data: None,
        admiralty_reference: Some(reference(cluster)),
        username_from: None,
        groups: Vec::new(),
        certificate_revocation_list_data: None,
        crl: None,
        denied_certificates: Vec::new(),
    };
    let mut provider = TrustedIdentityProvider::new(name, spec);
    provider.metadata.namespace = Some(namespace.to_owned());
    mark(&mut provider, cluster);
    Manifest::of(&provider)
}

fn pinned(pinned: Pinned) -> Vec<Manifest> {
    match pinned {
        Pinned::Stands(_name) => Vec::new(),
        Pinned::Wanted(known) => vec![Manifest::of(&*known)],
    }
}

fn told(provider: &TrustedIdentityProvider) -> String {
    let namespace = provider.namespace().unwrap_or_default();
    format!("{namespace}/{}", provider.name_any())
}

/// Why a half does not fit what is there.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HalfFault {
    /// See [`PinFault`].
    #[error(transparent)]
    Pin(#[from] PinFault),
    /// Its users go by other names here.
    #[error(
        "users of {cluster} have names that begin with {prefix:?} here (TrustedIdentityProvider {provider}), not {:?}; \
         leave --prefix out, or revoke the cluster first", .wanted.as_str()
    )]
    OtherPrefix {
        /// Which cluster.
        cluster: TunnelName,
        /// The provider.
        provider: String,
        /// What it says.
        prefix: String,
        /// What was asked for.
        wanted: Prefix,
    },
}

#[cfg(test)]
mod tests;

//! What an installation says of itself: which cluster it is, where it is reached, and its authorities' certificates.

use std::collections::BTreeMap;

use gangplank_config::letter::Offer;
use gangplank_pki::{TrustAnchor, pem};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::{Api, Client};

use crate::place::{PlaceFault, require_namespace};

/// The ConfigMap with the names of this cluster.
pub const FACTS: &str = "gangplank-cluster";

/// The Secret of the authority that signs the exit's certificate.
pub const SERVING_AUTHORITY: &str = "gangplank-serving-authority";

/// The Secret of the authority that signs identities.
pub const IDENTITY_AUTHORITY: &str = "gangplank-identity-authority";

/// The certificates in the Secret of an authority.
const AUTHORITIES: &str = "ca.crt";

/// An installation in a cluster.
#[derive(Clone)]
pub struct Installation {
    /// The cluster's API.
    pub client: Client,
    /// The namespace that Gangplank is installed in.
    pub namespace: String,
}

/// Which cluster it is, as far as the installation says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The account that it belongs to.
    pub account: Option<String>,
    /// Its name within the account.
    pub cluster: Option<String>,
    /// Where its API is reached from outside.
    pub server: Option<String>,
}

impl Installation {
    /// What the installation says of itself; nothing, if it says nothing.
    ///
    /// # Errors
    /// When the API server does not tell.
    pub async fn facts(&self) -> Result<Facts, PlaceFault> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let told = api.get_opt(FACTS).await;
        let told = told.map_err(|fault| self.refused("configmap", FACTS, fault))?;
        let data: BTreeMap<String, String> = told.and_then(|told| told.data).unwrap_or_default();
        let fact = |key: &str| data.get(key).map(|text| text.trim().to_owned());
        Ok(Facts {
            account: fact("account"),
            cluster: fact("cluster"),
            server: fact("server"),
        })
    }

    /// The certificates of the authority that is kept in the Secret `name`.
    ///
    /// # Errors
    /// When the API server does not tell, or there are none.
    pub async fn authorities(&self, name: &str) -> Result<Vec<TrustAnchor>, AuthorityFault> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let secret = api.get_opt(name).await;
        let secret = secret.map_err(|fault| self.refused("secret", name, fault))?;
        let fault = |why: &str| AuthorityFault::Unusable {
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            why: why.to_owned(),
        };
        let secret = secret.ok_or_else(|| fault("is not there"))?;
        let pem = secret.data.as_ref().and_then(|data| data.get(AUTHORITIES));
        let pem = pem.ok_or_else(|| fault("has no `ca.crt`"))?;
        let certificates =
            pem::certificates(&pem.0).map_err(|broken| fault(&format!("`ca.crt`: {broken}")))?;
        let parsed = certificates.into_iter().map(TrustAnchor::parse);
        parsed
            .collect::<Result<_, _>>()
            .map_err(|broken| fault(&format!("`ca.crt`: {broken}")))
    }

    /// Is there what is offered: the namespace, and the roles? Whoever may not look at them is not kept from offering.
    ///
    /// # Errors
    /// When it is not there, or the API server does not tell.
    pub async fn has(&self, offer: &Offer) -> Result<(), PlaceFault> {
        require_namespace(&self.client, offer.namespace()).await?;
        let roles: Api<ClusterRole> = Api::all(self.client.clone());
        for role in offer.roles() {
            match roles.get_metadata_opt(role).await {
                Ok(None) => return Err(PlaceFault::NoRole { role: role.clone() }),
                Ok(Some(_)) => {}
                Err(kube::Error::Api(status)) if status.code == 403 => {}
                Err(fault) => return Err(self.refused("clusterrole", role, fault)),
            }
        }
        Ok(())
    }

    fn refused(&self, kind: &str, name: &str, fault: kube::Error) -> PlaceFault {
        PlaceFault::of(format!("{kind}/{name} in {}", self.namespace), fault)
    }
}

impl std::fmt::Debug for Installation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Installation")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Why the certificates of an authority are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityFault {
    /// The Secret does not hold them.
    #[error(
        "Secret {name} in namespace {namespace} {why}; is Gangplank installed there (--installation-namespace)? The \
         certificate can also be given as a file (--certificate-authority)"
    )]
    Unusable {
        /// The namespace.
        namespace: String,
        /// The Secret.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The API server did not tell.
    #[error(transparent)]
    Api(#[from] PlaceFault),
}

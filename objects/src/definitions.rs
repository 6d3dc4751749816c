//! The custom resource definitions, made of the Rust types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{ClusterSource, Identity, KnownCluster, Kubeconfig, Source, TrustedIdentityProvider};

/// All of them, in the order of their names.
pub fn all() -> [CustomResourceDefinition; 6] {
    [
        ClusterSource::crd(),
        Identity::crd(),
        KnownCluster::crd(),
        Kubeconfig::crd(),
        Source::crd(),
        TrustedIdentityProvider::crd(),
    ]
}

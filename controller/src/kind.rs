//! The kinds that the controller keeps, as far as they are all alike: where they live, and what is said in their status.

use std::fmt::Debug;

use gangplank_objects::{
    ClusterSource, Identity, IdentityStatus, Kubeconfig, KubeconfigStatus, Source, SourceStatus,
    TrustedIdentityProvider, TrustedIdentityProviderStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A kind of object with a status.
pub(crate) trait Kind:
    Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Its status.
    type Status: Status;

    /// Where objects of this kind are read and written, in `namespace` if they have one.
    fn api(client: &Client, namespace: Option<&str>) -> Api<Self>;

    /// What was last said about this object.
    fn status(&self) -> Option<&Self::Status>;
}

/// What is said about an object.
pub(crate) trait Status: Clone + Default + PartialEq + Serialize + Send + Sync {
    /// Its conditions.
    fn conditions(&self) -> &[Condition];

    /// The same status with these conditions.
    fn with_conditions(self, conditions: Vec<Condition>) -> Self;
}

macro_rules! status {
    ($($status:ty),+) => {$(
        impl Status for $status {
            fn conditions(&self) -> &[Condition] {
                &self.conditions
            }

            fn with_conditions(mut self, conditions: Vec<Condition>) -> Self {
                self.conditions = conditions;
                self
            }
        }
    )+};
}

status!(
    IdentityStatus,
    KubeconfigStatus,
    SourceStatus,
    TrustedIdentityProviderStatus
);

macro_rules! namespaced {
    ($($kind:ty => $status:ty),+) => {$(
        impl Kind for $kind {
            type Status = $status;

            fn api(client: &Client, namespace: Option<&str>) -> Api<Self> {
                match namespace {
                    Some(namespace) => Api::namespaced(client.clone(), namespace),
                    None => Api::all(client.clone()),
                }
            }

            fn status(&self) -> Option<&$status> {
                self.status.as_ref()
            }
        }
    )+};
}

namespaced!(
    Identity => IdentityStatus,
    Kubeconfig => KubeconfigStatus,
    Source => SourceStatus,
    TrustedIdentityProvider => TrustedIdentityProviderStatus
);

impl Kind for ClusterSource {
    type Status = SourceStatus;

    fn api(client: &Client, _namespace: Option<&str>) -> Api<Self> {
        Api::all(client.clone())
    }

    fn status(&self) -> Option<&SourceStatus> {
        self.status.as_ref()
    }
}

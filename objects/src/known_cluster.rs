//! `KnownCluster`: what a person has compared and accepted of another cluster, as `known_hosts` is for SSH.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::authority::AuthorityStatus;

/// Pins another cluster's authorities. References to the cluster lead to these and to no others, whatever a relay
/// says; a successor that a pinned authority has signed is taken over.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "gangplank.dev",
    version = "v1alpha1",
    kind = "KnownCluster",
    doc = "Pins another cluster: the authorities that a person has compared and accepted",
    shortname = "kc",
    category = "gangplank",
    status = "KnownClusterStatus",
    printcolumn = r#"{"name":"Account","type":"string","jsonPath":".spec.accountName"}"#,
    printcolumn = r#"{"name":"Cluster","type":"string","jsonPath":".spec.clusterName"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.accountName == oldSelf.accountName && self.clusterName == oldSelf.clusterName")
        .message("a pin stays with its cluster; make another KnownCluster")
)]
pub struct KnownClusterSpec {
    /// The account that the cluster belongs to.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub account_name: String,
    /// The cluster's name within its account.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub cluster_name: String,
    /// Where the cluster's API is reached; what the relay's directory says when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https://"))]
    pub server: Option<String>,
    /// The authority of its identities, which providers that refer to it trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Pin>,
    /// The authority of its exit, which kubeconfigs that refer to it trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<Pin>,
}

/// The authorities that a person has accepted for one purpose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// Fingerprints of CA certificates: `sha256:` and lower-case hex.
    #[schemars(
        length(min = 1, max = 16),
        inner(regex(pattern = r"^sha256:[0-9a-f]{64}$"))
    )]
    pub fingerprints: Vec<String>,
    /// The certificates themselves, where they did not come from a directory: PEM, base64-encoded. Only those with a
    /// fingerprint from above count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority_data: Option<String>,
}

/// What is known of the cluster now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KnownClusterStatus {
    /// `Ready`: whether references to the cluster can be followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Where its API is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The authorities of its identities that are believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Believed>,
    /// The authorities of its exit that are believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<Believed>,
}

/// Authorities that are pinned, or were signed by one that is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Believed {
    /// PEM, base64-encoded.
    pub certificate_authority_data: String,
    /// The same, one by one.
    pub certificate_authorities: Vec<AuthorityStatus>,
}

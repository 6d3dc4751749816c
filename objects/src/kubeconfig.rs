//! `Kubeconfig`: a kubeconfig for another cluster, kept up to date in a Secret.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::authority::AuthorityStatus;
use crate::reference::ClusterReference;

/// A kubeconfig for another cluster, in a Secret of this namespace, made of where the cluster is and of a client
/// certificate.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "multicluster.admiralty.io",
    version = "v1alpha1",
    kind = "Kubeconfig",
    doc = "A kubeconfig for another cluster, kept up to date in a Secret",
    namespaced,
    category = "gangplank",
    status = "KubeconfigStatus",
    printcolumn = r#"{"name":"Secret","type":"string","jsonPath":".spec.secretName"}"#,
    printcolumn = r#"{"name":"Server","type":"string","jsonPath":".status.server"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.credential) || self.credential != 'Exec' || has(self.mountPath)")
        .message("credential: Exec needs mountPath, the folder that the Secret is mounted at")
)]
pub struct KubeconfigSpec {
    /// The Secret in this namespace that the kubeconfig is written into. One that is there already and was not made for
    /// this object is left alone.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub secret_name: String,
    /// The other cluster.
    pub cluster: Cluster,
    /// Who calls it; the namespace's default Identity when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// What the Secret looks like: a kubeconfig under the key `config`, or what another program reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// How the certificate reaches the program that reads the kubeconfig: written into it, from files that are mounted
    /// beside it, or from `gangplank credential`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// Where the program that reads the kubeconfig has the Secret mounted, such as `/var/run/target`: `gangplank
    /// credential` is told to find the certificate there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1024), regex(pattern = r"^/[-A-Za-z0-9._/]*$"))]
    pub mount_path: Option<String>,
}

/// Where the other cluster is: a reference, or server and authority.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.admiraltyReference) != (has(self.server) && has(self.certificateAuthorityData))")
        .message("give either an admiraltyReference, or server and certificateAuthorityData"),
    validation = Rule::new("!has(self.admiraltyReference) || (!has(self.server) && !has(self.certificateAuthorityData))")
        .message("an admiraltyReference says where the cluster is; remove server and certificateAuthorityData")
)]
pub struct Cluster {
    /// The cluster by its names. What the directory says of it is believed as far as its pin goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admiralty_reference: Option<ClusterReference>,
    /// The address of its API, `https://…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https://"))]
    pub server: Option<String>,
    /// The authority of the server's certificate: PEM, base64-encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub certificate_authority_data: Option<String>,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// A Secret of this namespace with `tls.crt` and `tls.key`; of an Identity, or any other.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub certificate_secret_name: String,
}

/// Who reads the Secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Layout {
    /// A kubeconfig under `config`: Admiralty's Targets, and everybody who reads kubeconfigs.
    #[default]
    Config,
    /// A kubeconfig under `value`: Cluster API, and Flux.
    Value,
    /// A kubeconfig under `kubeconfig`: Linkerd.
    Kubeconfig,
    /// Argo CD's cluster Secret: `name`, `server`, `config`.
    ArgoCD,
}

/// How the certificate reaches the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Credential {
    /// Written into the kubeconfig. A program that reads it once must be restarted before the certificate ends.
    #[default]
    Embedded,
    /// From `tls.crt` and `tls.key` in the folder of the kubeconfig, which the Secret holds as well: client-go reads
    /// them anew.
    Files,
    /// From `gangplank credential`, an exec plugin, which reads the same files under `mountPath`.
    Exec,
}

/// What became of a kubeconfig.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeconfigStatus {
    /// `Ready`: whether the Secret holds a kubeconfig that is up to date.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Where the cluster is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The authorities of the server that are believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_authorities: Vec<AuthorityStatus>,
    /// When the client certificate in it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// The Secret that was last written; cleared up when another one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

//! `TrustedIdentityProvider`: an authority, and the prefix that its names get here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::authority::AuthorityStatus;
use crate::reference::ClusterReference;

/// Trusts one organisation's certificate authority: who shows a client certificate of it is the user whose name is
/// the prefix and the certificate's common name. Creating one is as powerful as granting all that RBAC gives to users
/// of that prefix.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "multicluster.admiralty.io",
    version = "v1alpha1",
    kind = "TrustedIdentityProvider",
    doc = "Trusts an organisation: who shows a certificate of its authority is the user that prefix and common name make",
    namespaced,
    shortname = "tip",
    category = "gangplank",
    status = "TrustedIdentityProviderStatus",
    printcolumn = r#"{"name":"Prefix","type":"string","jsonPath":".spec.prefix"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Expires","type":"date","jsonPath":".status.certificateAuthorities[0].notAfter","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.certificateAuthorityData) || has(self.admiraltyReference)")
        .message("give certificateAuthorityData, or an admiraltyReference to a known cluster")
)]
pub struct TrustedIdentityProviderSpec {
    /// What the usernames of this authority begin with, such as `spiffe://source-cluster/`. No two providers may be
    /// able to make the same username, and none may make one that begins with `system:`.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(
        validation = Rule::new("!self.startsWith('system:') && !'system:'.startsWith(self)")
            .message("usernames that begin with system: belong to Kubernetes; write a prefix such as spiffe://source-cluster/")
    )]
    pub prefix: String,
    /// The authority's certificate, or several: PEM, base64-encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub certificate_authority_data: Option<String>,
    /// The cluster whose identity authority is meant. It is taken from the cluster's pin; without one nothing is
    /// trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admiralty_reference: Option<ClusterReference>,
    /// Which part of a certificate becomes the username: the prefix and the one common name, or the one URI among the
    /// alternative names, which begins with the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_from: Option<UsernameFrom>,
    /// The groups that all users of this provider are given; never one of `system:`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub groups: Vec<String>,
    /// Revocation lists of these authorities: PEM, base64-encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_revocation_list_data: Option<String>,
    /// What counts when a revocation list is past its next update: the list as before, or nobody of its authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl: Option<LateList>,
    /// Single certificates that are refused, as `gangplank pki inspect` prints them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied_certificates: Vec<String>,
}

/// Which part of a certificate becomes the username.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UsernameFrom {
    /// Prefix and common name.
    CommonName,
    /// The one URI among the alternative names.
    #[serde(rename = "URI")]
    Uri,
}

/// What a revocation list counts for once its successor is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LateList {
    /// As much as before.
    Keep,
    /// Nobody of its authority is accepted.
    Strict,
}

/// What became of a provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustedIdentityProviderStatus {
    /// `Ready`: whether its users are let in, and if not, why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The authorities that are trusted, or would be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_authorities: Vec<AuthorityStatus>,
    /// The claim that was last accepted. It stays with this object while another one contests it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Claim>,
    /// The authority that a reference led to: PEM, base64-encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority_data: Option<String>,
}

/// What one provider alone may have: a prefix, and the keys of its authorities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The prefix.
    pub prefix: String,
    /// Fingerprints of the authorities' certificates, sorted.
    pub fingerprints: Vec<String>,
    /// SHA-256 over all that the object said of whom it lets in, when it was accepted.
    pub digest: String,
}

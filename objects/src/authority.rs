//! What a status says about one CA certificate.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One CA certificate, as an administrator compares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityStatus {
    /// SHA-256 of the certificate, as `sha256:` and lower-case hex.
    pub fingerprint: String,
    /// Whose certificate it is.
    pub subject: String,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
}

//! How one cluster names another.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Names a cluster by its account and its own name, as it is registered at a relay. What the relay's directory says
/// about it is believed only as far as a pin goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReference {
    /// The account that the cluster belongs to; this cluster's own account when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub account_name: Option<String>,
    /// The cluster's name within its account.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub cluster_name: String,
}

//! Putting objects into a cluster on behalf of a person: what somebody else made is never written into.
//!
//! Whose an object is, an annotation says: it names the other cluster that somebody was connected with. All objects
//! are looked at before the first is written, so that a refusal leaves nothing half done. Writing is server-side apply
//! without force: where another manager holds a field that would change, the API server refuses, also if the object
//! came into being only a moment ago.

use std::collections::BTreeMap;

use gangplank_pki::TunnelName;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::Value;

use crate::manifest::Manifest;
use crate::pinning::joined;
use crate::{KnownCluster, KnownClusterSpec};

/// The name under which people's commands write fields.
pub const MANAGER: &str = "gangplank";

/// The annotation of objects that `gangplank accept` made; its value is the other cluster.
pub const ACCEPTED: &str = "gangplank.dev/accepted";

/// The label of all objects that Gangplank makes, and its value.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "gangplank");

/// What there is where an object is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Absent,
    /// The same, whoever made it.
    Same,
    /// One that was made for the same cluster and says something else.
    Former {
        /// Exactly which.
        uid: Option<String>,
    },
}

/// What was done about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was not there.
    Created,
    /// It said something else.
    Configured,
    /// It was as it should be.
    Unchanged,
}

impl Done {
    /// As kubectl says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Writes into `object` that it was made to connect with `cluster`.
pub fn mark<O: Resource>(object: &mut O, cluster: &TunnelName) {
    let meta = object.meta_mut();
    let (label, value) = MANAGED_BY;
    let labels = meta.labels.get_or_insert_with(BTreeMap::new);
    labels.insert(label.to_owned(), value.to_owned());
    let annotations = meta.annotations.get_or_insert_with(BTreeMap::new);
    annotations.insert(ACCEPTED.to_owned(), cluster.to_string());
}

/// Was `object` made to connect with `cluster`?
pub fn is_marked<O: Resource>(object: &O, cluster: &TunnelName) -> bool {
    object.annotations().get(ACCEPTED).map(String::as_str) == Some(cluster.as_str())
}

impl Manifest {
    /// What there is in its place.
    ///
    /// # Errors
    /// When somebody else made what is there, when its namespace is not there, or when the API server does not tell.
    pub async fn look(&self, client: &Client) -> Result<Standing, PlaceFault> {
        if let Some(namespace) = self.namespace() {
            require_namespace(client, namespace).await?;
        }
        let there = self.api(client).get_opt(self.name()).await;
        let Some(there) = there.map_err(|fault| self.refused(fault))? else {
            return Ok(Standing::Absent);
        };
        if self.is_ours(&there) {
            let value = serde_json::to_value(&there).unwrap_or_default();
            if holds(&value, self.value()) {
                return Ok(Standing::Same);
            }
            return Ok(Standing::Former { uid: there.uid() });
        }
        // Of others only the very same will do: whatever they added says something else.
        if there.data.get("spec") == self.value().get("spec") {
            return Ok(Standing::Same);
        }
        Err(PlaceFault::Foreign { what: self.told() })
    }

    /// Brings it about, where there was `standing`.
    ///
    /// # Errors
    /// When the API server does not do it, above all because somebody else holds a field.
    pub async fn place(&self, client: &Client, standing: &Standing) -> Result<Done, PlaceFault> {
        let mut wanted = self.value().clone();
        let done = match standing {
            Standing::Same => return Ok(Done::Unchanged),
            Standing::Absent => Done::Created,
            Standing::Former { uid } => {
                // Another one of that name is not what was looked at.
                let metadata = wanted.get_mut("metadata").and_then(Value::as_object_mut);
                if let (Some(uid), Some(metadata)) = (uid, metadata) {
                    metadata.insert("uid".to_owned(), uid.clone().into());
                }
                Done::Configured
            }
        };
        let parameters = PatchParams::apply(MANAGER);
        let applied = self
            .api(client)
            .patch(self.name(), &parameters, &Patch::Apply(&wanted))
            .await;
        applied.map_err(|fault| self.refused(fault))?;
        Ok(done)
    }

    /// Was what is there made for the same cluster?
    fn is_ours(&self, there: &DynamicObject) -> bool {
        let wanted = self.value().pointer("/metadata/annotations");
        let wanted = wanted.and_then(|annotations| annotations.get(ACCEPTED)?.as_str());
        wanted.is_some() && there.annotations().get(ACCEPTED).map(String::as_str) == wanted
    }

    fn refused(&self, fault: kube::Error) -> PlaceFault {
        PlaceFault::of(self.told(), fault)
    }
}

/// Adds pins that a person gives to what is known of a cluster, whoever made that.
///
/// # Errors
/// When the API server does not do it, above all because somebody else holds the field.
pub async fn pin_by_hand(
    client: &Client,
    there: Option<&KnownCluster>,
    cluster: &TunnelName,
    added: KnownClusterSpec,
) -> Result<Done, PlaceFault> {
    let Some(there) = there else {
        let mut known = KnownCluster::new(cluster.as_str(), added);
        let (label, value) = MANAGED_BY;
        let labels = known.metadata.labels.get_or_insert_with(BTreeMap::new);
        labels.insert(label.to_owned(), value.to_owned());
        return Manifest::of(&known).place(client, &Standing::Absent).await;
    };
    let spec = joined(&there.spec, added);
    if spec == there.spec {
        return Ok(Done::Unchanged);
    }
    let mut known = KnownCluster::new(&there.name_any(), spec);
    // What the same manager wrote and does not write again would go.
    known.metadata.labels.clone_from(&there.metadata.labels);
    if is_marked(there, cluster) {
        mark(&mut known, cluster);
    }
    let standing = Standing::Former { uid: there.uid() };
    Manifest::of(&known).place(client, &standing).await
}

/// Whoever may not look at namespaces is told by the API server when the object is written.
pub(crate) async fn require_namespace(client: &Client, namespace: &str) -> Result<(), PlaceFault> {
    let api: Api<Namespace> = Api::all(client.clone());
    match api.get_metadata_opt(namespace).await {
        Ok(None) => Err(PlaceFault::NoNamespace {
            namespace: namespace.to_owned(),
        }),
        Ok(Some(_)) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(fault) => Err(PlaceFault::of(format!("namespace/{namespace}"), fault)),
    }
}

/// Does `there` say all that `wanted` says? Others may have added to maps; lists are whole.
fn holds(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| there.get(key).is_some_and(|there| holds(there, wanted))),
        (there, wanted) => there == wanted,
    }
}

/// Why an object was not put into place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceFault {
    /// Somebody else made it.
    #[error(
        "{what} is there, says something else, and was not made by `gangplank accept` for this cluster; rename or delete it"
    )]
    Foreign {
        /// Which object.
        what: String,
    },
    /// There is no such namespace.
    #[error("there is no namespace {namespace}; create it, or name another one")]
    NoNamespace {
        /// Which.
        namespace: String,
    },
    /// There is no such role.
    #[error("there is no ClusterRole {role}; create it, or offer another one")]
    NoRole {
        /// Which.
        role: String,
    },
    /// Somebody else holds a field of it, or was faster.
    #[error(
        "{what} was changed by somebody else: {said}; take that back, or `gangplank revoke` and accept anew"
    )]
    Contested {
        /// Which object.
        what: String,
        /// What the API server said.
        said: String,
    },
    /// Its kind is unknown there.
    #[error(
        "{what}: the API server does not know this kind, or not this object's namespace; install the custom resource definitions"
    )]
    Unknown {
        /// Which object.
        what: String,
    },
    /// The API server did not do it.
    #[error("{what}: {said}")]
    Refused {
        /// Which object.
        what: String,
        /// What the API server said.
        said: String,
    },
    /// No answer.
    #[error("{what}: the API server could not be asked")]
    Away {
        /// Which object.
        what: String,
        /// Why not.
        #[source]
        source: Box<kube::Error>,
    },
}

impl PlaceFault {
    pub(crate) fn of(what: String, fault: kube::Error) -> Self {
        match fault {
            kube::Error::Api(status) => {
                let said = status.message.clone();
                match status.code {
                    404 => Self::Unknown { what },
                    409 => Self::Contested { what, said },
                    _ => Self::Refused { what, said },
                }
            }
            fault => Self::Away {
                what,
                source: Box::new(fault),
            },
        }
    }
}

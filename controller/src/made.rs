//! Whose an object is that the controller makes, and how it is brought to what it should be.
//!
//! An object that is not there is created, never applied: whoever makes one of that name first keeps it. One that is
//! there is changed only if it says that it was made for the same maker; the change names the object's `uid` and
//! version, so that it fails should another one have taken its place meanwhile.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::trouble::Trouble;

/// The name under which the controller writes fields (server-side apply).
pub(crate) const MANAGER: &str = "gangplank-controller";

/// The annotation that says what an object was made for: kind, and namespace and name.
pub(crate) const MADE_FOR: &str = "gangplank.dev/made-for";

/// The label that all objects that are made have, and its value.
pub(crate) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "gangplank");

/// An object for which others are made.
#[derive(Clone, Debug)]
pub(crate) struct Maker {
    /// Its kind, and namespace and name, as the annotation has them.
    told: String,
    /// Of the objects that are made in its own namespace: so that the garbage collector finds what is left should the
    /// finalizer be taken away by hand.
    reference: Option<OwnerReference>,
}

/// What was found where an object should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// As it should be.
    Same,
    /// Nothing, or something else; it was written.
    Written,
    /// Somebody else's; it was left alone.
    Foreign,
}

impl Maker {
    /// The maker `object`.
    pub(crate) fn of<K: Resource<DynamicType = ()>>(object: &K) -> Self {
        let kind = K::kind(&());
        let told = match object.namespace() {
            Some(namespace) => format!("{kind} {namespace}/{}", object.name_any()),
            None => format!("{kind} {}", object.name_any()),
        };
        Self {
            told,
            reference: object.controller_owner_ref(&()),
        }
    }

    /// The installation itself, in its namespace.
    pub(crate) fn installation(namespace: &str) -> Self {
        Self {
            told: format!("Installation {namespace}"),
            reference: None,
        }
    }

    /// Writes into `object` whose it is. `beside` says whether it lies in the maker's own namespace.
    pub(crate) fn mark<O: Resource>(&self, object: &mut O, beside: bool) {
        let (label, value) = MANAGED_BY;
        let meta = object.meta_mut();
        let labels = meta.labels.get_or_insert_with(BTreeMap::new);
        labels.insert(label.to_owned(), value.to_owned());
        let annotations = meta.annotations.get_or_insert_with(BTreeMap::new);
        annotations.insert(MADE_FOR.to_owned(), self.told.clone());
        let reference = self.reference.clone().filter(|_| beside);
        meta.owner_references = reference.map(|reference| vec![reference]);
    }

    /// Was `object` made for this maker?
    pub(crate) fn made<O: Resource>(&self, object: &O) -> bool {
        object.annotations().get(MADE_FOR) == Some(&self.told)
    }

    /// Brings the object of `wanted`'s name to what it should be, if it is this maker's. `wanted` is marked already.
    ///
    /// # Errors
    /// When the API server does not do it, or somebody else was faster.
    pub(crate) async fn keep<O>(&self, api: &Api<O>, wanted: O) -> Result<Found, Trouble>
    where
        O: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync,
    {
        let name = wanted.name_any();
        let Some(there) = api.get_opt(&name).await? else {
            return match api.create(&post(), &wanted).await {
                Ok(_created) => Ok(Found::Written),
                Err(error) => Err(overtaken(error, &name)),
            };
        };
        if !self.made(&there) {
            return Ok(Found::Foreign);
        }
        if there.meta().deletion_timestamp.is_some() {
            // It will be made anew when it is gone.
            return Err(Trouble::Overtaken { what: name });
        }
        if holds(&json(&there), &json(&wanted)) {
            return Ok(Found::Same);
        }
        let mut wanted = wanted;
        wanted.meta_mut().uid = there.uid();
        wanted.meta_mut().resource_version = there.resource_version();
        match api
            .patch(&name, &apply(), &Patch::Apply(&typed(&wanted)))
            .await
        {
            Ok(_patched) => Ok(Found::Written),
            Err(kube::Error::Api(status)) if status.code == 422 => {
                // What cannot be changed (a binding's role, a Secret's type) is made anew.
                self.part_with(api, &there).await?;
                Err(Trouble::Overtaken { what: name })
            }
            Err(error) => Err(overtaken(error, &name)),
        }
    }

    /// Deletes the object `name`, if it is this maker's.
    ///
    /// # Errors
    /// When the API server does not do it.
    pub(crate) async fn remove<O>(&self, api: &Api<O>, name: &str) -> Result<(), Trouble>
    where
        O: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync,
    {
        match api.get_opt(name).await? {
            Some(there) if self.made(&there) => self.part_with(api, &there).await,
            _ => Ok(()),
        }
    }

    /// Deletes exactly this object, not a successor of the same name.
    ///
    /// # Errors
    /// When the API server does not do it.
    pub(crate) async fn part_with<O>(&self, api: &Api<O>, there: &O) -> Result<(), Trouble>
    where
        O: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync,
    {
        let exactly = DeleteParams::default().preconditions(Preconditions {
            uid: there.uid(),
            resource_version: None,
        });
        match api.delete(&there.name_any(), &exactly).await {
            Ok(_deleted) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Server-side apply in our name, over whatever others wrote into the same fields.
pub(crate) fn apply() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}

fn post() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn overtaken(error: kube::Error, name: &str) -> Trouble {
    match error {
        kube::Error::Api(status) if status.code == 409 => Trouble::Overtaken {
            what: name.to_owned(),
        },
        error => error.into(),
    }
}

fn json<O: Serialize>(object: &O) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// The object with its kind, which applying demands.
fn typed<O: Resource<DynamicType = ()> + Serialize>(object: &O) -> Value {
    let mut value = json(object);
    if let Value::Object(fields) = &mut value {
        fields.insert("apiVersion".to_owned(), O::api_version(&()).into());
        fields.insert("kind".to_owned(), O::kind(&()).into());
    }
    value
}

/// Does `there` hold all that `wanted` says? Others may have added to maps; lists are whole.
fn holds(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| there.get(key).is_some_and(|there| holds(there, wanted))),
        (there, wanted) => there == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_add_is_not_missed_and_what_they_change_is() {
        let wanted = json!({"data": {"a": "1"}, "subjects": ["x"]});
        assert!(holds(
            &json!({"data": {"a": "1", "b": "2"}, "subjects": ["x"], "type": "Opaque"}),
            &wanted
        ));
        assert!(!holds(
            &json!({"data": {"a": "2"}, "subjects": ["x"]}),
            &wanted
        ));
        assert!(!holds(
            &json!({"data": {"a": "1"}, "subjects": ["x", "y"]}),
            &wanted
        ));
        assert!(!holds(&json!({"data": {"a": "1"}}), &wanted));
    }
}

//! An object as a person would write it into a file: what is printed is what is sent.

use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde_json::Value;

/// One object of any kind.
#[derive(Clone, Debug)]
pub struct Manifest {
    resource: ApiResource,
    value: Value,
}

impl Manifest {
    /// The manifest of `object`.
    pub fn of<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Self {
        let resource = ApiResource::erase::<K>(&());
        // Objects are structs of texts and lists, which are always JSON.
        let mut value = serde_json::to_value(object).unwrap_or_default();
        if let Value::Object(fields) = &mut value {
            fields.insert("apiVersion".to_owned(), resource.api_version.clone().into());
            fields.insert("kind".to_owned(), resource.kind.clone().into());
            // What became of it is not for the writer to say.
            fields.remove("status");
        }
        Self { resource, value }
    }

    /// The object, as JSON.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.text("name").unwrap_or_default()
    }

    /// Its namespace, if it has one.
    pub fn namespace(&self) -> Option<&str> {
        self.text("namespace")
    }

    /// As kubectl calls it: `source.multicluster.admiralty.io/name`.
    pub fn told(&self) -> String {
        told(&self.resource, self.name())
    }

    /// Where it is read and written.
    pub(crate) fn api(&self, client: &Client) -> Api<DynamicObject> {
        match self.namespace() {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &self.resource),
            None => Api::all_with(client.clone(), &self.resource),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.value.get("metadata")?.get(key)?.as_str()
    }
}

/// An object as kubectl calls it.
pub(crate) fn told(resource: &ApiResource, name: &str) -> String {
    let kind = resource.kind.to_lowercase();
    match resource.group.as_str() {
        "" => format!("{kind}/{name}"),
        group => format!("{kind}.{group}/{name}"),
    }
}

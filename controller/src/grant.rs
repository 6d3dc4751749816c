//! What a `Source` or a `ClusterSource` grants: which bindings there shall be, and no others.

use gangplank_objects::{ClusterSource, Source};
use k8s_openapi::api::rbac::v1::{RoleRef, Subject};
use kube::ResourceExt;

use crate::name::{Part, SUBDOMAIN, joined};

/// The group of roles, bindings and of users as subjects.
const RBAC: &str = "rbac.authorization.k8s.io";

/// The ClusterRoles that sources get when they name none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRoles {
    /// What a source may do.
    pub source: String,
    /// What every source may see of the cluster as a whole.
    pub summary_viewer: String,
}

/// All that one object grants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grant {
    /// A service account that must exist, by namespace and name.
    pub(crate) account: Option<(String, String)>,
    /// The bindings.
    pub(crate) bindings: Vec<Binding>,
}

/// One binding.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Binding {
    /// The namespace it is for; `None` for all of them.
    pub(crate) namespace: Option<String>,
    /// Its name.
    pub(crate) name: String,
    /// What it gives.
    pub(crate) role: RoleRef,
    /// Whom it gives it to.
    pub(crate) subjects: Vec<Subject>,
}

/// Whom an object names.
struct Named<'o> {
    account: Option<(&'o str, &'o str)>,
    user: Option<&'o str>,
    group: Option<&'o str>,
}

impl Grant {
    /// What a `Source` grants: its roles in its namespace, and the view of the cluster as a whole.
    pub(crate) fn of_source(source: &Source, roles: &SourceRoles) -> Self {
        let (namespace, name) = (source.namespace().unwrap_or_default(), source.name_any());
        let spec = &source.spec;
        let account = spec.service_account_name.as_deref();
        let named = Named {
            account: account.map(|account| (namespace.as_str(), account)),
            user: spec.user_name.as_deref(),
            group: spec.group_name.as_deref(),
        };
        let subjects = named.subjects();
        let mut bindings = Vec::new();
        if !subjects.is_empty() {
            let prefix = Part::Constant("admiralty-source");
            bindings = of_roles(
                Some(&namespace),
                &[prefix, Part::Variable(&name)],
                &spec.roles,
                &roles.source,
                &subjects,
            );
            let parts = [
                prefix,
                Part::Variable(&namespace),
                Part::Variable(&name),
                Part::Constant("cluster-summary-viewer"),
            ];
            bindings.push(Binding::new(None, &parts, &roles.summary_viewer, &subjects));
        }
        Self {
            account: named.owned_account(),
            bindings,
        }
    }

    /// What a `ClusterSource` grants: its roles in all namespaces, and the view of the cluster as a whole.
    pub(crate) fn of_cluster_source(source: &ClusterSource, roles: &SourceRoles) -> Self {
        let name = source.name_any();
        let spec = &source.spec;
        let account = spec.service_account.as_ref();
        let named = Named {
            account: account.map(|account| (account.namespace.as_str(), account.name.as_str())),
            user: spec.user_name.as_deref(),
            group: spec.group_name.as_deref(),
        };
        let subjects = named.subjects();
        let mut bindings = Vec::new();
        if !subjects.is_empty() {
            let prefix = Part::Constant("admiralty-cluster-source");
            let parts = [prefix, Part::Variable(&name)];
            bindings = of_roles(None, &parts, &spec.roles, &roles.source, &subjects);
            let parts = [
                prefix,
                Part::Variable(&name),
                Part::Constant("cluster-summary-viewer"),
            ];
            bindings.push(Binding::new(None, &parts, &roles.summary_viewer, &subjects));
        }
        Self {
            account: named.owned_account(),
            bindings,
        }
    }
}

/// A binding for each role that is listed, or the one for `fixed` when none is.
fn of_roles(
    namespace: Option<&str>,
    parts: &[Part<'_>],
    listed: &[String],
    fixed: &str,
    subjects: &[Subject],
) -> Vec<Binding> {
    if listed.is_empty() {
        return vec![Binding::new(namespace, parts, fixed, subjects)];
    }
    let mut roles: Vec<&String> = listed.iter().collect();
    roles.sort();
    roles.dedup();
    let binding = |role: &String| {
        let mut parts = parts.to_vec();
        parts.push(Part::Variable(role));
        Binding::new(namespace, &parts, role, subjects)
    };
    roles.into_iter().map(binding).collect()
}

impl Binding {
    fn new(namespace: Option<&str>, parts: &[Part<'_>], role: &str, subjects: &[Subject]) -> Self {
        Self {
            namespace: namespace.map(str::to_owned),
            name: joined(SUBDOMAIN, parts),
            role: RoleRef {
                api_group: Some(RBAC.to_owned()),
                kind: "ClusterRole".to_owned(),
                name: role.to_owned(),
            },
            subjects: subjects.to_vec(),
        }
    }
}

impl Named<'_> {
    /// In the order that Admiralty writes them, and with the groups that the API server would add, so that what is
    /// there is recognised as what is wanted.
    fn subjects(&self) -> Vec<Subject> {
        let account = self.account.map(|(namespace, name)| Subject {
            kind: "ServiceAccount".to_owned(),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
            api_group: None,
        });
        let federated = |kind: &str, name: &str| Subject {
            kind: kind.to_owned(),
            namespace: None,
            name: name.to_owned(),
            api_group: Some(RBAC.to_owned()),
        };
        let user = self.user.map(|name| federated("User", name));
        let group = self.group.map(|name| federated("Group", name));
        account.into_iter().chain(user).chain(group).collect()
    }

    fn owned_account(&self) -> Option<(String, String)> {
        self.account
            .map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))
    }
}

#[cfg(test)]
mod tests;

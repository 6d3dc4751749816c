use gangplank_objects::source::ServiceAccountName;
use gangplank_objects::{ClusterSourceSpec, SourceSpec};
use kube::Resource;

use super::*;

const USER: &str = "spiffe://source-cluster/ns/namespace-a/id/default";

fn roles() -> SourceRoles {
    SourceRoles {
        source: "gangplank-source".to_owned(),
        summary_viewer: "gangplank-cluster-summary-viewer".to_owned(),
    }
}

fn source(namespace: &str, name: &str, spec: SourceSpec) -> Grant {
    let mut source = Source::new(name, spec);
    source.meta_mut().namespace = Some(namespace.to_owned());
    Grant::of_source(&source, &roles())
}

fn of_user() -> SourceSpec {
    SourceSpec {
        user_name: Some(USER.to_owned()),
        ..empty()
    }
}

fn empty() -> SourceSpec {
    SourceSpec {
        user_name: None,
        group_name: None,
        service_account_name: None,
        roles: Vec::new(),
    }
}

fn names(grant: &Grant) -> Vec<&str> {
    grant
        .bindings
        .iter()
        .map(|binding| binding.name.as_str())
        .collect()
}

#[test]
fn a_source_is_bound_under_the_names_that_admiralty_made() {
    let grant = source("namespace-a", "source-cluster", of_user());
    assert_eq!(
        names(&grant),
        [
            "admiralty-source-source-cluster",
            "admiralty-source-namespace-a-source-cluster-cluster-summary-viewer-d37c5c7ba1",
        ]
    );
    let grant = source("default", "cd", of_user());
    assert_eq!(
        names(&grant),
        [
            "admiralty-source-cd",
            "admiralty-source-default-cd-cluster-summary-viewer",
        ]
    );
    let [binding, view] = grant.bindings.as_slice() else {
        panic!("{grant:?}")
    };
    assert_eq!(binding.namespace.as_deref(), Some("default"));
    assert_eq!(binding.role.name, "gangplank-source");
    assert_eq!(view.namespace, None);
    assert_eq!(view.role.name, "gangplank-cluster-summary-viewer");
}

#[test]
fn subjects_are_the_account_then_the_user_with_its_group_written_out() {
    let spec = SourceSpec {
        service_account_name: Some("cd".to_owned()),
        ..of_user()
    };
    let grant = source("default", "cd", spec);
    assert_eq!(grant.account, Some(("default".to_owned(), "cd".to_owned())));
    let kinds: Vec<_> = grant.bindings[0]
        .subjects
        .iter()
        .map(|subject| (subject.kind.as_str(), subject.api_group.as_deref()))
        .collect();
    assert_eq!(kinds, [("ServiceAccount", None), ("User", Some(RBAC))]);
}

#[test]
fn a_source_that_names_nobody_grants_nothing() {
    assert_eq!(source("default", "cd", empty()).bindings, []);
}

#[test]
fn listed_roles_stand_in_place_of_the_fixed_one_each_with_its_binding() {
    let spec = SourceSpec {
        roles: vec!["view".to_owned(), "edit".to_owned(), "view".to_owned()],
        ..of_user()
    };
    let grant = source("default", "cd", spec);
    assert_eq!(
        names(&grant),
        [
            "admiralty-source-cd-edit",
            "admiralty-source-cd-view",
            "admiralty-source-default-cd-cluster-summary-viewer",
        ]
    );
}

#[test]
fn the_account_of_a_cluster_source_is_in_the_namespace_that_it_names() {
    let spec = ClusterSourceSpec {
        user_name: None,
        group_name: None,
        service_account: Some(ServiceAccountName {
            name: "cd".to_owned(),
            namespace: "argo".to_owned(),
        }),
        roles: Vec::new(),
    };
    let grant = Grant::of_cluster_source(&ClusterSource::new("fleet", spec), &roles());
    assert_eq!(grant.account, Some(("argo".to_owned(), "cd".to_owned())));
    assert_eq!(
        names(&grant),
        [
            "admiralty-cluster-source-fleet",
            "admiralty-cluster-source-fleet-cluster-summary-viewer",
        ]
    );
    assert!(
        grant
            .bindings
            .iter()
            .all(|binding| binding.namespace.is_none())
    );
}

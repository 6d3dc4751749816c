//! One thing that a caller claims to be, and the right that this takes.

use serde::Serialize;

/// The group of the API in which uids and extra fields are resources; users and groups are in the core group.
const AUTHENTICATION: &str = "authentication.k8s.io";

/// How the usernames of service accounts begin.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// What nobody is taken for here, whatever RBAC says: the group that RBAC does not apply to, and the
/// kubelets' users and groups, which another authorizer knows.
const NEVER: [Never; 2] = [
    Never::Exactly("system:masters"),
    Never::Beginning("system:node"),
];

enum Never {
    Exactly(&'static str),
    Beginning(&'static str),
}

/// What sort of value it is, but for users.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind<'w> {
    Group,
    Uid,
    /// Of the extra field with this key.
    Extra(&'w str),
}

/// A value, and the resource on which `impersonate` must be allowed for it; in the words of
/// `ResourceAttributes` (authorization.k8s.io/v1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Claim<'w> {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subresource: &'w str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'w str,
    name: &'w str,
}

impl<'w> Claim<'w> {
    pub(super) fn of_user(user: &'w str) -> Self {
        match service_account(user) {
            Some((namespace, name)) => Self {
                namespace,
                ..Self::new("", "serviceaccounts", name)
            },
            None => Self::new("", "users", user),
        }
    }

    pub(super) const fn of(kind: Kind<'w>, value: &'w str) -> Self {
        match kind {
            Kind::Group => Self::new("", "groups", value),
            Kind::Uid => Self::new(AUTHENTICATION, "uids", value),
            Kind::Extra(key) => Self {
                subresource: key,
                ..Self::new(AUTHENTICATION, "userextras", value)
            },
        }
    }

    const fn new(group: &'static str, resource: &'static str, name: &'w str) -> Self {
        Self {
            verb: "impersonate",
            group,
            version: "v1",
            resource,
            subresource: "",
            namespace: "",
            name,
        }
    }

    /// Why nobody is granted it, if so.
    pub(super) fn never(&self) -> Option<&'static str> {
        if !matches!(self.resource, "users" | "groups") {
            return None;
        }
        let is_never = |never: &Never| match never {
            Never::Exactly(name) => self.name == *name,
            Never::Beginning(beginning) => self.name.starts_with(beginning),
        };
        if NEVER.iter().any(is_never) {
            return Some("no right makes it possible through this proxy");
        }
        // kube-apiserver takes it for a user of that name, others for a service account.
        self.name
            .starts_with(SERVICE_ACCOUNT)
            .then_some("it is not the name of a service account")
            .filter(|_| self.resource == "users")
    }

    /// All that tells this claim from others, none of it running into the next.
    pub(super) const fn parts(&self) -> [&'w str; 4] {
        // Which group and version follows from the resource; verb is always the same.
        [self.resource, self.subresource, self.namespace, self.name]
    }

    /// kube-apiserver's sentence for a denial (`responsewriters.ForbiddenStatusError`).
    pub(super) fn forbidden(&self, user: &str, reason: &str) -> String {
        let Self {
            verb,
            group,
            resource,
            subresource,
            namespace,
            name,
            ..
        } = self;
        let qualified = match *group {
            "" => (*resource).to_owned(),
            group => format!("{resource}.{group}"),
        };
        let on = match *subresource {
            "" => (*resource).to_owned(),
            subresource => format!("{resource}/{subresource}"),
        };
        let place = match *namespace {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        let colon = if reason.is_empty() { "" } else { ": " };
        format!(
            "{qualified} {name:?} is forbidden: User {user:?} cannot {verb} resource {on:?} in API group \
             {group:?} {place}{colon}{reason}"
        )
    }
}

/// Namespace and name, if it is the username of a service account as kube-apiserver makes them
/// (`serviceaccount.SplitUsername`).
fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    let is_namespace = is_label(namespace);
    let is_name = name.len() <= 253 && name.split('.').all(is_dns_word);
    (is_namespace && is_name).then_some((namespace, name))
}

/// An RFC 1123 label.
fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_dns_word(text)
}

fn is_dns_word(text: &str) -> bool {
    let is_inside = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(is_inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sort_of_value_takes_the_right_of_kube_apiservers_own_filter() {
        for (claim, json) in [
            (
                Claim::of_user("bob"),
                r#"{"verb":"impersonate","group":"","version":"v1","resource":"users","name":"bob"}"#,
            ),
            (
                Claim::of_user("system:serviceaccount:shop:till.a"),
                r#"{"verb":"impersonate","group":"","version":"v1","resource":"serviceaccounts","namespace":"shop","name":"till.a"}"#,
            ),
            (
                Claim::of(Kind::Group, "a,b"),
                r#"{"verb":"impersonate","group":"","version":"v1","resource":"groups","name":"a,b"}"#,
            ),
            (
                Claim::of(Kind::Uid, "7"),
                r#"{"verb":"impersonate","group":"authentication.k8s.io","version":"v1","resource":"uids","name":"7"}"#,
            ),
            (
                Claim::of(Kind::Extra("acme.com/project"), "p"),
                r#"{"verb":"impersonate","group":"authentication.k8s.io","version":"v1","resource":"userextras","subresource":"acme.com/project","name":"p"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&claim).unwrap(), json);
            assert_eq!(claim.never(), None);
        }
    }

    #[test]
    fn the_privileged_group_and_nodes_are_never_granted() {
        for name in [
            "system:masters",
            "system:node:a",
            "system:nodes",
            "system:node",
            "system:node-proxier",
        ] {
            assert!(Claim::of_user(name).never().is_some(), "{name}");
            assert!(Claim::of(Kind::Group, name).never().is_some(), "{name}");
            assert_eq!(Claim::of(Kind::Uid, name).never(), None, "{name}");
        }
        for name in [
            "system:master",
            "system:anonymous",
            "System:masters",
            "x-system:masters",
        ] {
            assert_eq!(Claim::of_user(name).never(), None, "{name}");
        }
        assert_eq!(
            Claim::of(Kind::Group, "system:unauthenticated").never(),
            None
        );
    }

    #[test]
    fn what_only_looks_like_a_service_account_is_nobody() {
        let long = format!("system:serviceaccount:{}:a", "a".repeat(64));
        for name in [
            "system:serviceaccount:",
            "system:serviceaccount:shop",
            "system:serviceaccount:shop:",
            "system:serviceaccount::till",
            "system:serviceaccount:shop:till:x",
            "system:serviceaccount:Shop:till",
            "system:serviceaccount:shop:-till",
            "system:serviceaccount:shop:till..a",
            "system:serviceaccount:sh.op:till",
            &long,
        ] {
            let claim = Claim::of_user(name);
            assert_eq!(claim.resource, "users", "{name}");
            assert!(claim.never().is_some(), "{name}");
        }
        // The groups of service accounts are groups like others.
        let group = Claim::of(Kind::Group, "system:serviceaccounts:shop");
        assert_eq!(group.never(), None);
    }

    #[test]
    fn a_denial_is_in_kube_apiservers_words() {
        assert_eq!(
            Claim::of_user("bob").forbidden("spiffe://a/b", ""),
            r#"users "bob" is forbidden: User "spiffe://a/b" cannot impersonate resource "users" in API group "" at the cluster scope"#
        );
        assert_eq!(
            Claim::of_user("system:serviceaccount:shop:till").forbidden("a", "why"),
            r#"serviceaccounts "till" is forbidden: User "a" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "shop": why"#
        );
        assert_eq!(
            Claim::of(Kind::Extra("k/x"), "v").forbidden("a", ""),
            r#"userextras.authentication.k8s.io "v" is forbidden: User "a" cannot impersonate resource "userextras/k/x" in API group "authentication.k8s.io" at the cluster scope"#
        );
    }
}

//! What an administrator lays down beside the objects.

use std::path::Path;

use gangplank_pki::Provider;

use crate::fault::{Fault, Place};

/// What counts beside the objects themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustRules {
    /// The account that this cluster belongs to: what a reference means that names none.
    pub account: Option<String>,
    /// Which prefixes the providers of a namespace may have. Empty: any.
    pub allowed_prefixes: Vec<AllowedPrefix>,
}

/// What providers of one namespace may claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedPrefix {
    /// The namespace.
    pub namespace: String,
    /// What their prefixes begin with.
    pub prefix: String,
}

impl TrustRules {
    /// Why the provider may not have its prefix, if it may not.
    pub(super) fn refuse(&self, provider: &Provider, file: &Path, place: Place) -> Option<Fault> {
        let id = provider.id();
        let allowed = |rule: &AllowedPrefix| {
            rule.namespace == id.namespace && provider.prefix().as_str().starts_with(&rule.prefix)
        };
        if self.allowed_prefixes.is_empty() || self.allowed_prefixes.iter().any(allowed) {
            return None;
        }
        let of_namespace = self.allowed_prefixes.iter();
        let of_namespace = of_namespace.filter(|rule| rule.namespace == id.namespace);
        let prefixes: Vec<String> = of_namespace
            .map(|rule| format!("`{}`", rule.prefix))
            .collect();
        let remedy = if prefixes.is_empty() {
            "ask an administrator to allow the namespace a prefix".to_owned()
        } else {
            format!("begin it with {}", prefixes.join(" or "))
        };
        let message = format!(
            "providers of namespace {} may not have the prefix `{}`",
            id.namespace,
            provider.prefix()
        );
        Some(Fault::new(file, place, "PrefixNotAllowed", message, remedy))
    }
}

//! `metadata`: what names an object, and what Kubernetes adds to it.

use crate::scalar::{Complaint, quoted};
use crate::section::{Section, Written};

/// What may stand in the metadata of an object that was exported from a cluster.
const KEYS: &[&str] = &[
    "name",
    "namespace",
    "labels",
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Namespace and name; the namespace is `default` when none is written, as with kubectl, and empty where objects
/// have none.
pub(super) fn names(object: &Section<'_>, is_namespaced: bool) -> Option<(String, String)> {
    let metadata = object.required_section("metadata", KEYS)?;
    let name = metadata.required_text("name").and_then(|written| {
        metadata
            .sheet
            .accept(written.place, valid("name", written, 253, true))
    });
    let namespace = if !is_namespaced {
        Some(String::new())
    } else if metadata.optional("namespace").is_some() {
        metadata.optional_text("namespace").and_then(|written| {
            metadata
                .sheet
                .accept(written.place, valid("namespace", written, 63, false))
        })
    } else {
        Some("default".to_owned())
    };
    Some((namespace?, name?))
}

/// A DNS-1123 label, or with `dots` a subdomain, as Kubernetes demands of names.
fn valid(key: &str, written: Written<'_>, longest: usize, dots: bool) -> Result<String, Complaint> {
    let text = written.text;
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let fits = if dots {
        text.split('.').all(part)
    } else {
        part(text)
    };
    if fits && text.len() <= longest {
        return Ok(text.to_owned());
    }
    let also = if dots {
        ", hyphens and dots"
    } else {
        " and hyphens"
    };
    Err(Complaint {
        reason: "BadName",
        message: format!("{} is not a {key} that Kubernetes takes", quoted(text)),
        remedy: format!("use at most {longest} lower-case letters, digits{also}"),
    })
}

//! The API server's own audit log, who it saw and doing what; and the exit's trail, wherever that goes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::cluster::Cluster;
use super::gangplank;
use super::wait;

/// One event, the fields the tests look at.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    /// Path and query as the API server saw them.
    #[serde(rename = "requestURI")]
    pub(crate) request_uri: String,
    /// get, watch, create …
    pub(crate) verb: String,
    /// Who authenticated: the exit's own account.
    pub(crate) user: User,
    /// Whom it acts for.
    pub(crate) impersonated_user: Option<User>,
    /// The id that the exit sent.
    #[serde(rename = "auditID")]
    pub(crate) audit_id: String,
    /// What it is about, unless the path names no resource.
    #[serde(default)]
    pub(crate) object_ref: ObjectRef,
}

/// A resource in an event.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ObjectRef {
    /// Empty for the core group.
    pub(crate) api_group: String,
    /// `v1` …
    pub(crate) api_version: String,
    /// Its plural name.
    pub(crate) resource: String,
    /// `status`, `exec` …
    pub(crate) subresource: String,
    /// Empty where there is none.
    pub(crate) namespace: String,
    /// Empty where a collection is meant.
    pub(crate) name: String,
}

/// A user in an event.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct User {
    /// Its name.
    #[serde(default)]
    pub(crate) username: String,
    /// Its groups.
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    /// Its extra fields.
    #[serde(default)]
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

/// All events so far.
pub(crate) fn events(cluster: &Cluster) -> Vec<Event> {
    let log = std::fs::read_to_string(&cluster.facts.audit_log).unwrap_or_default();
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Waits for the events whose path contains `marker`: at least one.
pub(crate) fn events_about(cluster: &Cluster, marker: &str) -> Vec<Event> {
    wait::until(&format!("an audit event about {marker}"), || {
        let found: Vec<Event> = events(cluster)
            .into_iter()
            .filter(|event| event.request_uri.contains(marker))
            .collect();
        (!found.is_empty()).then_some(found)
    })
}

/// Asserts that every request about `marker` came from the exit's account on behalf of `user` alone.
pub(crate) fn assert_only_user(cluster: &Cluster, marker: &str, user: &str) {
    for event in events_about(cluster, marker) {
        let impersonated = event
            .impersonated_user
            .as_ref()
            .map(|user| user.username.as_str());
        assert_eq!(
            impersonated,
            Some(user),
            "the API server saw someone else: {event:?}"
        );
        assert!(
            event.user.username.contains("gangplank-exit"),
            "the exit acts with its own account: {event:?}"
        );
    }
}

/// The events of an exit in a text that may hold other lines as well, such as its log.
pub(crate) fn trail(text: &str) -> Vec<Value> {
    let events = gangplank::events(text).into_iter();
    events
        .filter(|event| event["target"] == "gangplank::audit")
        .collect()
}

/// The events in a file; none while there is no file.
pub(crate) fn trail_in(file: &Path) -> Vec<Value> {
    trail(&std::fs::read_to_string(file).unwrap_or_default())
}

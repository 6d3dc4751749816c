//! The one condition that all kinds have: `Ready`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Its type.
pub const READY: &str = "Ready";

/// What is to be said about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it does what it says.
    pub ready: bool,
    /// One word in capitals and lower-case letters: for programs.
    pub reason: &'static str,
    /// For people: what is wrong and what to do, or what was made.
    pub message: String,
}

impl Verdict {
    /// It does what it says.
    pub fn ready(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            ready: true,
            reason,
            message: message.into(),
        }
    }

    /// It does not.
    pub fn unready(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            ready: false,
            reason,
            message: message.into(),
        }
    }

    /// The conditions that say so, in place of `before`. The time of the last transition is `now` only when the status
    /// changed.
    pub fn conditions(
        &self,
        before: &[Condition],
        generation: Option<i64>,
        now: &Time,
    ) -> Vec<Condition> {
        let status = if self.ready { "True" } else { "False" };
        let since = before
            .iter()
            .find(|condition| condition.type_ == READY && condition.status == status)
            .map_or_else(|| now.clone(), |same| same.last_transition_time.clone());
        vec![Condition {
            type_: READY.to_owned(),
            status: status.to_owned(),
            reason: self.reason.to_owned(),
            message: self.message.clone(),
            observed_generation: generation,
            last_transition_time: since,
        }]
    }
}

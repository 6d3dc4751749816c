//! What is told who has used up their share.

use std::time::Duration;

use http::StatusCode;

use super::Problem;
use crate::shares::{Limit, TooMany};

impl Problem {
    /// The provider's callers send more than they may.
    pub(crate) fn too_many_requests(which: TooMany) -> Self {
        match which {
            TooMany::OfLate(wait) => Self::too_many_of_late(wait),
            TooMany::AtOnce => Self::too_many_at_once(),
        }
    }

    /// As many requests of theirs are under way as may be. Most that Kubernetes serves are over within a
    /// second, and where they are watches the client asks in vain a few times.
    const fn too_many_at_once() -> Self {
        let mut problem = Self::too_many(
            "TooManyAtOnce",
            (
                "the callers of this certificate's provider have as many requests and watches under way as they may here",
                "end some, or ask who administers this cluster for more",
            ),
        );
        problem.retry_after = Some(1);
        problem
    }

    /// `wait` until there is room for one request.
    fn too_many_of_late(wait: Duration) -> Self {
        let mut problem = Self::too_many(
            "TooManyRequests",
            (
                "the callers of this certificate's provider send more requests than they may here",
                "send fewer, or ask who administers this cluster for more",
            ),
        );
        // Whole seconds, as HTTP wants them; the next one at the earliest.
        problem.retry_after = Some(wait.as_secs().saturating_add(1));
        problem
    }

    /// The provider's callers have as many upgraded connections as they may. They last for hours, so
    /// that trying soon does not help.
    pub(crate) const fn too_many_upgrades() -> Self {
        Self::too_many(
            "TooManyUpgrades",
            (
                "the callers of this certificate's provider have as many execs, attaches and port-forwards open as \
                 they may here",
                "end some, or ask who administers this cluster for more",
            ),
        )
    }

    /// The certificate, or its provider, has as many connections as it may, before this one.
    pub(crate) const fn too_many_connections(limit: Limit) -> Self {
        let (class, texts) = match limit {
            Limit::ProviderConnections => (
                "TooManyProviderConnections",
                (
                    "the callers of this certificate's provider have as many connections open as they may here",
                    "close some, or ask who administers this cluster for more",
                ),
            ),
            _ => (
                "TooManyConnections",
                (
                    "this certificate has as many connections open as it may here",
                    "close some, use a certificate for each program, or ask who administers this cluster for more",
                ),
            ),
        };
        let mut problem = Self::too_many(class, texts);
        problem.closes = true;
        problem
    }

    /// On a connection that is about to end because its caller takes back one request after another.
    pub(crate) const fn too_many_taken_back() -> Self {
        let mut problem = Self::too_many(
            "TooManyTakenBack",
            (
                "one request after another was taken back on this connection before it was answered",
                "connect again, and wait for the answers",
            ),
        );
        problem.closes = true;
        problem
    }

    const fn too_many(class: &'static str, texts: (&'static str, &'static str)) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            class,
            texts,
        )
    }
}

//! What sort of request it is, for what ends when.

use http::Method;

use super::request_info::{Query, RequestInfo};

/// What sort of request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Answered and done.
    Short,
    /// Events until someone ends it.
    Watch,
    /// A log that is followed.
    Log,
    /// exec, attach, port-forward: not HTTP any more.
    Upgrade,
}

impl Kind {
    /// What a request that is not an upgrade is.
    pub(super) fn of(method: &Method, info: &RequestInfo<'_>, query: Query<'_>) -> Self {
        if *method != Method::GET {
            Self::Short
        } else if info.verb == "watch" {
            Self::Watch
        } else if info.subresource == b"log" && query.asks("follow") {
            Self::Log
        } else {
            Self::Short
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Watch => "watch",
            Self::Log => "log",
            Self::Upgrade => "upgrade",
        }
    }

    pub(super) const fn runs_long(self) -> bool {
        !matches!(self, Self::Short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(method: &Method, path: &str, query: Option<&str>) -> Kind {
        let query = Query(query);
        Kind::of(
            method,
            &RequestInfo::of(method, path.as_bytes(), query),
            query,
        )
    }

    #[test]
    fn kinds_are_told_by_path_and_query() {
        for (path, query, kind) in [
            ("/api/v1/pods", None, Kind::Short),
            ("/api/v1/pods", Some("watch"), Kind::Watch),
            ("/api/v1/pods", Some("watch=0"), Kind::Short),
            ("/api/v1/namespaces/watch/pods", None, Kind::Short),
            ("/apis/apps/v1/watch/deployments", None, Kind::Watch),
            (
                "/api/v1/namespaces/a/services/s/proxy/x",
                Some("watch=1"),
                Kind::Short,
            ),
            ("/api/v1/pods", Some("watch=true"), Kind::Watch),
            ("/api/v1/pods", Some("limit=5&watch=1&x"), Kind::Watch),
            ("/api/v1/pods", Some("watch=false"), Kind::Short),
            ("/api/v1/watch/pods", None, Kind::Watch),
            ("/api/v1/namespaces/a/pods/watchdog", None, Kind::Short),
            (
                "/api/v1/namespaces/a/pods/p/log",
                Some("follow=true"),
                Kind::Log,
            ),
            ("/api/v1/namespaces/a/pods/p/log", None, Kind::Short),
            // kube-apiserver answers with the object.
            ("/api/v1/namespaces/a/pods/p", Some("watch=1"), Kind::Short),
            ("/elsewhere", Some("watch=1"), Kind::Short),
        ] {
            assert_eq!(kind_of(&Method::GET, path, query), kind, "{path} {query:?}");
        }
        assert_eq!(
            kind_of(&Method::POST, "/api/v1/pods", Some("watch=1")),
            Kind::Short
        );
    }
}

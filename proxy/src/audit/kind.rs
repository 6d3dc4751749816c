//! What sort of request it is, for what ends when.

use http::Method;

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
    pub(crate) fn of(method: &Method, path: &str, query: Option<&str>) -> Self {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        // What a proxied service makes of its query is its own affair.
        if method != Method::GET || segments.contains(&"proxy") {
            return Self::Short;
        }
        if asks(query, "watch") || is_watch_path(&segments) {
            Self::Watch
        } else if segments.last() == Some(&"log") && asks(query, "follow") {
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

/// Whether the query asks for `name`, by kube-apiserver's reading: anything but 0 and false.
fn asks(query: Option<&str>, name: &str) -> bool {
    query.unwrap_or_default().split('&').any(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        key == name && value != "0" && !value.eq_ignore_ascii_case("false")
    })
}

/// The deprecated form: `/api/v1/watch/…`, `/apis/GROUP/VERSION/watch/…`.
fn is_watch_path(segments: &[&str]) -> bool {
    matches!(
        segments,
        ["api", _, "watch", ..] | ["apis", _, _, "watch", ..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert_eq!(
                Kind::of(&Method::GET, path, query),
                kind,
                "{path} {query:?}"
            );
        }
        assert_eq!(
            Kind::of(&Method::POST, "/api/v1/pods", Some("watch=1")),
            Kind::Short
        );
    }
}

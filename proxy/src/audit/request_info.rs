//! What a request is in Kubernetes' words: verb, resource, namespace, name.
//!
//! The reading is kube-apiserver's (`k8s.io/apiserver/pkg/endpoints/request`, `RequestInfo`), so that an
//! event here and the API server's own event of the same request say the same. Nothing is decided by it
//! that is about rights.

mod query;

use std::borrow::Cow;

use http::Method;

pub(super) use self::query::Query;

/// A name in the parts of a path, as it is written there once percent-encoding is undone.
type Part<'p> = &'p [u8];

/// How many parts of a path say something: prefix, group, version, `watch`, `namespaces`, the namespace,
/// resource, name, subresource. What follows is the subresource's own affair.
const MOST_PARTS: usize = 9;

/// A request in Kubernetes' words. What does not apply is empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RequestInfo<'p> {
    pub(super) verb: Cow<'static, str>,
    pub(super) api_group: Part<'p>,
    pub(super) api_version: Part<'p>,
    pub(super) resource: Part<'p>,
    pub(super) subresource: Part<'p>,
    pub(super) namespace: Part<'p>,
    pub(super) name: Cow<'p, [u8]>,
}

impl<'p> RequestInfo<'p> {
    /// Reads a request. `path` has its percent-encoding undone.
    pub(super) fn of(method: &Method, path: Part<'p>, query: Query<'_>) -> Self {
        let mut first = [Part::default(); MOST_PARTS];
        let parts = split(path, &mut first);
        Self::of_resource(method, parts, query).unwrap_or_else(|| Self {
            verb: lower_case(method),
            ..Self::default()
        })
    }

    fn of_resource(method: &Method, parts: &[Part<'p>], query: Query<'_>) -> Option<Self> {
        let (api_group, api_version, parts) = match parts {
            [b"api", version, parts @ ..] => (Part::default(), *version, parts),
            [b"apis", group, version, parts @ ..] => (*group, *version, parts),
            _ => return None,
        };
        let (special, parts) = match parts {
            [] => return None,
            [b"watch", parts @ ..] => (Some("watch"), parts),
            [b"proxy", parts @ ..] => (Some("proxy"), parts),
            parts => (None, parts),
        };
        let api = Self {
            api_group,
            api_version,
            ..Self::default()
        };
        if parts.is_empty() {
            // kube-apiserver answers with an error of its own.
            return Some(Self {
                verb: lower_case(method),
                ..api
            });
        }
        let (namespace, parts) = of_namespace(parts);
        let mut info = Self {
            verb: special.unwrap_or_else(|| verb_of(method)).into(),
            namespace,
            ..api
        };
        if let [resource, rest @ ..] = parts {
            info.resource = resource;
            if let [name, rest @ ..] = rest {
                info.name = Cow::Borrowed(name);
                if let ([subresource, ..], true) = (rest, info.verb != "proxy") {
                    info.subresource = subresource;
                }
            }
        }
        if info.name.is_empty() {
            info.read_collection(query);
        }
        Some(info)
    }

    /// Whether the API server hands it on, to a pod, a service or a node, whose answer it passes back.
    pub(super) fn is_handed_on(&self) -> bool {
        self.verb == "proxy" || self.subresource == b"proxy"
    }

    /// Without a name in the path it is about a collection.
    fn read_collection(&mut self, query: Query<'_>) {
        match &*self.verb {
            "get" => {
                self.verb = if query.asks("watch") { "watch" } else { "list" }.into();
                if let Some(name) = query.selected_name() {
                    self.name = Cow::Owned(name);
                }
            }
            "delete" => self.verb = "deletecollection".into(),
            _ => {}
        }
    }
}

/// Verb and name of a request as its event has them; see the module above.
pub fn words_of(method: &str, target: &str) -> Option<(String, Vec<u8>)> {
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let path = decoded(path);
    let info = RequestInfo::of(&method, &path, Query(query));
    Some((info.verb.into_owned(), info.name.into_owned()))
}

/// The namespace, and the parts from the resource on. `namespaces/NAME` alone, or with a subresource of
/// its own behind it, is about the namespace as a resource.
fn of_namespace<'a, 'p>(parts: &'a [Part<'p>]) -> (Part<'p>, &'a [Part<'p>]) {
    match parts {
        [b"namespaces", namespace, b"status" | b"finalize", ..] => (namespace, parts),
        [b"namespaces", namespace, inside @ ..] if !inside.is_empty() => (namespace, inside),
        [b"namespaces", namespace] => (namespace, parts),
        _ => (b"", parts),
    }
}

fn verb_of(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

fn lower_case(method: &Method) -> Cow<'static, str> {
    match *method {
        Method::GET => "get".into(),
        Method::POST => "post".into(),
        _ => method.as_str().to_ascii_lowercase().into(),
    }
}

/// The first parts of a path between its slashes; those at its ends do not count.
fn split<'a, 'p>(path: Part<'p>, first: &'a mut [Part<'p>; MOST_PARTS]) -> &'a [Part<'p>] {
    let start = path.iter().position(|byte| *byte != b'/');
    let Some(inside) = start.and_then(|start| path.get(start..)) else {
        return &[];
    };
    let end = inside.iter().rposition(|byte| *byte != b'/').unwrap_or(0);
    let inside = inside.get(..=end).unwrap_or(inside);
    let mut count = 0;
    for (place, part) in first.iter_mut().zip(inside.split(|byte| *byte == b'/')) {
        *place = part;
        count += 1;
    }
    first.get(..count).unwrap_or_default()
}

/// A path as kube-apiserver has it: with its percent-encoding undone. What is encoded wrongly stays as it
/// is; kube-apiserver does not read it at all.
pub(super) fn decoded(path: &str) -> Cow<'_, [u8]> {
    query::unescape(path.as_bytes(), query::Plus::IsPlus).unwrap_or(Cow::Borrowed(path.as_bytes()))
}

#[cfg(test)]
mod tests;

//! A request in the form it leaves the proxy: for exactly one user, with exactly one credential, to
//! exactly one server.
//!
//! This is the last look before the wire. The callers' side has already taken out and put in what
//! belongs there; here a request that does not say what it must is an error, never repaired.

use gangplank_pki::Identity;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::error::UpstreamError;
use crate::body::RequestBody;
use crate::nested::Grant;

const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");
const IMPERSONATE_GROUP: HeaderName = HeaderName::from_static("impersonate-group");

/// How the names of headers begin in which Kubernetes looks for someone's identity.
const IDENTITY_PREFIXES: [&str; 2] = ["impersonate-", "x-remote-"];

/// In whose name a request is sent.
#[derive(Clone, Copy, Debug)]
pub struct OnBehalf<'a> {
    caller: &'a Identity,
    nested: Option<&'a Grant>,
}

impl<'a> OnBehalf<'a> {
    /// In the caller's own.
    pub const fn caller(caller: &'a Identity) -> Self {
        Self {
            caller,
            nested: None,
        }
    }

    /// In that of someone whom this caller was granted to act as.
    pub const fn nested(caller: &'a Identity, grant: &'a Grant) -> Self {
        Self {
            caller,
            nested: Some(grant),
        }
    }
}

/// A request that has passed every check and carries the proxy's credential.
#[derive(Debug)]
pub(super) struct Outgoing {
    head: Head,
    body: RequestBody,
}

/// The same without its body.
#[derive(Debug)]
pub(super) struct Head {
    parts: Parts,
    target: PathAndQuery,
}

impl Outgoing {
    /// # Errors
    /// When the head announces a body that is not there: over HTTP/1.1 the server would take the next
    /// request, which may be someone else's, for it (RFC 9112 §11.2).
    pub(super) fn new(head: Head, body: RequestBody) -> Result<Self, UpstreamError> {
        let headers = &head.parts.headers;
        let announced = headers.contains_key(TRANSFER_ENCODING)
            || headers
                .get_all(CONTENT_LENGTH)
                .iter()
                .any(|length| length != "0");
        if announced && body.certainly_empty() {
            return Err(UpstreamError::Target("it announces a body and has none"));
        }
        Ok(Self { head, body })
    }

    /// Whether it certainly has no body.
    pub(super) fn is_empty(&self) -> bool {
        self.body.certainly_empty()
    }

    /// Whether it only reads: it can then be asked again without harm.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.head.parts.method, Method::GET | Method::HEAD) && self.is_empty()
    }

    /// The request for an HTTP/2 connection, addressed by `:scheme`, `:authority` and `:path`.
    pub(super) fn into_http2(
        self,
        authority: &Authority,
    ) -> Result<Request<RequestBody>, UpstreamError> {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTPS);
        uri.authority = Some(authority.clone());
        uri.path_and_query = Some(self.head.target);
        let uri = Uri::from_parts(uri)
            .map_err(|_invalid| UpstreamError::Target("it is not a path with a query"))?;
        let mut parts = self.head.parts;
        parts.uri = uri;
        parts.version = Version::HTTP_2;
        Ok(Request::from_parts(parts, self.body))
    }

    /// The request for an HTTP/1.1 connection, addressed by its line and `Host`.
    pub(super) fn into_http1(
        self,
        authority: &Authority,
    ) -> Result<Request<RequestBody>, UpstreamError> {
        let (mut parts, body) = (self.head.into_http1(authority)?, self.body);
        // Where no length is announced hyper leaves out the body of a GET, unless it is told of it.
        if !body.certainly_empty() && !parts.headers.contains_key(CONTENT_LENGTH) {
            let chunked = HeaderValue::from_static("chunked");
            parts.headers.insert(TRANSFER_ENCODING, chunked);
        }
        Ok(Request::from_parts(parts, body))
    }

    /// The request back from a connection that certainly did not send it.
    pub(super) fn from_unsent(request: Request<RequestBody>) -> Self {
        let (mut parts, body) = request.into_parts();
        let uri = std::mem::take(&mut parts.uri).into_parts();
        let target = uri
            .path_and_query
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        parts.headers.remove(HOST);
        parts.headers.remove(TRANSFER_ENCODING);
        Self {
            head: Head { parts, target },
            body,
        }
    }
}

impl Head {
    /// Checks what the callers' side made, and adds the credential.
    pub(super) fn new(
        who: OnBehalf<'_>,
        parts: Parts,
        authorization: Option<HeaderValue>,
    ) -> Result<Self, UpstreamError> {
        let head = Self::with_credential(parts, authorization)?;
        check_identity(who, &head.parts.headers)?;
        Ok(head)
    }

    /// The head of a request of the exit's own, which is in nobody's name.
    pub(super) fn of_own_request(
        parts: Parts,
        authorization: Option<HeaderValue>,
    ) -> Result<Self, UpstreamError> {
        let head = Self::with_credential(parts, authorization)?;
        if head.parts.headers.keys().any(is_about_identity) {
            let what = "a user in the exit's own request";
            return Err(UpstreamError::IdentityHeaders(what));
        }
        Ok(head)
    }

    fn with_credential(
        mut parts: Parts,
        authorization: Option<HeaderValue>,
    ) -> Result<Self, UpstreamError> {
        if parts.method == Method::CONNECT {
            return Err(UpstreamError::Target("CONNECT would make a tunnel of it"));
        }
        let target = std::mem::take(&mut parts.uri)
            .into_parts()
            .path_and_query
            .ok_or(UpstreamError::Target("it has no path"))?;
        // What the callers' side noted on the request is not for the connection's HTTP layer to find.
        parts.extensions.clear();
        parts.headers.remove(HOST);
        parts.headers.remove(AUTHORIZATION);
        if let Some(authorization) = authorization {
            parts.headers.insert(AUTHORIZATION, authorization);
        }
        Ok(Self { parts, target })
    }

    /// The head for an HTTP/1.1 connection.
    pub(super) fn into_http1(self, authority: &Authority) -> Result<Parts, UpstreamError> {
        let mut parts = self.parts;
        parts.uri = Uri::from(self.target);
        parts.version = Version::HTTP_11;
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_invalid| UpstreamError::Target("the configured server is not a name"))?;
        parts.headers.insert(HOST, host);
        Ok(parts)
    }

    /// The one protocol to upgrade to; the head is made to ask for it properly.
    pub(super) fn upgrade_protocol(&mut self) -> Result<HeaderValue, UpstreamError> {
        let mut offered = self.parts.headers.get_all(UPGRADE).iter();
        let (Some(protocol), None) = (offered.next().cloned(), offered.next()) else {
            return Err(UpstreamError::Target(
                "an upgrade names exactly one protocol",
            ));
        };
        let headers = &mut self.parts.headers;
        let length = headers.remove(CONTENT_LENGTH);
        if headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0") {
            return Err(UpstreamError::Target("an upgrade has no body"));
        }
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        Ok(protocol)
    }
}

/// Exactly one `Impersonate-User`, and nothing else in which the API server could see an identity but what
/// belongs to that one.
fn check_identity(who: OnBehalf<'_>, headers: &HeaderMap) -> Result<(), UpstreamError> {
    let mut users = headers.get_all(IMPERSONATE_USER).iter();
    let (Some(user), None) = (users.next(), users.next()) else {
        return Err(UpstreamError::IdentityHeaders("not exactly one user"));
    };
    match who.nested {
        None => check_caller(who.caller, user, headers),
        Some(grant) => check_grant(who.caller, grant, user, headers),
    }
}

/// The caller's own name, and only groups that the caller has.
fn check_caller(
    caller: &Identity,
    user: &HeaderValue,
    headers: &HeaderMap,
) -> Result<(), UpstreamError> {
    if user.as_bytes() != caller.username().as_bytes() {
        return Err(UpstreamError::IdentityHeaders("another user"));
    }
    for group in headers.get_all(IMPERSONATE_GROUP) {
        if !caller
            .groups()
            .iter()
            .any(|own| own.as_bytes() == group.as_bytes())
        {
            return Err(UpstreamError::IdentityHeaders(
                "a group that the caller does not have",
            ));
        }
    }
    let foreign = |name: &HeaderName| {
        name != IMPERSONATE_USER && name != IMPERSONATE_GROUP && is_about_identity(name)
    };
    if headers.keys().any(foreign) {
        return Err(UpstreamError::IdentityHeaders(
            "an identity header of the caller",
        ));
    }
    Ok(())
}

/// Exactly what was granted to this caller, who is named.
fn check_grant(
    caller: &Identity,
    grant: &Grant,
    user: &HeaderValue,
    headers: &HeaderMap,
) -> Result<(), UpstreamError> {
    if grant.original() != caller.username() {
        return Err(UpstreamError::IdentityHeaders("a grant to someone else"));
    }
    if user.as_bytes() != grant.user().as_bytes() {
        return Err(UpstreamError::IdentityHeaders("another user"));
    }
    let granted = grant.lines_beside_user();
    let said = headers.iter().filter(|(name, _)| is_about_identity(name));
    // The user's line was looked at.
    let is_complete = said.count() == granted.len().saturating_add(1);
    let mut lines = granted.iter();
    let is_as_granted = lines.all(|(name, _)| {
        let expected = granted.iter().filter(|(other, _)| other == name);
        let expected = expected.map(|(_, value)| value.as_bytes());
        headers
            .get_all(name)
            .iter()
            .map(HeaderValue::as_bytes)
            .eq(expected)
    });
    if is_complete && is_as_granted {
        return Ok(());
    }
    Err(UpstreamError::IdentityHeaders(
        "something that was not granted",
    ))
}

fn is_about_identity(name: &HeaderName) -> bool {
    IDENTITY_PREFIXES
        .iter()
        .any(|prefix| name.as_str().starts_with(prefix))
}

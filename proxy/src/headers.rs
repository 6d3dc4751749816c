//! What of a request's headers goes to the API server, and what of a response's comes back.
//!
//! [`upstream`] is the only place where the headers of a forwarded request are made, for plain
//! requests and for upgrades alike. It starts from nothing and takes over what may pass, so that a
//! header that nobody thought of cannot arrive under a name that means something there. The
//! credential and `Host` are not its affair: the upstream client sets both last.

use gangplank_pki::Identity;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use crate::nested::Grant;
use crate::upgrade::Protocol;

/// The id that joins our audit trail with the API server's.
pub(crate) const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");
const IMPERSONATE_GROUP: HeaderName = HeaderName::from_static("impersonate-group");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const SEC_WEBSOCKET_PROTOCOL: HeaderName = HeaderName::from_static("sec-websocket-protocol");

/// Kubernetes reads headers that begin so as orders to act as someone else.
const IMPERSONATE: &str = "impersonate-";

/// The WebSocket subprotocol that carries a bearer token where a browser cannot set `Authorization`
/// (kube-apiserver, `authentication/request/websocket`).
const BEARER_SUBPROTOCOL: &[u8] = b"base64url.bearer.authorization.k8s.io.";

/// Beginnings of names by which a server believes a proxy in front of it: who the user is
/// (`X-Remote-User`, `-Group`, `-Uid`, `-Extra-…`), where the connection came from, and everything
/// that is meant for a proxy.
const DROPPED_BEGINNINGS: [&str; 3] = ["x-remote-", "x-forwarded-", "proxy-"];

/// Single names that never pass.
fn is_dropped(name: &HeaderName) -> bool {
    const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
    const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
    [
        AUTHORIZATION,
        AUDIT_ID,
        FORWARDED,
        X_REAL_IP,
        HOST,
        EXPECT,
        HTTP2_SETTINGS,
    ]
    .contains(name)
        || is_hop_by_hop(name)
        || DROPPED_BEGINNINGS
            .iter()
            .any(|beginning| name.as_str().starts_with(beginning))
}

/// Headers about one connection only (RFC 9110 §7.6.1).
fn is_hop_by_hop(name: &HeaderName) -> bool {
    const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
    [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ]
    .contains(name)
}

/// Why a request's headers cannot be forwarded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderFault {
    /// The caller asks to be taken for someone else.
    #[error("the request asks to impersonate ({name})")]
    Impersonation {
        /// The header that says so.
        name: HeaderName,
    },
    /// An identity that no header can carry; nothing must be forwarded then.
    #[error("the username or a group cannot be written into a header")]
    Identity,
    /// More headers than a header map can hold.
    #[error("the request has more headers than can be forwarded")]
    TooMany,
}

impl HeaderFault {
    /// The variant's name, for metrics and answers.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Impersonation { .. } => "Impersonation",
            Self::Identity => "Identity",
            Self::TooMany => "TooMany",
        }
    }
}

/// Who a connection's requests are made as, written into header values once.
#[derive(Clone, Debug)]
pub struct Impersonation {
    user: HeaderValue,
    groups: Vec<HeaderValue>,
    /// What else was granted to a caller who asked to be someone else.
    granted: Option<Vec<(HeaderName, HeaderValue)>>,
}

impl Impersonation {
    /// The headers for this identity.
    ///
    /// # Errors
    /// [`HeaderFault::Identity`] when the username or a group is empty or holds what a header value
    /// must not hold, or what a reader would trim.
    pub fn of(identity: &Identity) -> Result<Self, HeaderFault> {
        Self::from_names(identity.username(), identity.groups())
    }

    /// The user.
    pub(crate) const fn user(&self) -> &HeaderValue {
        &self.user
    }

    fn from_names<G: AsRef<str>>(username: &str, groups: &[G]) -> Result<Self, HeaderFault> {
        let groups = groups.iter().map(|group| identity_value(group.as_ref()));
        Ok(Self {
            user: identity_value(username)?,
            groups: groups.collect::<Result<_, _>>()?,
            granted: None,
        })
    }

    /// The headers for whom a caller was granted to act as, and for who asked.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub(crate) fn of_grant(grant: &Grant) -> Result<Self, HeaderFault> {
        let lines = grant.lines_beside_user().into_iter();
        let lines = lines.map(|(name, value)| {
            let name = HeaderName::try_from(name).ok();
            Ok((name.ok_or(HeaderFault::Identity)?, identity_value(value)?))
        });
        Ok(Self {
            user: identity_value(grant.user())?,
            groups: Vec::new(),
            granted: Some(lines.collect::<Result<_, _>>()?),
        })
    }
}

fn identity_value(text: &str) -> Result<HeaderValue, HeaderFault> {
    if text.is_empty() || text.trim().len() != text.len() {
        return Err(HeaderFault::Identity);
    }
    // The error holds the text of the value, which is not for the log.
    HeaderValue::from_bytes(text.as_bytes())
        .ok()
        .ok_or(HeaderFault::Identity)
}

/// The headers of a forwarded request: what may pass of the caller's, and who they are.
///
/// A caller who asks to be taken for someone else is refused, unless `impersonation` is what that caller was
/// granted. With `protocol` the request is an upgrade and says so; without, it is plain whatever the caller
/// wrote into `Upgrade`.
///
/// # Errors
/// [`HeaderFault`]; nothing must be forwarded then.
pub fn upstream(
    caller: &HeaderMap,
    impersonation: &Impersonation,
    request: Uuid,
    protocol: Option<Protocol>,
) -> Result<HeaderMap, HeaderFault> {
    let granted = impersonation.granted.as_deref();
    if granted.is_none()
        && let Some(name) = caller.keys().find(|name| asks_to_impersonate(name))
    {
        return Err(HeaderFault::Impersonation { name: name.clone() });
    }
    let granted = granted.unwrap_or_default();
    let room = caller.len() + impersonation.groups.len() + granted.len() + 4;
    let mut headers = HeaderMap::try_with_capacity(room)
        .ok()
        .ok_or(HeaderFault::TooMany)?;
    let named_in_connection = connection_options(caller);
    for (name, value) in caller {
        if is_dropped(name) || !is_plain(name) || lists(&named_in_connection, name) {
            continue;
        }
        // What was granted is written anew below, as it was reviewed.
        if asks_to_impersonate(name) {
            continue;
        }
        if *name == COOKIE || *name == SEC_WEBSOCKET_PROTOCOL {
            continue;
        }
        append(&mut headers, name.clone(), value.clone())?;
    }
    if !lists(&named_in_connection, &COOKIE)
        && let Some(cookie) = joined_cookie(caller)
    {
        append(&mut headers, COOKIE, cookie)?;
    }
    if !lists(&named_in_connection, &SEC_WEBSOCKET_PROTOCOL) {
        for value in subprotocols_without_tokens(caller) {
            append(&mut headers, SEC_WEBSOCKET_PROTOCOL, value)?;
        }
    }
    append(&mut headers, IMPERSONATE_USER, impersonation.user.clone())?;
    for group in &impersonation.groups {
        append(&mut headers, IMPERSONATE_GROUP, group.clone())?;
    }
    for (name, value) in granted {
        append(&mut headers, name.clone(), value.clone())?;
    }
    append(&mut headers, AUDIT_ID, audit_id(request))?;
    if let Some(protocol) = protocol {
        append(
            &mut headers,
            CONNECTION,
            HeaderValue::from_static("Upgrade"),
        )?;
        append(
            &mut headers,
            UPGRADE,
            HeaderValue::from_static(protocol.name()),
        )?;
    }
    Ok(headers)
}

fn asks_to_impersonate(name: &HeaderName) -> bool {
    name.as_str().starts_with(IMPERSONATE)
}

/// Takes from a response's headers what is about the upstream connection only.
///
/// Beside `Transfer-Encoding` a length says nothing (RFC 9112 §6.3), and passed on alone it would cut the
/// answer where it says.
pub fn strip_response(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    if headers.contains_key(CONNECTION) {
        let options: Vec<HeaderName> = connection_options(headers)
            .into_iter()
            .filter_map(|option| HeaderName::try_from(option).ok())
            .collect();
        for option in options {
            headers.remove(option);
        }
    }
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        PROXY_AUTHENTICATE,
    ] {
        headers.remove(name);
    }
    headers.remove("proxy-connection");
}

/// Whether `Connection` names `option`.
pub(crate) fn connection_has(headers: &HeaderMap, option: &str) -> bool {
    connection_options(headers)
        .iter()
        .any(|it| it.eq_ignore_ascii_case(option.as_bytes()))
}

/// What `Connection` lists, as it is written.
fn connection_options(headers: &HeaderMap) -> Vec<&[u8]> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|option| !option.is_empty())
        .collect()
}

/// Whether one of `options` is this header's name.
fn lists(options: &[&[u8]], name: &HeaderName) -> bool {
    options
        .iter()
        .any(|option| option.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Some programs read `_` as `-`, so `X_Remote_User` would become what was dropped as
/// `X-Remote-User`. Only names that every program reads alike pass.
fn is_plain(name: &HeaderName) -> bool {
    name.as_str()
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn append(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: HeaderValue,
) -> Result<(), HeaderFault> {
    match headers.try_append(name, value) {
        Ok(_) => Ok(()),
        Err(_) => Err(HeaderFault::TooMany),
    }
}

/// HTTP/2 lets a client cut its cookie at each `;` (RFC 9113 §8.2.3); HTTP/1.1 knows one line only.
fn joined_cookie(caller: &HeaderMap) -> Option<HeaderValue> {
    let mut crumbs = caller.get_all(COOKIE).iter();
    let first = crumbs.next()?;
    let mut joined = first.as_bytes().to_vec();
    for crumb in crumbs {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)).ok()
}

/// The subprotocols that the caller offers, but for those that are a bearer token.
fn subprotocols_without_tokens(caller: &HeaderMap) -> Vec<HeaderValue> {
    caller
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| {
            let kept: Vec<&[u8]> = value
                .as_bytes()
                .split(|byte| *byte == b',')
                .map(<[u8]>::trim_ascii)
                .filter(|offer| !offer.is_empty() && !is_bearer_token(offer))
                .collect();
            if kept.is_empty() {
                return None;
            }
            HeaderValue::from_bytes(&kept.join(&b", "[..])).ok()
        })
        .collect()
}

fn is_bearer_token(offer: &[u8]) -> bool {
    offer
        .get(..BEARER_SUBPROTOCOL.len())
        .is_some_and(|beginning| beginning.eq_ignore_ascii_case(BEARER_SUBPROTOCOL))
}

fn audit_id(request: Uuid) -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    // A UUID is hexadecimal digits and hyphens: this cannot fail, and an empty id would be harmless.
    HeaderValue::from_str(request.hyphenated().encode_lower(&mut buffer))
        .unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests;

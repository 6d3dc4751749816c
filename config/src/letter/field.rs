//! The single values of a letter: what may stand in each of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gangplank_pki::{TrustAnchor, TunnelName};
use rustls_pki_types::CertificateDer;

use crate::scalar::{HostPort, quoted};

/// Most certificates: an authority, its successor, and room for an organisation with several.
const MOST_CERTIFICATES: usize = 8;

/// Most roles: an object of Kubernetes takes 64, a person compares a few.
const MOST_ROLES: usize = 16;

/// A value that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}; {remedy}")]
pub struct FieldFault {
    field: &'static str,
    message: String,
    remedy: &'static str,
}

impl FieldFault {
    fn new(field: &'static str, message: String, remedy: &'static str) -> Self {
        Self {
            field,
            message,
            remedy,
        }
    }
}

/// A cluster's name.
pub(super) fn cluster(field: &'static str, written: &str) -> Result<TunnelName, FieldFault> {
    TunnelName::parse(written).map_err(|fault| {
        FieldFault::new(
            field,
            format!("{}: {fault}", quoted(written)),
            "write `<cluster>.<account>`",
        )
    })
}

/// A namespace (RFC 1123 label).
///
/// # Errors
/// When it is none.
pub fn namespace(written: &str) -> Result<String, FieldFault> {
    if is_label(written) {
        return Ok(written.to_owned());
    }
    let message = format!("{} is no namespace", quoted(written));
    let remedy = "use at most 63 lower-case letters, digits and hyphens";
    Err(FieldFault::new("namespace", message, remedy))
}

/// The name of an Identity (RFC 1123 subdomain).
///
/// # Errors
/// When it is none.
pub fn object_name(written: &str) -> Result<String, FieldFault> {
    if written.len() <= 253 && written.split('.').all(is_label) {
        return Ok(written.to_owned());
    }
    let message = format!("{} is no object's name", quoted(written));
    let remedy = "use lower-case letters, digits, hyphens and dots";
    Err(FieldFault::new("name", message, remedy))
}

/// The name of a ClusterRole, as RBAC takes it (a path segment).
///
/// # Errors
/// When it is none.
pub fn role(written: &str) -> Result<String, FieldFault> {
    let is_word =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    let fits = (1..=253).contains(&written.len())
        && written.bytes().all(is_word)
        && !matches!(written, "." | "..");
    if fits {
        return Ok(written.to_owned());
    }
    let message = format!("{} is no ClusterRole's name", quoted(written));
    Err(FieldFault::new("role", message, "write one such as `edit`"))
}

/// Roles: some, each once, sorted.
pub(super) fn roles(written: &[String]) -> Result<Vec<String>, FieldFault> {
    let mut roles: Vec<String> = written
        .iter()
        .map(|name| role(name))
        .collect::<Result<_, _>>()?;
    roles.sort();
    roles.dedup();
    if (1..=MOST_ROLES).contains(&roles.len()) {
        return Ok(roles);
    }
    let message = format!("{} roles", roles.len());
    Err(FieldFault::new(
        "role",
        message,
        "offer one role, and 16 at most",
    ))
}

/// The address of a cluster's API: `https://`, a host, and a port if it is not 443.
///
/// # Errors
/// When it is none, or has more to it.
pub fn server(written: &str) -> Result<String, FieldFault> {
    let remedy = "write `https://HOST` or `https://HOST:PORT`";
    let refuse = |why: String| FieldFault::new("server", why, remedy);
    let rest = written
        .strip_prefix("https://")
        .ok_or_else(|| refuse(format!("{} is not an https:// address", quoted(written))))?;
    if rest.contains(['/', '?', '#', '@']) {
        return Err(refuse(format!(
            "{} has more than host and port",
            quoted(written)
        )));
    }
    let has_port = rest
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.contains(']'));
    let address = if has_port {
        HostPort::parse(rest)
    } else {
        HostPort::from_parts(rest, 443)
    };
    address.map_err(|complaint| refuse(complaint.message))?;
    Ok(written.to_owned())
}

/// Authorities: some, each a certificate that may be trusted.
pub(super) fn authorities(written: &[String]) -> Result<Vec<TrustAnchor>, FieldFault> {
    let decoded = written.iter().map(|certificate| {
        let der = STANDARD.decode(certificate).map_err(|_not_base64| {
            let message = "a certificate is not base64".to_owned();
            FieldFault::new("certificates", message, "have it made anew")
        })?;
        TrustAnchor::parse(CertificateDer::from(der)).map_err(|fault| {
            let remedy = "give the certificate of an authority";
            FieldFault::new("certificates", fault.to_string(), remedy)
        })
    });
    checked(decoded.collect::<Result<_, _>>()?)
}

/// Authorities: not none, not too many, each once.
pub(super) fn checked(mut anchors: Vec<TrustAnchor>) -> Result<Vec<TrustAnchor>, FieldFault> {
    let mut seen = Vec::new();
    anchors.retain(|anchor| {
        let new = !seen.contains(&anchor.fingerprint());
        seen.push(anchor.fingerprint());
        new
    });
    if (1..=MOST_CERTIFICATES).contains(&anchors.len()) {
        return Ok(anchors);
    }
    let message = format!("{} certificates", anchors.len());
    let remedy = "give the certificate of the authority, and 8 at most";
    Err(FieldFault::new("certificates", message, remedy))
}

/// Authorities as they are written.
pub(super) fn encoded(anchors: &[TrustAnchor]) -> Vec<String> {
    anchors
        .iter()
        .map(|anchor| STANDARD.encode(anchor.der()))
        .collect()
}

fn is_label(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| is_word(byte) || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

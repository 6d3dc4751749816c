//! The form of a URI that names a workload.
//!
//! Source: "The SPIFFE Identity and Verifiable Identity Document", §2.1 to §2.3: a path of segments
//! that are not empty, not `.` or `..`, of letters, digits, `.`, `-` and `_`, and never
//! percent-encoded; at most 2048 bytes in all. The scheme is not required to be `spiffe`.

/// Longest URI, in bytes (§2.3).
pub(crate) const LONGEST: usize = 2048;

/// Is this `scheme://authority/segment/segment…` by the rules above?
pub(crate) fn is_identity(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return false;
    };
    let Some((authority, path)) = rest.split_once('/') else {
        return false;
    };
    uri.len() <= LONGEST
        && is_scheme(scheme)
        && !authority.is_empty()
        && authority.bytes().all(is_in_authority)
        && path.split('/').all(is_segment)
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'))
}

fn is_in_authority(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_')
}

fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

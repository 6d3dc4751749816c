//! Base64 as Kubernetes objects and kubeconfigs carry it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::scalar::Complaint;

/// Decodes base64, broken into lines or not.
///
/// # Errors
/// When it is not base64; the text is never quoted, since it may be a key.
pub(crate) fn base64(key: &str, written: &str) -> Result<Vec<u8>, Complaint> {
    let refuse = |reason, message: String, remedy: &str| {
        Err(Complaint {
            reason,
            message,
            remedy: remedy.to_owned(),
        })
    };
    if written.trim_start().starts_with("-----BEGIN") {
        let message = format!("`{key}` is PEM text, but must be its base64 encoding");
        return refuse(
            "NotBase64",
            message,
            "encode it once more: `base64 -w0 < FILE`",
        );
    }
    let packed: String = written
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .collect();
    STANDARD.decode(packed.as_bytes()).or_else(|error| {
        let message = format!("`{key}` is not base64: {}", position(&error));
        refuse(
            "NotBase64",
            message,
            "copy it whole, or encode it anew: `base64 -w0 < FILE`",
        )
    })
}

/// Where decoding stopped; the library's own message would tell the offending byte.
fn position(error: &base64::DecodeError) -> String {
    use base64::DecodeError as Error;
    match error {
        Error::InvalidByte(offset, _) | Error::InvalidLastSymbol { offset, .. } => {
            format!("character {} cannot stand there", offset.saturating_add(1))
        }
        _ => "it is cut off, or its padding is wrong".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_faults_do_not_quote() {
        assert_eq!(base64("k", "aGVs\n bG8=\n").unwrap(), b"hello");
        for written in [
            "aGVsbG8",
            "aGVs*G8=",
            "-----BEGIN CERTIFICATE-----",
            "aGVsbG9=",
        ] {
            let complaint = base64("k", written).unwrap_err();
            assert_eq!(complaint.reason, "NotBase64", "{written}");
            assert!(!complaint.message.contains(written) && !complaint.message.contains('*'));
        }
    }
}

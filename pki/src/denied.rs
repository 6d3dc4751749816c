//! Certificates that are refused here, whatever their authority says.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::fingerprint::{Fingerprint, FingerprintFault};
use crate::serial::{Serial, SerialFault};

const SERIAL: &str = "serial:";
const FINGERPRINT: &str = "sha256:";

/// One certificate of a provider that is denied, as its administrator found it: in a log, which has
/// fingerprint and serial number, or with openssl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Denied {
    /// Every certificate with this serial number below the provider's CAs.
    Serial(Serial),
    /// The certificate with this SHA-256, be it a caller's, an intermediate, or a CA.
    Certificate(Fingerprint),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(serial) => write!(f, "{SERIAL}{serial}"),
            Self::Certificate(fingerprint) => fingerprint.fmt(f),
        }
    }
}

impl FromStr for Denied {
    type Err = DeniedFault;

    /// Reads `sha256:` or `serial:` and hexadecimal digits; colons between bytes are tolerated.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(serial) = text.strip_prefix(SERIAL) {
            return Ok(Self::Serial(serial.parse()?));
        }
        if text.starts_with(FINGERPRINT) {
            return Ok(Self::Certificate(text.parse()?));
        }
        Err(DeniedFault::Kind)
    }
}

/// What is wrong with what names a denied certificate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeniedFault {
    /// Neither of the two kinds.
    #[error("it begins neither with `sha256:` nor with `serial:`")]
    Kind,
    /// `serial:` and something else.
    #[error(transparent)]
    Serial(#[from] SerialFault),
    /// `sha256:` and something else.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintFault),
}

impl DeniedFault {
    /// The kind of fault, for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Kind => "DeniedKind",
            Self::Serial(_) => "DeniedSerial",
            Self::Fingerprint(_) => "DeniedFingerprint",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_reads_what_it_writes_and_nothing_else() {
        let digest = Fingerprint::of(b"leaf");
        for (written, meant) in [
            ("serial:0A:1b".to_owned(), "serial:0a1b".to_owned()),
            (digest.to_string(), digest.to_string()),
        ] {
            let denied: Denied = written.parse().unwrap();
            assert_eq!(denied.to_string(), meant);
            assert_eq!(meant.parse(), Ok(denied));
        }
        for (written, reason) in [
            ("", "DeniedKind"),
            ("0a1b", "DeniedKind"),
            ("sha1:0a1b", "DeniedKind"),
            ("Serial:0a", "DeniedKind"),
            ("serial:", "DeniedSerial"),
            ("serial:4711x", "DeniedSerial"),
            ("sha256:0a", "DeniedFingerprint"),
        ] {
            let fault = written.parse::<Denied>().unwrap_err();
            assert_eq!(fault.reason(), reason, "{written}");
        }
    }
}

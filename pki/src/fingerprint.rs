//! SHA-256 fingerprints: what a person compares and what a pin holds.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use thiserror::Error;

use crate::tunnel_name::TunnelName;

const TAG: &str = "sha256:";

/// The SHA-256 digest of a DER encoding (or of a canonical description, for a provider).
///
/// Written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut value = [0; 32];
        let computed = digest::digest(&digest::SHA256, bytes);
        for (to, from) in value.iter_mut().zip(computed.as_ref()) {
            *to = *from;
        }
        Self(value)
    }

    /// What stands for every agent's certificate of a name, among those that are revoked: no certificate is this text.
    pub fn of_every_agent(tunnel: &TunnelName) -> Self {
        Self::of(format!("every agent of {tunnel}").as_bytes())
    }

    /// A digest that was computed before.
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest as sixteen words that can be read aloud, five letters each: two bytes a word, consonants and vowels
    /// in turn (proquints, arXiv:0901.4016). Nothing is left out: who has compared all of them has compared the digest.
    pub fn spoken(&self) -> String {
        let words = self.0.chunks_exact(2).map(|pair| match *pair {
            [high, low] => word(u16::from_be_bytes([high, low])),
            _ => String::new(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// The 32 bytes of the digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Two bytes as a word.
fn word(value: u16) -> String {
    const CONSONANTS: [char; 16] = [
        'b', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'r', 's', 't', 'v', 'z',
    ];
    const VOWELS: [char; 4] = ['a', 'i', 'o', 'u'];
    let letter = |letters: &[char], shift: u32| {
        let index = usize::from(value >> shift) % letters.len();
        letters.get(index).copied().unwrap_or_default()
    };
    [
        letter(&CONSONANTS, 12),
        letter(&VOWELS, 10),
        letter(&CONSONANTS, 6),
        letter(&VOWELS, 4),
        letter(&CONSONANTS, 0),
    ]
    .into_iter()
    .collect()
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TAG)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintFault;

    /// Reads `sha256:` and 64 hexadecimal digits of either case; colons between bytes, as openssl
    /// prints them, are tolerated.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text
            .strip_prefix(TAG)
            .ok_or(FingerprintFault::NoAlgorithm)?;
        let digits: Vec<u8> = digits
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()
            .ok_or(FingerprintFault::NotHexadecimal)?;
        let mut value = [0; 32];
        if digits.len() != value.len() * 2 {
            return Err(FingerprintFault::Length {
                digits: digits.len(),
            });
        }
        for (to, pair) in value.iter_mut().zip(digits.chunks_exact(2)) {
            *to = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
        }
        Ok(Self(value))
    }
}

/// What is wrong with a written fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FingerprintFault {
    /// It does not begin with `sha256:`.
    #[error("a fingerprint begins with `sha256:`")]
    NoAlgorithm,
    /// Something other than a hexadecimal digit.
    #[error("a fingerprint is written in hexadecimal digits")]
    NotHexadecimal,
    /// Too short or too long.
    #[error("a SHA-256 fingerprint has 64 hexadecimal digits, this one {digits}")]
    Length {
        /// How many digits there were.
        digits: usize,
    },
}

impl FingerprintFault {
    /// The kind of fault, for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoAlgorithm => "NoAlgorithm",
            Self::NotHexadecimal => "NotHexadecimal",
            Self::Length { .. } => "WrongLength",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_fingerprint_reads_what_it_writes() {
        assert_eq!(Fingerprint::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(Fingerprint::of(b"")));
        let as_openssl = EMPTY
            .to_uppercase()
            .replace("SHA256:", "sha256:")
            .replace("42", "42:");
        assert_eq!(as_openssl.parse(), Ok(Fingerprint::of(b"")));
    }

    /// The vectors are those of the paper: 127.0.0.1, 63.84.220.193 and 140.98.193.141 as two words each.
    #[test]
    fn a_fingerprint_is_read_aloud_in_words() {
        let mut digest = [0; 32];
        let addresses = [127, 0, 0, 1, 63, 84, 220, 193, 140, 98, 193, 141];
        digest[..12].copy_from_slice(&addresses);
        let spoken = Fingerprint::from_bytes(digest).spoken();
        assert!(
            spoken.starts_with("lusab babad gutih tugad mudof sakat babab"),
            "{spoken}"
        );
        assert_eq!(spoken.split(' ').count(), 16);
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        for (text, fault) in [
            ("", FingerprintFault::NoAlgorithm),
            ("e3b0", FingerprintFault::NoAlgorithm),
            ("sha256:", FingerprintFault::Length { digits: 0 }),
            ("sha256:e3b0", FingerprintFault::Length { digits: 4 }),
            ("sha256:xy", FingerprintFault::NotHexadecimal),
            ("sha256:é", FingerprintFault::NotHexadecimal),
        ] {
            assert_eq!(text.parse::<Fingerprint>(), Err(fault), "{text}");
        }
    }
}

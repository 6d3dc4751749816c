//! The beginning of every username a provider may mint.

use std::fmt;

use thiserror::Error;

/// Kubernetes keeps every name that begins so for itself (masters, nodes, service accounts).
const RESERVED: &str = "system:";

/// Longest prefix, in bytes: a SPIFFE trust domain has at most 255, a prefix adds scheme and path;
/// a username stays far below what one HTTP header may hold.
const LONGEST: usize = 512;

/// The text put before a certificate's name to form a username, unchanged byte for byte.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix(String);

impl Prefix {
    /// Accepts printable ASCII without a blank at either end, at most 512 bytes, that leaves no way
    /// to a username beginning with `system:`.
    ///
    /// # Errors
    /// When the text is none of that.
    pub fn parse(text: &str) -> Result<Self, PrefixFault> {
        if text.is_empty() {
            return Err(PrefixFault::Empty);
        }
        if text.len() > LONGEST {
            return Err(PrefixFault::TooLong { bytes: text.len() });
        }
        if let Some(offset) = text.bytes().position(|byte| !matches!(byte, b' '..=b'~')) {
            return Err(PrefixFault::NotPrintable { offset });
        }
        // HTTP drops blanks around a header's value, so ` system:` would arrive as `system:`.
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(PrefixFault::OuterBlank);
        }
        if text.starts_with(RESERVED) || RESERVED.starts_with(text) {
            return Err(PrefixFault::Reserved);
        }
        Ok(Self(text.to_owned()))
    }

    /// The prefix as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why a text cannot be a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PrefixFault {
    /// Nothing: names of this provider would be anyone's names.
    #[error("the prefix is empty; write one that no other provider begins with")]
    Empty,
    /// More than 512 bytes.
    #[error("the prefix has {bytes} bytes; shorten it to 512 at most")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// A byte outside printable ASCII.
    #[error("the prefix has a byte at offset {offset} that is not printable ASCII; remove it")]
    NotPrintable {
        /// Where it is.
        offset: usize,
    },
    /// A blank at the beginning or the end.
    #[error("the prefix begins or ends with a blank; remove it")]
    OuterBlank,
    /// A username could begin with `system:`.
    #[error(
        "a username that begins so could begin with `system:`, which Kubernetes keeps for itself; \
         choose another prefix"
    )]
    Reserved,
}

impl PrefixFault {
    /// The kind of fault, for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "PrefixEmpty",
            Self::TooLong { .. } => "PrefixTooLong",
            Self::NotPrintable { .. } => "PrefixNotPrintable",
            Self::OuterBlank => "PrefixOuterBlank",
            Self::Reserved => "PrefixReserved",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prefixes_that_could_reach_system_are_refused() {
        for reserved in [
            "s",
            "sy",
            "system",
            "system:",
            "system:node:",
            "system:masters",
        ] {
            assert_eq!(
                Prefix::parse(reserved),
                Err(PrefixFault::Reserved),
                "{reserved}"
            );
        }
        for fine in [
            "x",
            "sx",
            "systems:",
            "System:",
            "spiffe://a/",
            "a b",
            "system-a:",
        ] {
            assert_eq!(Prefix::parse(fine).unwrap().as_str(), fine);
        }
    }

    #[test]
    fn prefixes_are_bounded_printable_and_without_outer_blanks() {
        assert_eq!(Prefix::parse(""), Err(PrefixFault::Empty));
        assert_eq!(Prefix::parse(" system:"), Err(PrefixFault::OuterBlank));
        assert_eq!(Prefix::parse("a "), Err(PrefixFault::OuterBlank));
        assert_eq!(
            Prefix::parse("aé"),
            Err(PrefixFault::NotPrintable { offset: 1 })
        );
        assert_eq!(
            Prefix::parse("a\r\nb"),
            Err(PrefixFault::NotPrintable { offset: 1 })
        );
        assert_eq!(
            Prefix::parse("a\u{7f}"),
            Err(PrefixFault::NotPrintable { offset: 1 })
        );
        assert!(Prefix::parse(&"a".repeat(512)).is_ok());
        let long = "a".repeat(513);
        assert_eq!(
            Prefix::parse(&long),
            Err(PrefixFault::TooLong { bytes: 513 })
        );
    }

    proptest! {
        #[test]
        fn no_username_of_an_accepted_prefix_begins_with_system(
            prefix in "[ -~]{0,12}|sys[a-z:]{0,6}|system:?[a-z]{0,3}", name in "[!-~]{1,16}",
        ) {
            if let Ok(prefix) = Prefix::parse(&prefix) {
                let username = format!("{prefix}{name}");
                prop_assert!(!username.starts_with("system:"));
                prop_assert!(!username.starts_with(' '));
            }
        }

        #[test]
        fn prefixes_never_panic_and_are_kept_as_written(text in any::<String>()) {
            if let Ok(prefix) = Prefix::parse(&text) {
                prop_assert_eq!(prefix.as_str(), text);
            }
        }
    }
}

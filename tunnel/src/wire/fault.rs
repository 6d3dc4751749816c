//! Why bytes of the peer were not understood.

/// Bytes that are no record of this language. `what` names the field or record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireFault {
    /// The peer speaks another version.
    #[error("version {version} of the tunnel's language is not spoken here; update the older side")]
    UnknownVersion {
        /// What the peer said.
        version: u8,
    },
    /// The record ended inside a field.
    #[error("{what} is cut short")]
    Truncated {
        /// The field.
        what: &'static str,
    },
    /// More bytes than the bound allows.
    #[error("{what} has {length} bytes, at most {limit} are allowed")]
    TooLong {
        /// The field or record.
        what: &'static str,
        /// Bytes it has.
        length: usize,
        /// Bytes it may have.
        limit: usize,
    },
    /// Bytes behind the last field.
    #[error("{what} has {surplus} bytes too many")]
    Surplus {
        /// The record.
        what: &'static str,
        /// How many.
        surplus: usize,
    },
    /// A value outside its set.
    #[error("{what} has a value that means nothing")]
    Meaningless {
        /// The field.
        what: &'static str,
    },
    /// A frame type below 0x80 that is not known here: it may not be skipped.
    #[error("frame type {kind:#04x} is not known here and may not be skipped")]
    UnknownFrame {
        /// The type.
        kind: u8,
    },
}

impl WireFault {
    /// The fault as one word, for metrics and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownVersion { .. } => "UnknownVersion",
            Self::Truncated { .. } => "Truncated",
            Self::TooLong { .. } => "TooLong",
            Self::Surplus { .. } => "Surplus",
            Self::Meaningless { .. } => "Meaningless",
            Self::UnknownFrame { .. } => "UnknownFrame",
        }
    }
}

//! The part of a username that the certificate says.

use thiserror::Error;
use x509_parser::asn1_rs::{Class, Tag};

use crate::certificate::Certificate;
use crate::provider::{Provider, UsernameFrom};
use crate::refusal::Refusal;
use crate::spiffe;

/// Longest name, in bytes: SPIFFE's bound for a whole identity. X.520's 64 for a common name is not
/// enforced, because `ns/<63>/id/<253>` has 323.
const LONGEST_NAME: usize = spiffe::LONGEST;

/// Why the name in a certificate cannot become a username.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameFault {
    /// The subject has none.
    #[error("there is no common name in the subject")]
    NoCommonName,
    /// The subject has more than one, of which different programs would choose different ones.
    #[error("there are {names} common names in the subject")]
    SeveralCommonNames {
        /// How many.
        names: usize,
    },
    /// An encoding other than UTF8String, PrintableString and IA5String.
    #[error("the common name is encoded as ASN.1 type {tag}")]
    Encoding {
        /// The tag.
        tag: u32,
    },
    /// Nothing in it.
    #[error("the common name is empty")]
    Empty,
    /// Something other than printable ASCII.
    #[error("there is a byte at offset {offset} that is not printable ASCII")]
    NotPrintable {
        /// Where.
        offset: usize,
    },
    /// A blank at the beginning or the end, which HTTP would drop.
    #[error("it begins or ends with a blank")]
    OuterBlank,
    /// More than 2048 bytes.
    #[error("it has {bytes} bytes")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// Not exactly one URI among the alternative names.
    #[error("there are {uris} URIs among the alternative names instead of one")]
    NotOneUri {
        /// How many.
        uris: usize,
    },
    /// The URI is another trust domain's.
    #[error("the URI does not begin with the provider's prefix")]
    OtherPrefix,
    /// Empty segments, `.`, `..`, percent signs.
    #[error("the URI is not of the form scheme://domain/segment/segment")]
    NotAnIdentity,
}

impl NameFault {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoCommonName
            | Self::SeveralCommonNames { .. }
            | Self::Encoding { .. }
            | Self::Empty
            | Self::NotPrintable { .. }
            | Self::OuterBlank
            | Self::TooLong { .. } => {
                "have it issued with exactly one common name of up to 2048 printable ASCII \
                 characters"
            }
            Self::NotOneUri { .. } | Self::OtherPrefix | Self::NotAnIdentity => {
                "have it issued with exactly one URI, which begins with the provider's prefix"
            }
        }
    }
}

/// The name to put after the provider's prefix.
pub(super) fn of<'c>(leaf: &'c Certificate<'_>, provider: &Provider) -> Result<&'c str, Refusal> {
    match provider.username_from() {
        UsernameFrom::CommonName => common_name(leaf),
        UsernameFrom::Uri => uri_remainder(leaf, provider),
    }
    .map_err(Refusal::UnusableName)
}

fn common_name<'c>(leaf: &'c Certificate<'_>) -> Result<&'c str, NameFault> {
    let names = leaf.common_names();
    let name = match names.as_slice() {
        [] => return Err(NameFault::NoCommonName),
        [name] => name.attr_value(),
        names => return Err(NameFault::SeveralCommonNames { names: names.len() }),
    };
    let readable = matches!(
        name.tag(),
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String
    );
    if name.class() != Class::Universal || name.header.constructed() || !readable {
        return Err(NameFault::Encoding { tag: name.tag().0 });
    }
    printable(name.data)
}

fn uri_remainder<'c>(leaf: &'c Certificate<'_>, provider: &Provider) -> Result<&'c str, NameFault> {
    let uris = leaf.uris();
    let uri = match uris.as_slice() {
        [Some(uri)] => *uri,
        [None] => return Err(NameFault::NotAnIdentity),
        uris => return Err(NameFault::NotOneUri { uris: uris.len() }),
    };
    check_uri(uri)?;
    match uri.strip_prefix(provider.prefix().as_str()) {
        None => Err(NameFault::OtherPrefix),
        Some("") => Err(NameFault::Empty),
        Some(remainder) => Ok(remainder),
    }
}

/// Is this a common name that can become a username?
pub(crate) fn check_common_name(name: &str) -> Result<(), NameFault> {
    printable(name.as_bytes()).map(|_same| ())
}

/// Is this a URI that can become a username?
pub(crate) fn check_uri(uri: &str) -> Result<(), NameFault> {
    printable(uri.as_bytes())?;
    if spiffe::is_identity(uri) {
        Ok(())
    } else {
        Err(NameFault::NotAnIdentity)
    }
}

fn printable(bytes: &[u8]) -> Result<&str, NameFault> {
    if bytes.is_empty() {
        return Err(NameFault::Empty);
    }
    if bytes.len() > LONGEST_NAME {
        return Err(NameFault::TooLong { bytes: bytes.len() });
    }
    if let Some(offset) = bytes.iter().position(|byte| !matches!(byte, b' '..=b'~')) {
        return Err(NameFault::NotPrintable { offset });
    }
    if bytes.starts_with(b" ") || bytes.ends_with(b" ") {
        return Err(NameFault::OuterBlank);
    }
    std::str::from_utf8(bytes).map_err(|fault| NameFault::NotPrintable {
        offset: fault.valid_up_to(),
    })
}

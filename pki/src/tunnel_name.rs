//! The name of a tunnel: `<cluster>.<account>`.

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::CertificateDer;
use thiserror::Error;

use crate::certificate::{Certificate, DnsNamesFault};

/// Longest label of a host name, in bytes (RFC 1035 §2.3.4).
const LONGEST_LABEL: usize = 63;

/// `<cluster>.<account>`: two DNS labels in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelName {
    text: String,
    cluster_length: usize,
}

impl TunnelName {
    /// Reads `<cluster>.<account>`: letters a–z, digits and inner hyphens, 1 to 63 bytes a label.
    ///
    /// # Errors
    /// When the text is not exactly that.
    pub fn parse(text: &str) -> Result<Self, TunnelNameFault> {
        let mut labels = text.split('.');
        let (Some(cluster), Some(account), None) = (labels.next(), labels.next(), labels.next())
        else {
            return Err(TunnelNameFault::NotTwoLabels);
        };
        if !(is_label(cluster) && is_label(account)) {
            return Err(TunnelNameFault::Label);
        }
        Ok(Self {
            cluster_length: cluster.len(),
            text: text.to_owned(),
        })
    }

    /// The name an agent's certificate carries: its only DNS name.
    ///
    /// # Errors
    /// When the certificate does not parse, or has no DNS name, several, or one of another form.
    pub fn from_agent_certificate(der: &CertificateDer<'_>) -> Result<Self, TunnelNameFault> {
        let certificate = Certificate::parse(der).ok_or(TunnelNameFault::UnreadableCertificate)?;
        match certificate.dns_names() {
            Ok(names) => match names.as_slice() {
                [name] => Self::parse(name),
                names => Err(TunnelNameFault::NotOneDnsName { names: names.len() }),
            },
            Err(DnsNamesFault) => Err(TunnelNameFault::UnreadableCertificate),
        }
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first label: which cluster of the account.
    pub fn cluster(&self) -> &str {
        self.text.get(..self.cluster_length).unwrap_or_default()
    }

    /// The second label: whose cluster.
    pub fn account(&self) -> &str {
        self.text
            .get(self.cluster_length.saturating_add(1)..)
            .unwrap_or_default()
    }
}

/// Is this a host name's label in lower case (RFC 1123: letters, digits, inner hyphens)?
pub(crate) fn is_label(text: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl fmt::Display for TunnelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for TunnelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for TunnelName {
    type Err = TunnelNameFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Why something does not name a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TunnelNameFault {
    /// One label, or three and more.
    #[error("a tunnel's name is `<cluster>.<account>`, two labels with one dot between them")]
    NotTwoLabels,
    /// A label of other letters, empty or too long.
    #[error(
        "the labels of a tunnel's name have 1 to 63 of a-z, 0-9 and `-`, which neither begins nor \
         ends one"
    )]
    Label,
    /// An agent's certificate has exactly one DNS name.
    #[error("an agent's certificate has exactly one DNS name, its tunnel's; this has {names}")]
    NotOneDnsName {
        /// How many it has.
        names: usize,
    },
    /// The certificate or its alternative names do not parse.
    #[error("the agent's certificate cannot be read; issue it anew")]
    UnreadableCertificate,
}

impl TunnelNameFault {
    /// The kind of fault, for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotTwoLabels => "NotTwoLabels",
            Self::Label => "InvalidLabel",
            Self::NotOneDnsName { .. } => "NotOneDnsName",
            Self::UnreadableCertificate => "Malformed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_two_labels() {
        let name = TunnelName::parse("one.acme-2").unwrap();
        assert_eq!((name.cluster(), name.account()), ("one", "acme-2"));
        assert_eq!(name.to_string(), "one.acme-2");
        assert!(TunnelName::parse(&format!("{}.b", "a".repeat(63))).is_ok());
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", ".", "a", "a.", ".a", "a.b.", "a.b.c", "a..b"] {
            assert!(TunnelName::parse(text).is_err(), "{text}");
        }
        for text in [
            "A.b", "a_b.c", "-a.b", "a-.b", "*.b", "é.b", "a\0.b", "a b.c",
        ] {
            assert_eq!(
                TunnelName::parse(text),
                Err(TunnelNameFault::Label),
                "{text}"
            );
        }
        let long = format!("{}.b", "a".repeat(64));
        assert_eq!(TunnelName::parse(&long), Err(TunnelNameFault::Label));
    }
}

//! What a certificate must say to be of use where a file puts it.

use std::path::Path;

use gangplank_pki::TunnelName;
use gangplank_pki::inspect::{CertificateSummary, inspect_der};
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::fault::{Fault, Place};
use crate::scalar::HostName;

/// What a key pair is for, and so what its certificate must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Callers see it: server authentication, and at least one DNS name.
    Exit,
    /// Relays see it: client authentication, and exactly one DNS name, the tunnel's.
    Agent,
    /// Agents see it: server authentication, and this name.
    Relay(HostName),
    /// Somebody else decides, such as an API server.
    Unchecked,
}

impl Purpose {
    /// Refuses a leaf that the other side would refuse.
    ///
    /// # Errors
    /// When it is an authority's, lacks the extended key usage, or lacks the names.
    pub(super) fn check(&self, file: &Path, leaf: &CertificateDer<'_>) -> Result<(), Fault> {
        let Some(summary) = inspect_der(leaf) else {
            return Ok(());
        };
        let fault = |reason, message: String, remedy: String| {
            Err(Fault::new(file, Place::line(1), reason, message, remedy))
        };
        let (role, usage) = match self {
            Self::Unchecked => return Ok(()),
            Self::Agent => ("agent", "clientAuth"),
            Self::Exit => ("exit", "serverAuth"),
            Self::Relay(_) => ("relay", "serverAuth"),
        };
        let issue = format!("issue one with `gangplank pki issue --for {role}`");
        if summary.is_authority {
            let message = "the first certificate is an authority's own".to_owned();
            return fault(
                "AuthorityAsLeaf",
                message,
                format!("put the leaf first, or {issue}"),
            );
        }
        if !has_usage(&summary, usage) {
            let message = format!("the certificate lacks the extended key usage {usage}");
            return fault("MissingKeyUsage", message, issue);
        }
        match self {
            Self::Exit if summary.dns_names.is_empty() => {
                let message =
                    "the certificate lacks a DNS name that callers could verify".to_owned();
                fault("MissingName", message, issue)
            }
            Self::Agent => match TunnelName::from_agent_certificate(leaf) {
                Ok(_) => Ok(()),
                Err(name) => fault(name.reason(), name.to_string(), issue),
            },
            Self::Relay(name) if !names(leaf, name) => {
                let message = format!("the certificate is not valid for `{name}`");
                fault(
                    "WrongName",
                    message,
                    format!("correct `serverName`, or {issue}"),
                )
            }
            Self::Exit | Self::Relay(_) | Self::Unchecked => Ok(()),
        }
    }
}

fn has_usage(summary: &CertificateSummary, usage: &str) -> bool {
    summary
        .extended_key_usages
        .iter()
        .any(|present| present == usage)
}

/// Whether agents would find the name in the certificate.
fn names(leaf: &CertificateDer<'_>, name: &HostName) -> bool {
    let parsed = ParsedCertificate::try_from(leaf);
    let name = ServerName::try_from(name.as_str());
    parsed.is_ok_and(|parsed| name.is_ok_and(|name| verify_server_name(&parsed, &name).is_ok()))
}

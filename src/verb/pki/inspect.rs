//! `gangplank pki inspect`: what a certificate says, and who it would be at an exit.

use std::path::Path;
use std::sync::Arc;

use gangplank_config::TrustDirectory;
use gangplank_pki::clock::{Clock, SystemClock, rfc3339};
use gangplank_pki::inspect::{CertificateSummary, inspect_certificates};
use gangplank_pki::{identify, pem};
use serde::Serialize;

use crate::cli::PkiInspectArguments;
use crate::failure::{Failure, Outcome};
use crate::output::{columns, show};

/// What is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspection {
    certificates: Vec<Certificate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    here: Option<Here>,
}

/// One certificate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    subject: String,
    issuer: String,
    kind: String,
    serial: String,
    names: Vec<String>,
    usages: Vec<String>,
    not_before: String,
    not_after: String,
    key: String,
    fingerprint: String,
    key_fingerprint: String,
}

/// Who the first certificate would be at the exit with that trust directory.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Here {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// Reads the file and prints what it says.
pub(crate) fn run(arguments: &PkiInspectArguments) -> Outcome {
    let bytes = super::read(&arguments.file)?;
    let broken = |fault: pem::PemFault| {
        Failure::Usage(format!(
            "{}:{}: {fault}",
            arguments.file.display(),
            fault.line
        ))
    };
    let certificates = inspect_certificates(&bytes)
        .map_err(broken)?
        .into_iter()
        .map(certificate)
        .collect();
    let here = match &arguments.trust {
        None => None,
        Some(directory) => Some(who_here(directory, &bytes)?),
    };
    show(&Inspection { certificates, here }, arguments.output, table)
}

/// Asks the same function that an exit asks.
fn who_here(directory: &Path, pem: &[u8]) -> Result<Here, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (trust, _watcher) = TrustDirectory::open(directory, Arc::clone(&clock))?;
    let chain = pem::certificates(pem).unwrap_or_default();
    Ok(match identify(&trust.current(), &chain, clock.now()) {
        Ok(identity) => Here {
            username: Some(identity.username().to_owned()),
            provider: Some(identity.provider().to_string()),
            groups: identity.groups().to_vec(),
            refused: None,
        },
        Err(refusal) => Here {
            username: None,
            provider: None,
            groups: Vec::new(),
            refused: Some(format!(
                "{}: {refusal}; {}",
                refusal.class(),
                refusal.remedy()
            )),
        },
    })
}

fn certificate(summary: CertificateSummary) -> Certificate {
    let mut names = summary.dns_names;
    names.extend(summary.ip_addresses.iter().map(ToString::to_string));
    names.extend(summary.uris);
    Certificate {
        subject: summary.subject,
        issuer: summary.issuer,
        kind: summary.kind.as_str().to_owned(),
        serial: summary.serial,
        names,
        usages: summary.extended_key_usages,
        not_before: rfc3339(summary.not_before),
        not_after: rfc3339(summary.not_after),
        key: summary.key,
        fingerprint: summary.fingerprint.to_string(),
        key_fingerprint: summary.key_fingerprint.to_string(),
    }
}

fn table(inspection: &Inspection) -> String {
    let mut parts: Vec<String> = inspection.certificates.iter().map(rows).collect();
    if let Some(here) = &inspection.here {
        parts.push(match (&here.username, &here.refused) {
            (Some(username), _) => {
                format!(
                    "Here: {username} (provider {})",
                    here.provider.as_deref().unwrap_or_default()
                )
            }
            (None, refused) => format!("Here: nobody. {}", refused.as_deref().unwrap_or_default()),
        });
    }
    parts.join("\n\n")
}

fn rows(certificate: &Certificate) -> String {
    let row = |title: &str, value: &str| vec![format!("{title}:"), value.to_owned()];
    let list = |values: &[String]| {
        if values.is_empty() {
            "-".to_owned()
        } else {
            values.join(", ")
        }
    };
    columns(&[
        row("Subject", &certificate.subject),
        row("Issuer", &certificate.issuer),
        row("Kind", &certificate.kind),
        row("Names", &list(&certificate.names)),
        row("Usages", &list(&certificate.usages)),
        row("Good from", &certificate.not_before),
        row("Good until", &certificate.not_after),
        row("Key", &certificate.key),
        row("Serial", &certificate.serial),
        row("Fingerprint", &certificate.fingerprint),
        row("Key fingerprint", &certificate.key_fingerprint),
    ])
}

//! `gangplank kubeconfig`: what a caller needs, in the form that every Kubernetes client reads.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gangplank_pki::{EntranceDomain, TunnelName, pem};
use serde_json::{Value, json};

use crate::cli::KubeconfigArguments;
use crate::failure::{Failure, Outcome};
use crate::output::print;
use crate::secret_file;

/// Writes or prints the kubeconfig and says how to use it.
pub(crate) fn run(arguments: &KubeconfigArguments) -> Outcome {
    match &arguments.out {
        None => print(text(arguments)?.trim_end()),
        Some(file) => {
            write(arguments)?;
            print(&format!(
                "wrote {0}: kubectl --kubeconfig {0} auth whoami",
                file.display()
            ))
        }
    }
}

/// Writes the kubeconfig to the file of the arguments.
///
/// # Errors
///
/// As [`text`], and when the file exists or cannot be written.
pub(crate) fn write(arguments: &KubeconfigArguments) -> Outcome {
    let text = text(arguments)?;
    match &arguments.out {
        None => Ok(()),
        Some(file) => secret_file::create(file, text.as_bytes()),
    }
}

/// Checks that the papers fit one another and makes the kubeconfig of them.
fn text(arguments: &KubeconfigArguments) -> Result<String, Failure> {
    let cluster = TunnelName::parse(&arguments.cluster)
        .map_err(|fault| Failure::Usage(format!("--cluster {}: {fault}", arguments.cluster)))?;
    let domain = EntranceDomain::parse(&arguments.domain)
        .map_err(|fault| Failure::Usage(format!("--domain {}: {fault}", arguments.domain)))?;
    let papers = Papers::read(arguments)?;
    let entrance = domain.entrance_of(&cluster);
    let kubeconfig = kubeconfig(arguments, cluster.as_str(), &entrance, &papers)?;
    Ok(serde_saphyr::to_string(&kubeconfig).context("the kubeconfig cannot be written as YAML")?)
}

/// The three files, read and found to fit.
struct Papers {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Papers {
    fn read(arguments: &KubeconfigArguments) -> Result<Self, Failure> {
        let authority = read_pem(&arguments.certificate_authority, |bytes| {
            pem::certificates(bytes).map(drop)
        })?;
        let mut chain = Vec::new();
        let certificate = read_pem(&arguments.client_certificate, |bytes| {
            chain = pem::certificates(bytes)?;
            Ok(())
        })?;
        let mut private = None;
        let key = read_pem(&arguments.client_key, |bytes| {
            private = Some(pem::private_key(bytes)?);
            Ok(())
        })?;
        if let (Some(leaf), Some(private)) = (chain.first(), &private) {
            pem::key_matches(leaf, private).map_err(|fault| {
                Failure::Usage(format!(
                    "{} and {}: {fault}",
                    arguments.client_certificate.display(),
                    arguments.client_key.display()
                ))
            })?;
        }
        Ok(Self {
            authority,
            certificate,
            key,
        })
    }
}

/// Reads a file and lets `check` refuse it with the line that is wrong.
fn read_pem(
    file: &Path,
    check: impl FnOnce(&[u8]) -> Result<(), pem::PemFault>,
) -> Result<Vec<u8>, Failure> {
    let bytes = std::fs::read(file)
        .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", file.display())))?;
    check(&bytes)
        .map_err(|fault| Failure::Usage(format!("{}:{}: {fault}", file.display(), fault.line)))?;
    Ok(bytes)
}

fn kubeconfig(
    arguments: &KubeconfigArguments,
    name: &str,
    entrance: &str,
    papers: &Papers,
) -> Result<Value, Failure> {
    let mut cluster = json!({});
    match &arguments.connect {
        Some(address) => {
            cluster["server"] = json!(format!("https://{address}"));
            cluster["tls-server-name"] = json!(entrance);
        }
        None if arguments.port == 443 => cluster["server"] = json!(format!("https://{entrance}")),
        None => cluster["server"] = json!(format!("https://{entrance}:{}", arguments.port)),
    }
    let mut user = json!({});
    if arguments.reference_files {
        cluster["certificate-authority"] = json!(absolute(&arguments.certificate_authority)?);
        user["client-certificate"] = json!(absolute(&arguments.client_certificate)?);
        user["client-key"] = json!(absolute(&arguments.client_key)?);
    } else {
        cluster["certificate-authority-data"] = json!(BASE64_STANDARD.encode(&papers.authority));
        user["client-certificate-data"] = json!(BASE64_STANDARD.encode(&papers.certificate));
        user["client-key-data"] = json!(BASE64_STANDARD.encode(&papers.key));
    }
    let mut context = json!({ "cluster": name, "user": name });
    if let Some(namespace) = &arguments.namespace {
        context["namespace"] = json!(namespace);
    }
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{ "name": name, "cluster": cluster }],
        "contexts": [{ "name": name, "context": context }],
        "users": [{ "name": name, "user": user }],
    }))
}

fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    let found = std::path::absolute(file)
        .with_context(|| format!("{} has no absolute path", file.display()))?;
    Ok(found)
}

//! `gangplank kubeconfig`: what a caller needs, in the form that every Kubernetes client reads.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gangplank_pki::inspect::{KindGuess, inspect_certificates};
use gangplank_pki::{EntranceDomain, TunnelName, pem};
use serde_json::{Map, Value, json};

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
        refuse_other_kinds(&arguments.client_certificate, &certificate)?;
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

/// With a certificate of another kind the exit would refuse every request; said here, it costs nobody a search.
fn refuse_other_kinds(file: &Path, pem: &[u8]) -> Outcome {
    let summaries = inspect_certificates(pem)
        .map_err(|fault| Failure::Usage(format!("{}:{}: {fault}", file.display(), fault.line)))?;
    let what = match summaries.first().map(|leaf| leaf.kind) {
        Some(KindGuess::Authority) => "of a CA",
        Some(KindGuess::Server) => "of a server",
        _ => return Ok(()),
    };
    Err(Failure::Usage(format!(
        "{}: this is the certificate {what}, not of a caller; have one issued for clientAuth: \
         `gangplank pki issue --for caller`",
        file.display()
    )))
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
    let (mut cluster, mut user, mut context) = (Map::new(), Map::new(), Map::new());
    let (server, asked_for) = match &arguments.connect {
        Some(address) => (format!("https://{address}"), Some(entrance)),
        None if arguments.port == 443 => (format!("https://{entrance}"), None),
        None => (format!("https://{entrance}:{}", arguments.port), None),
    };
    cluster.insert("server".to_owned(), json!(server));
    if let Some(asked_for) = asked_for {
        cluster.insert("tls-server-name".to_owned(), json!(asked_for));
    }
    let add = |section: &mut Map<String, Value>, key: &str, file: &Path, content: &[u8]| {
        if arguments.reference_files {
            section.insert(key.to_owned(), json!(absolute(file)?));
        } else {
            section.insert(
                format!("{key}-data"),
                json!(BASE64_STANDARD.encode(content)),
            );
        }
        Ok::<_, Failure>(())
    };
    add(
        &mut cluster,
        "certificate-authority",
        &arguments.certificate_authority,
        &papers.authority,
    )?;
    add(
        &mut user,
        "client-certificate",
        &arguments.client_certificate,
        &papers.certificate,
    )?;
    add(&mut user, "client-key", &arguments.client_key, &papers.key)?;
    context.insert("cluster".to_owned(), json!(name));
    context.insert("user".to_owned(), json!(name));
    if let Some(namespace) = &arguments.namespace {
        context.insert("namespace".to_owned(), json!(namespace));
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

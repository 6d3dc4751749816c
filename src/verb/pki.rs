//! `gangplank pki`: make an authority, issue certificates, see what is in a file.

pub(crate) mod inspect;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use gangplank_pki::clock::{Clock as _, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Kind, Request};
use gangplank_pki::{EntranceDomain, TunnelName, WithCauses};

use crate::cli::{PkiInitArguments, PkiIssueArguments, Purpose};
use crate::failure::{Failure, Outcome};
use crate::output::print;
use crate::secret_file;

/// Creates an authority's two files in a folder.
pub(crate) fn init(arguments: &PkiInitArguments) -> Outcome {
    let directory = &arguments.directory;
    let authority =
        CertificateAuthority::create(&arguments.common_name, arguments.days, SystemClock.now())
            .map_err(|fault| Failure::Usage(WithCauses(&fault).to_string()))?;
    fs::create_dir_all(directory)
        .with_context(|| format!("{} cannot be created", directory.display()))?;
    let (certificate, key) = authority_files(directory);
    secret_file::create_pair(
        (&certificate, authority.certificate_pem()),
        (&key, &authority.key_pem()),
    )?;
    print(&format!(
        "created {} ({}), keep {} secret",
        certificate.display(),
        authority.anchor().fingerprint(),
        key.display()
    ))
}

/// Issues one certificate and writes it with its key.
pub(crate) fn issue(arguments: &PkiIssueArguments) -> Outcome {
    let kind = kind(arguments)?;
    let authority = load_authority(&arguments.ca)?;
    let lifetime = Duration::from_secs(u64::from(arguments.hours) * 3600);
    let issued = authority
        .issue(&Request {
            kind,
            lifetime,
            now: SystemClock.now(),
        })
        .map_err(|fault| Failure::Usage(WithCauses(&fault).to_string()))?;
    let (certificate, key) = (
        with_ending(&arguments.out, "crt"),
        with_ending(&arguments.out, "key"),
    );
    secret_file::create_pair((&certificate, &issued.cert_pem), (&key, &issued.key_pem))?;
    print(&format!(
        "issued {}, keep {} secret",
        certificate.display(),
        key.display()
    ))
}

/// What the arguments of each purpose mean.
fn kind(arguments: &PkiIssueArguments) -> Result<Kind, Failure> {
    Ok(match arguments.purpose {
        Purpose::Caller => Kind::Caller {
            common_name: arguments.common_name.clone().unwrap_or_default(),
            uri: arguments.uri.clone(),
        },
        Purpose::Exit => {
            let entrance = domain(arguments)?.entrance_of(&cluster(arguments)?);
            Kind::Exit {
                dns_names: vec![format!("kube-mtls-proxy.{entrance}"), entrance],
            }
        }
        Purpose::Agent => Kind::Agent {
            tunnel: cluster(arguments)?,
        },
        Purpose::Relay => Kind::Relay {
            hosts: arguments.host.clone(),
        },
    })
}

fn cluster(arguments: &PkiIssueArguments) -> Result<TunnelName, Failure> {
    let written = arguments.cluster.as_deref().unwrap_or_default();
    TunnelName::parse(written)
        .map_err(|fault| Failure::Usage(format!("--cluster {written}: {fault}")))
}

fn domain(arguments: &PkiIssueArguments) -> Result<EntranceDomain, Failure> {
    let written = arguments.domain.as_deref().unwrap_or_default();
    EntranceDomain::parse(written)
        .map_err(|fault| Failure::Usage(format!("--domain {written}: {fault}")))
}

/// Reads an authority as [`init`] wrote it.
fn load_authority(directory: &Path) -> Result<CertificateAuthority, Failure> {
    let (certificate, key) = authority_files(directory);
    let read = |file: &Path| {
        fs::read_to_string(file).map_err(|error| {
            Failure::Usage(format!(
                "{} cannot be read ({error}): `--ca` names a folder that `gangplank pki init` made",
                file.display()
            ))
        })
    };
    CertificateAuthority::load(&read(&certificate)?, &read(&key)?)
        .map_err(|fault| Failure::Usage(format!("{}: {}", directory.display(), WithCauses(&fault))))
}

fn authority_files(directory: &Path) -> (PathBuf, PathBuf) {
    (directory.join("ca.crt"), directory.join("ca.key"))
}

/// `deployer` and `deployer.v2` both keep what was written: the ending is added, never exchanged.
fn with_ending(out: &Path, ending: &str) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// Reads a PEM file for inspection.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file)
        .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", file.display())))
}

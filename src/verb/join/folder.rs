//! The folder that `gangplank join` writes and an agent runs from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use gangplank_agent::enrolment::Enrolled;
use gangplank_config::role;
use gangplank_config::upstream::InCluster;
use gangplank_pki::clock::{Clock as _, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, IssueFault, Kind, Request};
use gangplank_pki::{EntranceDomain, TunnelName, WithCauses, peer};
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::secret_file;

/// The exit's authority and its certificate are made here and nowhere renewed by themselves.
const AUTHORITY_DAYS: u32 = 3650;
const EXIT_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// What the folder is made from.
pub(super) struct Joined<'a> {
    pub(super) enrolled: &'a Enrolled,
    pub(super) tunnel: &'a TunnelName,
    pub(super) relays: Vec<Value>,
    pub(super) upstream: Value,
}

/// The agent's folder.
pub(super) struct Folder {
    path: PathBuf,
    /// Whether an exit is there, whose authority its callers know already: who joins again keeps it.
    has_exit: bool,
}

/// What every joining writes, and never over anything.
const OF_THE_AGENT: [&str; 3] = ["agent.yaml", "agent.pem", "relay-ca.crt"];

/// What makes the exit known to its callers.
const OF_THE_EXIT: [&str; 3] = ["exit-ca/ca.crt", "exit.crt", "exit.key"];

/// The key of the exit's authority, which is better kept elsewhere: nobody needs it here.
const KEY_OF_THE_AUTHORITY: &str = "exit-ca/ca.key";

impl Folder {
    /// Made before the token is used, so that nothing is lost when it cannot be.
    pub(super) fn prepare(path: &Path) -> Result<Self, Failure> {
        use std::os::unix::fs::DirBuilderExt as _;
        if OF_THE_AGENT.iter().any(|name| path.join(name).exists()) {
            return Err(Failure::Usage(format!(
                "an agent is in {} already, or a part of one ({}): to join again as the same cluster add `--again` and leave `--kubeconfig` out, or name \
                 another folder with `--directory DIR`; the token was not used",
                path.display(),
                OF_THE_AGENT.join(", ")
            )));
        }
        let missing = OF_THE_EXIT.iter().filter(|name| !path.join(name).exists());
        let missing: Vec<&str> = missing.copied().collect();
        let has_exit = missing.is_empty();
        let has_part =
            missing.len() < OF_THE_EXIT.len() || path.join(KEY_OF_THE_AUTHORITY).exists();
        if !has_exit && has_part {
            return Err(Failure::Usage(format!(
                "a part of an exit is in {}, without {}: put that back, or name another folder with `--directory DIR`; the token was not used",
                path.display(),
                missing.join(", ")
            )));
        }
        for folder in [path.to_owned(), path.join("trust"), path.join("exit-ca")] {
            fs::DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(&folder)
                .map_err(|error| unwritable(&folder, error))?;
        }
        is_writable(path)?;
        Ok(Self {
            path: path.to_owned(),
            has_exit,
        })
    }

    pub(super) fn write(&self, joined: &Joined<'_>) -> Outcome {
        let enrolled = joined.enrolled;
        secret_file::create(&self.file("agent.pem"), enrolled.identity_pem.0.as_bytes())?;
        secret_file::create_public(
            &self.file("relay-ca.crt"),
            enrolled.relay_authorities_pem.as_bytes(),
        )?;
        if !self.has_exit {
            self.write_exit(joined)?;
        }
        let agent = json!({
            "relays": joined.relays,
            "tunnel": { "identityFile": "agent.pem", "renewal": "Automatic" },
            "exit": {
                "servingCertificate": { "certificateFile": "exit.crt", "keyFile": "exit.key" },
                "trust": { "directory": "trust" },
                "upstream": joined.upstream,
            },
            "admin": { "listen": "127.0.0.1:9091" },
        });
        let text = serde_saphyr::to_string(&agent).context("YAML cannot be written")?;
        secret_file::create(&self.file("agent.yaml"), text.as_bytes())
    }

    fn write_exit(&self, joined: &Joined<'_>) -> Outcome {
        let now = SystemClock.now();
        let domain = EntranceDomain::parse(&joined.enrolled.entrance_domain)
            .map_err(|fault| anyhow!("the relay's domain is of no use: {fault}"))?;
        let entrance = domain.entrance_of(joined.tunnel);
        let unmade = |fault: IssueFault| Failure::Running(anyhow!("{}", WithCauses(&fault)));
        let name = format!("{} exit CA", joined.tunnel);
        let authority = CertificateAuthority::create(&name, AUTHORITY_DAYS, now).map_err(unmade)?;
        let kind = Kind::Exit {
            dns_names: vec![format!("kube-mtls-proxy.{entrance}"), entrance],
        };
        let lifetime = EXIT_LIFETIME;
        let issued = authority.issue(&Request {
            kind,
            lifetime,
            now,
        });
        let issued = issued.map_err(unmade)?;
        secret_file::create_pair(
            (&self.file("exit-ca/ca.crt"), authority.certificate_pem()),
            (&self.file("exit-ca/ca.key"), &authority.key_pem()),
        )?;
        secret_file::create_pair(
            (&self.file("exit.crt"), &issued.cert_pem),
            (&self.file("exit.key"), &issued.key_pem),
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// An agent that is to join anew.
pub(super) struct PresentAgent<'a> {
    directory: &'a Path,
}

impl<'a> PresentAgent<'a> {
    /// The agent in this folder, if it is of this cluster.
    pub(super) fn of(directory: &'a Path, cluster: &TunnelName) -> Result<Self, Failure> {
        let refused = |why: &str| {
            Failure::Usage(format!(
                "{} {why}; the token was not used",
                directory.display()
            ))
        };
        let config = fs::read_to_string(directory.join("agent.yaml"));
        let config = config.map_err(|_unreadable| {
            refused("has no agent.yaml that can be read: leave `--again` out, or name the agent's folder with `--directory DIR`")
        })?;
        if !config.contains("agent.pem") {
            return Err(refused(
                "has an agent.yaml that does not name agent.pem, where the certificate would go: write it there as `identityFile`, or name another folder with `--directory DIR`",
            ));
        }
        // Where it was lost, or its file is broken, only the token says whose it is.
        let file = directory.join("agent.yaml");
        let agent = role::agent::load(&file, &InCluster::from_environment()).ok();
        let held = agent.and_then(|agent| agent.tunnel.read().ok());
        let held = held.and_then(|held| peer::tunnel_name(held.chain()).ok());
        if let Some(held) = held.filter(|held| held != cluster) {
            let why = format!(
                "is of {held}, and this token makes {cluster}: name another folder with `--directory DIR`, without `--again`"
            );
            return Err(refused(&why));
        }
        is_writable(directory)?;
        Ok(Self { directory })
    }

    /// The authority first: a running agent dials anew when it sees the certificate.
    pub(super) fn replace(&self, enrolled: &Enrolled) -> Outcome {
        let authorities = enrolled.relay_authorities_pem.as_bytes();
        self.replace_file("relay-ca.crt", |file| {
            secret_file::create_public(file, authorities)
        })?;
        let identity = enrolled.identity_pem.0.as_bytes();
        self.replace_file("agent.pem", |file| secret_file::create(file, identity))
    }

    fn replace_file(&self, name: &str, create: impl FnOnce(&Path) -> Outcome) -> Outcome {
        let file = self.directory.join(name);
        let next = self.directory.join(format!("{name}.joined"));
        create(&next)?;
        fs::rename(&next, &file)
            .with_context(|| format!("{} cannot be replaced", file.display()))?;
        Ok(())
    }
}

/// Who may create files there is known once one was.
fn is_writable(folder: &Path) -> Outcome {
    let probe = folder.join(format!(".gangplank-{}", std::process::id()));
    let created = fs::File::create_new(&probe).and_then(|_created| fs::remove_file(&probe));
    created.map_err(|error| unwritable(folder, error))
}

fn unwritable(folder: &Path, error: io::Error) -> Failure {
    let message = format!(
        "{} cannot be written: let this user write there, or name another folder with `--directory DIR`; the token was not used",
        folder.display()
    );
    Failure::Running(anyhow::Error::new(error).context(message))
}

//! The folder that `gangplank join` writes and an agent runs from.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use gangplank_agent::enrolment::Enrolled;
use gangplank_pki::clock::{Clock as _, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, IssueFault, Kind, Request};
use gangplank_pki::{EntranceDomain, TunnelName, WithCauses};
use serde_json::{Value, json};

use super::owner::Owner;
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
    /// The folders that were not there before.
    made: Vec<PathBuf>,
}

/// What makes a folder an agent's.
const CONFIGURATION: &str = "agent.yaml";

/// What every joining writes, and never over anything.
const OF_THE_AGENT: [&str; 3] = [CONFIGURATION, "agent.pem", "relay-ca.crt"];

/// What makes the exit known to its callers.
const OF_THE_EXIT: [&str; 3] = ["exit-ca/ca.crt", "exit.crt", "exit.key"];

/// The key of the exit's authority, which is better kept elsewhere: nobody needs it here.
const KEY_OF_THE_AUTHORITY: &str = "exit-ca/ca.key";

impl Folder {
    /// Made before the token is used, so that nothing is lost when it cannot be.
    pub(super) fn prepare(path: &Path) -> Result<Self, Failure> {
        no_agent_in(path)?;
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
        let authority = path.join("exit-ca");
        let mut made = Vec::new();
        for folder in [path.to_owned(), path.join("trust"), authority.clone()] {
            if !folder.exists() {
                made.push(folder.clone());
            }
            fs::DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(&folder)
                .map_err(|error| unwritable(&folder, error))?;
        }
        is_writable(path, None)?;
        if !has_exit {
            is_writable(&authority, None)?;
        }
        Ok(Self {
            path: path.to_owned(),
            has_exit,
            made,
        })
    }

    /// Writes all of it or nothing: in half a folder no agent runs, and nobody can join.
    pub(super) fn write(self, joined: &Joined<'_>) -> Outcome {
        let mut written = Vec::new();
        let outcome = self.write_files(joined, &mut written);
        if outcome.is_err() {
            // What cannot be removed either is told to whoever joins next; the first error says enough.
            for file in &written {
                drop(fs::remove_file(file));
            }
            for folder in self.made.iter().rev() {
                drop(fs::remove_dir(folder));
            }
        }
        outcome
    }

    fn write_files(&self, joined: &Joined<'_>, written: &mut Vec<PathBuf>) -> Outcome {
        for file in self.files(joined)? {
            let path = self.path.join(file.name);
            match file.seen_by {
                SeenBy::Owner => secret_file::create(&path, file.content.as_bytes()),
                SeenBy::All => secret_file::create_public(&path, file.content.as_bytes()),
            }?;
            written.push(path);
        }
        Ok(())
    }

    /// All that is to be written. By `agent.yaml` a folder is an agent's, so it comes last.
    fn files(&self, joined: &Joined<'_>) -> Result<Vec<NewFile>, Failure> {
        let enrolled = joined.enrolled;
        let mut files = if self.has_exit {
            Vec::new()
        } else {
            exit(joined)?
        };
        files.push(NewFile {
            name: "agent.pem",
            content: enrolled.identity_pem.0.clone(),
            seen_by: SeenBy::Owner,
        });
        files.push(NewFile {
            name: "relay-ca.crt",
            content: enrolled.relay_authorities_pem.clone(),
            seen_by: SeenBy::All,
        });
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
        files.push(NewFile {
            name: "agent.yaml",
            content: serde_saphyr::to_string(&agent).context("YAML cannot be written")?,
            seen_by: SeenBy::Owner,
        });
        Ok(files)
    }
}

/// A file that is not there yet.
struct NewFile {
    name: &'static str,
    content: String,
    seen_by: SeenBy,
}

enum SeenBy {
    Owner,
    All,
}

/// Refuses a folder that has an agent, or what is left of one.
fn no_agent_in(path: &Path) -> Outcome {
    let present = OF_THE_AGENT.iter().filter(|name| path.join(name).exists());
    let present: Vec<&str> = present.copied().collect();
    let (at, present) = (path.display(), present.join(", "));
    if path.join(CONFIGURATION).exists() {
        return Err(Failure::Usage(format!(
            "an agent is in {at} already ({present}): to join again as the same cluster add `--again` and leave `--kubeconfig` out, or name \
             another folder with `--directory DIR`; the token was not used"
        )));
    }
    if !present.is_empty() {
        return Err(Failure::Usage(format!(
            "a part of an agent is in {at} ({present}), without {CONFIGURATION}: put that back and add `--again`, move {present} away, or name \
             another folder with `--directory DIR`; the token was not used"
        )));
    }
    Ok(())
}

/// The exit's authority and its certificate, made here.
fn exit(joined: &Joined<'_>) -> Result<Vec<NewFile>, Failure> {
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
    let file = |name, seen_by, content| NewFile {
        name,
        content,
        seen_by,
    };
    let certificate = authority.certificate_pem().to_owned();
    Ok(vec![
        file(KEY_OF_THE_AUTHORITY, SeenBy::Owner, authority.key_pem()),
        file("exit-ca/ca.crt", SeenBy::All, certificate),
        file("exit.key", SeenBy::Owner, issued.key_pem),
        file("exit.crt", SeenBy::All, issued.cert_pem),
    ])
}

/// Who may create files there, and give them to their owner, is known once one was.
pub(super) fn is_writable(folder: &Path, owner: Option<Owner>) -> Outcome {
    let probe = folder.join(format!(".gangplank-{}", std::process::id()));
    let created = fs::File::create_new(&probe).and_then(|created| {
        let given = owner.map_or(Ok(()), |owner| owner.take(&created));
        fs::remove_file(&probe).and(given)
    });
    created.map_err(|error| unwritable(folder, error))
}

fn unwritable(folder: &Path, error: io::Error) -> Failure {
    let message = format!(
        "{} cannot be written: let this user write there, or name another folder with `--directory DIR`; the token was not used",
        folder.display()
    );
    Failure::Running(anyhow::Error::new(error).context(message))
}

#[cfg(test)]
mod tests;

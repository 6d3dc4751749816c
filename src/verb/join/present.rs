//! The agent that joins again in its folder: its certificate and its relay's authority are replaced, and nothing else.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gangplank_agent::enrolment::Enrolled;
use gangplank_config::role;
use gangplank_config::upstream::InCluster;
use gangplank_pki::{TunnelName, peer};
use serde_json::Value;

use super::folder::is_writable;
use super::owner::Owner;
use super::relays::RelayPlace;
use crate::failure::{Failure, Outcome};
use crate::secret_file;

const CONFIGURATION: &str = "agent.yaml";
const IDENTITY: &str = "agent.pem";
const AUTHORITIES: &str = "relay-ca.crt";

/// An agent that is to join anew.
pub(super) struct PresentAgent<'a> {
    directory: &'a Path,
}

impl<'a> PresentAgent<'a> {
    /// The agent in this folder, if it is of this cluster and takes what will be written from where it will be.
    pub(super) fn of(
        directory: &'a Path,
        cluster: &TunnelName,
        relay: &RelayPlace,
    ) -> Result<Self, Failure> {
        let refused = |why: &str| {
            Failure::Usage(format!(
                "{} {why}; the token was not used",
                directory.display()
            ))
        };
        let present = Self { directory };
        let file = directory.join(CONFIGURATION);
        let config = fs::read_to_string(&file).map_err(|_unreadable| {
            refused("has no agent.yaml that can be read: put it back, leave `--again` out, or name the agent's folder with `--directory DIR`")
        })?;
        let config: Value = serde_saphyr::from_str(&config).map_err(|_no_yaml| {
            refused("has an agent.yaml that is no YAML: mend it; `gangplank agent` says what is wrong with it")
        })?;
        present.takes(&config, relay).map_err(|why| refused(&why))?;
        // Where it was lost, or its file is broken, only the token says whose it is.
        let agent = role::agent::load(&file, &InCluster::from_environment()).ok();
        let held = agent.and_then(|agent| agent.tunnel.read().ok());
        let held = held.and_then(|held| peer::tunnel_name(held.chain()).ok());
        if let Some(held) = held.filter(|held| held != cluster) {
            let why = format!(
                "is of {held}, and this token makes {cluster}: name another folder with `--directory DIR`, without `--again`"
            );
            return Err(refused(&why));
        }
        for name in [AUTHORITIES, IDENTITY] {
            is_writable(directory, present.owner_of(name))?;
            present.forget_beside(name)?;
        }
        Ok(present)
    }

    /// Whether the agent reads the two files, and trusts this relay by the one. Answers what is to be done if it does not.
    fn takes(&self, config: &Value, relay: &RelayPlace) -> Result<(), String> {
        let is = |written: Option<&Value>, name: &str| {
            let written = written.and_then(Value::as_str);
            written.is_some_and(|written| self.resolved(written) == self.resolved(name))
        };
        if !is(config.pointer("/tunnel/identityFile"), IDENTITY) {
            return Err(
                "has an agent.yaml that does not name agent.pem, where the certificate would go: write it there as `identityFile`, or name another folder with `--directory DIR`"
                    .to_owned(),
            );
        }
        let relays = config.get("relays").and_then(Value::as_array);
        let at = |entry: &&Value| {
            let address = entry.get("address").and_then(Value::as_str);
            address.is_some_and(|address| relay.is_at(address))
        };
        let Some(entry) = relays.and_then(|relays| relays.iter().find(at)) else {
            return Err(format!(
                "has an agent.yaml without {relay} among its `relays`: name one that is there, or write {relay} there first"
            ));
        };
        if !is(entry.get("caFile"), AUTHORITIES) {
            return Err(format!(
                "has an agent.yaml that does not trust {relay} by relay-ca.crt, where the relay's authority would go: write it there as its `caFile`, or name another folder with `--directory DIR`"
            ));
        }
        Ok(())
    }

    /// Where a path in the agent's file leads. The file itself may be lost.
    fn resolved(&self, written: &str) -> PathBuf {
        let path = self.directory.join(written);
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
        match (folder, path.file_name()) {
            (Some(folder), Some(name)) => folder.join(name),
            _ => path,
        }
    }

    /// Both are written before one is replaced. The authority takes its place first: a running agent dials anew when it sees
    /// the certificate.
    pub(super) fn replace(&self, enrolled: &Enrolled) -> Outcome {
        let authorities = enrolled.relay_authorities_pem.as_bytes();
        let identity = enrolled.identity_pem.0.as_bytes();
        let written = self
            .write_beside(AUTHORITIES, |file| {
                secret_file::create_public(file, authorities)
            })
            .and_then(|()| self.write_beside(IDENTITY, |file| secret_file::create(file, identity)));
        let replaced = written
            .and_then(|()| self.put_in_place(AUTHORITIES))
            .and_then(|()| self.put_in_place(IDENTITY));
        if replaced.is_err() {
            // The first error says enough.
            for name in [AUTHORITIES, IDENTITY] {
                drop(self.forget_beside(name));
            }
        }
        replaced
    }

    fn write_beside(&self, name: &str, create: impl FnOnce(&Path) -> Outcome) -> Outcome {
        let next = self.beside(name);
        create(&next)?;
        if let Some(owner) = self.owner_of(name) {
            fs::File::open(&next)
                .and_then(|file| owner.take(&file))
                .with_context(|| format!("{} cannot be given to its owner", next.display()))?;
        }
        Ok(())
    }

    fn put_in_place(&self, name: &str) -> Outcome {
        let file = self.directory.join(name);
        fs::rename(self.beside(name), &file)
            .with_context(|| format!("{} cannot be replaced", file.display()))?;
        Ok(())
    }

    /// What is left of a joining that was cut off would be in the way of this one.
    fn forget_beside(&self, name: &str) -> Outcome {
        let stale = self.beside(name);
        match fs::remove_file(&stale) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let why = format!(
                    "{} is in the way and cannot be removed; the token was not used",
                    stale.display()
                );
                Err(Failure::Running(anyhow::Error::new(error).context(why)))
            }
            _ => Ok(()),
        }
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.joined"))
    }

    /// Whose the file is, or was: the agent's own file is of the same user as a rule.
    fn owner_of(&self, name: &str) -> Option<Owner> {
        let metadata = |name| fs::metadata(self.directory.join(name)).ok();
        let file = metadata(name).or_else(|| metadata(CONFIGURATION));
        file.map(|file| Owner::of(&file))
    }
}

#[cfg(test)]
mod tests;

//! Pins as files of a trust directory: a file for each known cluster, replaced as a whole.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use gangplank_objects::manifest::Manifest;
use gangplank_objects::pinning::{is_of, joined};
use gangplank_objects::{KnownCluster, KnownClusterSpec};
use gangplank_pki::TunnelName;
use gangplank_pki::clock::{Clock as _, SystemClock};
use serde_json::Value;

use crate::failure::{Failure, Outcome};

/// Longest file that is read: sixteen certificates are a tenth of it.
const LONGEST: u64 = 1024 * 1024;

/// A trust directory.
pub(super) struct Folder<'d> {
    path: &'d Path,
}

impl<'d> Folder<'d> {
    /// The directory at `path`.
    pub(super) fn open(path: &'d Path) -> Result<Self, Failure> {
        if path.is_dir() {
            return Ok(Self { path });
        }
        Err(Failure::Usage(format!(
            "there is no directory {}: name the exit's trust directory",
            path.display()
        )))
    }

    /// All that is known, with its age in seconds.
    pub(super) fn known(&self) -> Result<Vec<super::Aged>, Failure> {
        let found = self.files()?.into_iter();
        Ok(found.map(|(file, known)| (age(&file), known)).collect())
    }

    /// Adds to what is known of `cluster`, in the file that it has or in a new one.
    pub(super) fn add(&self, cluster: &TunnelName, added: KnownClusterSpec) -> Outcome {
        let there = self
            .files()?
            .into_iter()
            .find(|(_, known)| is_of(known, cluster));
        let (file, known) = match there {
            None => {
                let file = self.path.join(format!("known-cluster-{cluster}.yaml"));
                (file, KnownCluster::new(cluster.as_str(), added))
            }
            Some((file, mut known)) => {
                known.spec = joined(&known.spec, added);
                (file, known)
            }
        };
        let text = serde_saphyr::to_string(Manifest::of(&known).value())
            .context("the object cannot be written as YAML")?;
        // Hidden, so that whoever watches the directory does not read half of it.
        let half = self.path.join(format!(".known-cluster-{cluster}.new"));
        fs::write(&half, text)
            .and_then(|()| fs::rename(&half, &file))
            .with_context(|| format!("{} cannot be written", file.display()))?;
        Ok(())
    }

    /// Removes the files of `cluster`.
    pub(super) fn remove(&self, cluster: &TunnelName) -> Result<Vec<String>, Failure> {
        let mut removed = Vec::new();
        for (file, known) in self.files()? {
            if is_of(&known, cluster) {
                fs::remove_file(&file)
                    .with_context(|| format!("{} cannot be removed", file.display()))?;
                removed.push(file.display().to_string());
            }
        }
        Ok(removed)
    }

    /// The files that hold one `KnownCluster` and nothing else.
    fn files(&self) -> Result<Vec<(PathBuf, KnownCluster)>, Failure> {
        let listing = fs::read_dir(self.path)
            .with_context(|| format!("{} cannot be read", self.path.display()))?;
        let mut found = Vec::new();
        for entry in listing {
            let file = entry
                .with_context(|| format!("{} cannot be read", self.path.display()))?
                .path();
            let ending = file.extension().and_then(|ending| ending.to_str());
            if matches!(ending, Some("yaml" | "yml" | "json"))
                && let Some(known) = known_in(&file)
            {
                found.push((file, known));
            }
        }
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(found)
    }
}

/// What else lies in the directory is not for this command to judge: the exit tells what is wrong with it.
fn known_in(file: &Path) -> Option<KnownCluster> {
    let mut text = String::new();
    let opened = fs::File::open(file).ok()?;
    opened.take(LONGEST).read_to_string(&mut text).ok()?;
    let value: Value = serde_saphyr::from_str(&text).ok()?;
    if value.get("kind")? != "KnownCluster" {
        return None;
    }
    serde_json::from_value(value).ok()
}

/// How long ago a file was written, in seconds.
fn age(file: &Path) -> Option<u64> {
    let written = fs::metadata(file).ok()?.modified().ok()?;
    let written = written.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(
        SystemClock
            .now()
            .as_secs()
            .saturating_sub(written.as_secs()),
    )
}

//! Material that changes while the program runs: one task writes, everybody else reads.
//!
//! A reload that fails keeps what was good, is logged once for each different fault, and shows in the
//! report until it is mended. The first read has nothing to fall back to and so must succeed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use gangplank_pki::Fingerprint;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::fault::Fault;
use crate::file;
use crate::material::Material;
use crate::wake::Wake;

/// The reader half: cheap to clone, cheap to read.
pub struct Reloaded<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    current: ArcSwap<T>,
    report: watch::Sender<Report>,
}

/// How reloading goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Counts what was taken over, from 1.
    pub generation: u64,
    /// How many looks found a change that could not be taken over, since the start.
    pub failures: u64,
    /// Why the newest state of the files is not in use, while it is not.
    pub fault: Option<Fault>,
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    pub(crate) fn open(material: Material<T>) -> Result<(Self, Reloader<T>), Fault> {
        let digest = Digest::of(material.files());
        let first = material.read()?;
        let report = Report {
            generation: 1,
            ..Report::default()
        };
        let shared = Arc::new(Shared {
            current: ArcSwap::from_pointee(first),
            report: watch::Sender::new(report),
        });
        let reloader = Reloader {
            shared: Arc::clone(&shared),
            material,
            digest,
        };
        Ok((Self { shared }, reloader))
    }

    /// A value that never changes.
    pub fn fixed(value: T) -> Self {
        let report = Report {
            generation: 1,
            ..Report::default()
        };
        let shared = Shared {
            current: ArcSwap::from_pointee(value),
            report: watch::Sender::new(report),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// What is in use now.
    pub fn current(&self) -> Arc<T> {
        self.shared.current.load_full()
    }

    /// How reloading goes; the receiver wakes when a state was taken over, and when one was refused.
    pub fn reports(&self) -> watch::Receiver<Report> {
        self.shared.report.subscribe()
    }

    /// Counts what was taken over, from 1.
    pub fn generation(&self) -> u64 {
        self.shared.report.borrow().generation
    }
}

impl<T> Clone for Reloaded<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> fmt::Debug for Reloaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloaded")
            .field("report", &*self.shared.report.borrow())
            .finish()
    }
}

/// The writer half: follows the files until it is told to stop.
#[must_use = "nothing is reloaded unless this runs"]
pub struct Reloader<T> {
    shared: Arc<Shared<T>>,
    material: Material<T>,
    digest: Digest,
}

impl<T: Send + Sync + 'static> Reloader<T> {
    /// Follows the files until `shutdown`. Spawn it on the role's task tracker.
    pub async fn run(mut self, shutdown: CancellationToken) {
        if self.material.files().is_empty() {
            return;
        }
        let folders: Vec<PathBuf> = self
            .material
            .files()
            .iter()
            .map(|file| folder_of(file).to_owned())
            .collect();
        let mut wake = Wake::new(folders);
        // A change between the first read and the watch would otherwise wait for the poll.
        self.look().await;
        while shutdown.run_until_cancelled(wake.due()).await.is_some() {
            self.look().await;
        }
    }

    /// Takes the files over if they changed and are good.
    async fn look(&mut self) {
        let (material, known) = (self.material.clone(), self.digest.clone());
        match spawn_blocking(move || read_if_changed(&material, &known)).await {
            Ok(None) => {}
            Ok(Some((digest, read))) => {
                self.digest = digest;
                match read {
                    Ok(value) => self.take_over(value),
                    Err(fault) => self.refuse(fault),
                }
            }
            Err(error) => {
                tracing::error!(file = %self.named(), %error, "reading failed; the last good state stays in use");
            }
        }
    }

    fn take_over(&self, value: T) {
        self.shared.current.store(Arc::new(value));
        self.shared.report.send_modify(|report| {
            report.generation = report.generation.saturating_add(1);
            report.fault = None;
        });
        let generation = self.shared.report.borrow().generation;
        tracing::info!(file = %self.named(), generation, "reloaded");
    }

    fn refuse(&self, fault: Fault) {
        let known = self.shared.report.borrow().fault.as_ref() == Some(&fault);
        if !known {
            tracing::error!(file = %self.named(), reason = fault.reason(), "not reloaded, the last good state stays in use: {fault}");
        }
        self.shared.report.send_modify(|report| {
            report.failures = report.failures.saturating_add(1);
            report.fault = Some(fault);
        });
    }

    fn named(&self) -> std::path::Display<'_> {
        self.material
            .first_file()
            .unwrap_or_else(|| Path::new(""))
            .display()
    }
}

impl<T> fmt::Debug for Reloader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader")
            .field("material", &self.material)
            .finish_non_exhaustive()
    }
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// What changed files hold now, on a thread where reading them may block.
fn read_if_changed<T: Send + Sync + 'static>(
    material: &Material<T>,
    known: &Digest,
) -> Option<(Digest, Result<T, Fault>)> {
    let digest = Digest::of(material.files());
    if digest == *known {
        return None;
    }
    let read = material.read();
    // Written to while being read: what was read may be half of each. The next look settles it.
    (Digest::of(material.files()) == digest).then_some((digest, read))
}

/// What the files hold, so that neither size nor times have to be believed.
#[derive(Clone, PartialEq, Eq)]
struct Digest(Vec<Option<Fingerprint>>);

impl Digest {
    fn of(files: &[PathBuf]) -> Self {
        let digest = |path: &PathBuf| file::read(path).ok().map(|bytes| Fingerprint::of(&bytes));
        Self(files.iter().map(digest).collect())
    }
}

#[cfg(test)]
mod tests;

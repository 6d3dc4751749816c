//! Renewing the agent's certificate before it expires, and for a while after.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gangplank_config::reload::Report;
use gangplank_config::{Anchors, KeyPair, Reloaded};
use gangplank_pki::clock::{Clock, at};
use gangplank_pki::inspect::inspect_der;
use gangplank_pki::{TunnelName, WithCauses};
use rustls_pki_types::UnixTime;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff;
use crate::enrolment::{Address, Enrolled, EnrolmentError, Present, renew};
use crate::metrics::Renewals;
use crate::random::Random;
use crate::settings::Relay;

mod note;

pub(crate) use note::RenewalNote;
pub use note::RenewalView;

/// How long the clock is believed at a time: it may be set meanwhile.
const LOOK: Duration = Duration::from_secs(60);

/// Between two attempts when a person has to do something first, which the relay's answer tells.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// How long the files' follower may take to see the new certificate; it looks every two seconds.
const TAKEN_OVER: Duration = Duration::from_secs(30);

/// Renews an agent's certificate.
pub(crate) struct Renewal {
    pub(crate) file: PathBuf,
    pub(crate) identity: Reloaded<KeyPair>,
    pub(crate) relays: Vec<(Relay, Reloaded<Anchors>)>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Random,
    pub(crate) metrics: Renewals,
    pub(crate) note: RenewalNote,
}

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
enum RenewalFault {
    #[error("the present certificate cannot be read")]
    Unreadable,
    #[error(transparent)]
    Enrolment(#[from] EnrolmentError),
    #[error(
        "{file} could not be replaced by the next certificate: let the agent's user create files in its folder, and \
         see that there is room; a volume that is read-only, as that of a Secret, will not do"
    )]
    Unwritable {
        file: String,
        #[source]
        cause: io::Error,
    },
    #[error(
        "{file} cannot be written; the certificate that was just issued is lost, the next is asked for"
    )]
    File {
        file: String,
        #[source]
        cause: io::Error,
    },
}

impl RenewalFault {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable => "Unreadable",
            Self::Enrolment(error) => error.reason(),
            Self::File { .. } | Self::Unwritable { .. } => "FileUnwritable",
        }
    }

    const fn needs_a_person(&self) -> bool {
        match self {
            Self::Unreadable | Self::File { .. } | Self::Unwritable { .. } => true,
            Self::Enrolment(error) => error.needs_a_person(),
        }
    }
}

impl Renewal {
    /// Renews at two thirds of each certificate's life, until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.renew_for_ever()).await;
    }

    async fn renew_for_ever(&self) {
        self.look_at_the_folder().await;
        let mut attempt = 0;
        loop {
            self.due().await;
            let generation = self.identity.generation();
            match self.renew(attempt).await {
                Ok(()) => {
                    attempt = 0;
                    self.metrics.renewed("Renewed");
                    self.note.note(None);
                    tracing::info!(file = %self.file.display(), "the tunnel's certificate was renewed");
                    self.taken_over(generation).await;
                }
                Err(fault) => {
                    self.metrics.renewed(fault.reason());
                    self.note.note(Some(WithCauses(&fault).to_string()));
                    tell(&fault, attempt);
                    let pause = if fault.needs_a_person() {
                        PATIENCE
                    } else {
                        backoff::delay(attempt, (self.random)())
                    };
                    attempt = attempt.saturating_add(1);
                    sleep(pause).await;
                }
            }
        }
    }

    /// Says at the start, and not when two thirds of a life are over, that its successor could not be kept; until it
    /// could, or is due anyway.
    async fn look_at_the_folder(&self) {
        let mut is_told = false;
        while let Err(fault) = self.try_the_folder().await {
            let why = WithCauses(&fault).to_string();
            if !is_told {
                is_told = true;
                tracing::error!(reason = fault.reason(), error = %why, "the tunnel's certificate cannot be renewed when it is due");
            }
            self.note.note(Some(why));
            let left = self.until_due();
            if left.is_zero() {
                return;
            }
            sleep(left.min(LOOK)).await;
        }
        if is_told {
            self.note.note(None);
            tracing::info!(file = %self.file.display(), "the tunnel's certificate can be renewed now");
        }
    }

    async fn try_the_folder(&self) -> Result<(), RenewalFault> {
        let file = self.file.clone();
        let tried = spawn_blocking(move || is_replaceable(&file)).await;
        let tried = tried.unwrap_or_else(|error| Err(io::Error::other(error)));
        tried.map_err(|cause| RenewalFault::Unwritable {
            file: self.file.display().to_string(),
            cause,
        })
    }

    /// Resolves when two thirds of the present certificate's life are over.
    async fn due(&self) {
        loop {
            let left = self.until_due();
            if left.is_zero() {
                return;
            }
            sleep(left.min(LOOK)).await;
        }
    }

    fn until_due(&self) -> Duration {
        let Some(due) = due(&self.identity.current()) else {
            return Duration::ZERO;
        };
        Duration::from_secs(due.as_secs().saturating_sub(self.clock.now().as_secs()))
    }

    /// Asks one relay, at the next attempt the next.
    async fn renew(&self, attempt: u32) -> Result<(), RenewalFault> {
        // The relay is not asked for what could not be kept.
        self.try_the_folder().await?;
        let turn = usize::try_from(attempt).unwrap_or(0) % self.relays.len().max(1);
        let (relay, authorities) = self.relays.get(turn).ok_or(RenewalFault::Unreadable)?;
        let (identity, authorities) = (self.identity.current(), authorities.current());
        let leaf = identity.leaf().ok_or(RenewalFault::Unreadable)?;
        let tunnel = TunnelName::from_agent_certificate(leaf)
            .map_err(|_nameless| RenewalFault::Unreadable)?;
        let present = Present {
            identity: &identity,
            tunnel: &tunnel,
            authorities: &authorities,
            clock: &self.clock,
        };
        let address = Address {
            host: &relay.host,
            port: relay.port,
            proxy: relay.proxy.as_ref(),
        };
        let enrolled = renew(address, &relay.server_name, present).await?;
        self.write(enrolled).await
    }

    async fn write(&self, enrolled: Enrolled) -> Result<(), RenewalFault> {
        let file = self.file.clone();
        let text = enrolled.identity_pem.0;
        let writing = spawn_blocking(move || replace(&file, text.as_bytes()));
        let written = writing
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|cause| RenewalFault::File {
            file: self.file.display().to_string(),
            cause,
        })
    }

    /// Waits until the new certificate is in use, so that it is not asked for twice.
    async fn taken_over(&self, generation: u64) {
        let mut reports = self.identity.reports();
        let newer = reports.wait_for(|report: &Report| report.generation > generation);
        if timeout(TAKEN_OVER, newer).await.is_err() {
            tracing::warn!(file = %self.file.display(), "the renewed certificate is not in use yet");
        }
    }
}

/// The moment at which two thirds of a certificate's life are over.
pub(crate) fn due(identity: &KeyPair) -> Option<UnixTime> {
    let leaf = identity.leaf().and_then(|leaf| inspect_der(leaf))?;
    let (begin, end) = (leaf.not_before.as_secs(), leaf.not_after.as_secs());
    let two_thirds = end.saturating_sub(begin) / 3 * 2;
    Some(at(begin.saturating_add(two_thirds)))
}

/// The first failure is a warning, and so is each that a person has to know of; the others are counted.
fn tell(fault: &RenewalFault, attempt: u32) {
    let reason = fault.reason();
    if fault.needs_a_person() {
        tracing::error!(reason, error = %WithCauses(fault), "the tunnel's certificate cannot be renewed");
    } else if attempt == 0 {
        tracing::warn!(reason, error = %WithCauses(fault), "the tunnel's certificate is not renewed yet, the next attempt follows by itself");
    } else {
        tracing::debug!(reason, error = %WithCauses(fault), attempt, "the tunnel's certificate is not renewed yet");
    }
}

/// Where a file's successor is written first.
fn beside(file: &Path) -> PathBuf {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    PathBuf::from(beside)
}

/// Whether a file could be replaced, as far as that can be seen without doing it.
fn is_replaceable(file: &Path) -> io::Result<()> {
    let beside = beside(file);
    let mut opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    // A full disk has names left, but no room.
    let written = opened.write_all(b"-").and_then(|()| opened.sync_all());
    let removed = fs::remove_file(&beside);
    written.and(removed)
}

/// Replaces a file for its owner alone: there is the old content or the new one, whatever happens meanwhile.
fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    let beside = beside(file);
    let mut opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    let written = opened.write_all(content).and_then(|()| opened.sync_all());
    let moved = written.and_then(|()| fs::rename(&beside, file));
    if moved.is_err() {
        // If it cannot be removed either, the first error says enough.
        drop(fs::remove_file(&beside));
        return moved;
    }
    // The name is on the disk only when its folder is.
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.pem");
        replace(&file, b"first").unwrap();
        replace(&file, b"second").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"second");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        assert!(is_replaceable(&file).is_ok());
        assert_eq!(fs::read(&file).unwrap(), b"second");
        fs::create_dir(folder.path().join("full.new")).unwrap();
        let full = folder.path().join("full");
        assert!(is_replaceable(&full).is_err());
        fs::write(&full, "kept").unwrap();
        assert!(replace(&full, b"lost").is_err());
        assert_eq!(fs::read(&full).unwrap(), b"kept");
    }
}

//! The register of one relay: a file of SQLite's.
//!
//! SQLite because the command line writes while the relay runs, each in a process of its own, and because
//! what it has confirmed survives a crash and a full disk. Every change is one transaction, synced before it
//! is reported.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gangplank_pki::{Fingerprint, TunnelName};
use gangplank_tunnel::BoxFuture;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use rustls_pki_types::UnixTime;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::known::{Known, Snapshot};
use crate::register::{
    CertificateRecord, Register, RegisterFault, Revocation, Succession, TokenId, TokenRecord,
};

mod tables;

use tables::{
    CERTIFICATE, RENEWALS, TABLES, TOKEN, VERSION, certificate, count_change, count_renewal,
    fingerprint, moment, seconds, token, tunnel, write_down,
};

/// How often the file is asked whether something changed. A revoked tunnel is to end within a second, and
/// asking costs one read of one number.
const LOOK: Duration = Duration::from_millis(250);

/// How long one process waits for another's transaction; they take milliseconds, and a slow disk's sync a
/// second.
const PATIENCE: Duration = Duration::from_secs(5);

/// A register in one file, which its owner alone may read.
#[derive(Debug, Clone)]
pub struct EmbeddedRegister {
    file: Arc<Path>,
    connection: Arc<Mutex<Connection>>,
}

/// Why SQLite's file is of no use.
#[derive(Debug, thiserror::Error)]
enum FileFault {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(
        "it was written by a later version of this program (tables of version {0}); update this one"
    )]
    Later(i64),
    #[error("the task that used it was ended")]
    Ended,
}

impl EmbeddedRegister {
    /// Opens the register, and makes it where there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or is no register.
    pub fn open(file: &Path) -> Result<Self, RegisterFault> {
        let opened = open(file).map_err(|cause| fault(file, "opened", cause))?;
        Ok(Self {
            file: file.into(),
            connection: Arc::new(Mutex::new(opened)),
        })
    }

    /// A number that grows with each change of what a relay has in its memory: cheap to ask.
    fn revision(&self) -> BoxFuture<'_, Result<i64, RegisterFault>> {
        self.run("read", |connection| {
            let mut wanted = connection.prepare("SELECT number FROM revision")?;
            wanted.query_row([], |row| row.get(0))
        })
    }

    /// What a relay has to know, if it is not that of revision `seen`.
    async fn look(&self, seen: Option<i64>) -> Result<Option<(i64, Snapshot)>, RegisterFault> {
        // Read before what it counts: a change in between costs one look too many, never one too few.
        let revision = self.revision().await?;
        if seen == Some(revision) {
            return Ok(None);
        }
        Ok(Some((revision, self.snapshot().await?)))
    }

    /// Runs `work` where it may block.
    fn run<T: Send + 'static>(
        &self,
        done: &'static str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, RegisterFault>> {
        let connection = Arc::clone(&self.connection);
        let working = spawn_blocking(move || work(&mut connection.lock()));
        Box::pin(async move {
            let outcome = match working.await {
                Ok(outcome) => outcome.map_err(FileFault::Sqlite),
                Err(_ended) => Err(FileFault::Ended),
            };
            outcome.map_err(|cause| fault(&self.file, done, cause))
        })
    }
}

fn fault(file: &Path, done: &'static str, cause: FileFault) -> RegisterFault {
    RegisterFault {
        place: file.display().to_string(),
        done,
        cause: Box::new(cause),
    }
}

fn open(file: &Path) -> Result<Connection, FileFault> {
    // Made here rather than by SQLite, for its owner alone; what SQLite lays beside it gets the same mode.
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)?;
    let mut connection = Connection::open(file)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = begun.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => begun.execute_batch(TABLES)?,
        VERSION => {}
        later => return Err(FileFault::Later(later)),
    }
    begun.execute_batch(RENEWALS)?;
    begun.commit()?;
    Ok(connection)
}

impl Register for EmbeddedRegister {
    fn keep_token(&self, token: TokenRecord) -> BoxFuture<'_, Result<(), RegisterFault>> {
        self.run("written", move |connection| {
            connection.execute(
                "INSERT INTO token VALUES (?1, ?2, ?3, ?4, ?5, NULL)",
                params![
                    token.id,
                    token.secret.as_bytes(),
                    token.tunnel.as_str(),
                    seconds(token.created),
                    seconds(token.expires)
                ],
            )?;
            Ok(())
        })
    }

    fn token(&self, id: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, RegisterFault>> {
        self.run("read", move |connection| {
            let mut wanted = connection.prepare(&format!("{TOKEN} WHERE id = ?1"))?;
            wanted.query_row([id], token).optional()
        })
    }

    fn tokens(&self) -> BoxFuture<'_, Result<Vec<TokenRecord>, RegisterFault>> {
        self.run("read", |connection| {
            let mut wanted = connection.prepare(&format!("{TOKEN} ORDER BY created"))?;
            wanted.query_map([], token)?.collect()
        })
    }

    fn forget_token(&self, id: TokenId) -> BoxFuture<'_, Result<bool, RegisterFault>> {
        self.run("written", move |connection| {
            Ok(connection.execute("DELETE FROM token WHERE id = ?1", [id])? > 0)
        })
    }

    fn redeem(
        &self,
        id: TokenId,
        certificate: CertificateRecord,
    ) -> BoxFuture<'_, Result<bool, RegisterFault>> {
        self.run("written", move |connection| {
            let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let used = begun.execute(
                "UPDATE token SET used = ?2 WHERE id = ?1 AND used IS NULL",
                params![id, seconds(certificate.issued)],
            )?;
            if used == 0 {
                return Ok(false);
            }
            write_down(&begun, &certificate)?;
            begun.commit()?;
            Ok(true)
        })
    }

    fn admit(&self, certificate: CertificateRecord) -> BoxFuture<'_, Result<bool, RegisterFault>> {
        self.run("written", move |connection| {
            let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let newest: Option<Option<i64>> = begun
                .query_row(
                    "SELECT revoked FROM certificate WHERE tunnel = ?1
                     ORDER BY issued DESC, revoked IS NULL DESC LIMIT 1",
                    [certificate.tunnel.as_str()],
                    |row| row.get(0),
                )
                .optional()?;
            if newest.flatten().is_some() {
                return Ok(false);
            }
            write_down(&begun, &certificate)?;
            begun.commit()?;
            Ok(true)
        })
    }

    fn succeed(
        &self,
        predecessor: Fingerprint,
        certificate: CertificateRecord,
    ) -> BoxFuture<'_, Result<Succession, RegisterFault>> {
        self.run("written", move |connection| {
            let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let entitled: i64 = begun.query_row(
                "SELECT count(*) FROM certificate
                 WHERE fingerprint = ?1 AND tunnel = ?2 AND revoked IS NULL",
                params![predecessor.as_bytes(), certificate.tunnel.as_str()],
                |row| row.get(0),
            )?;
            if entitled == 0 {
                return Ok(Succession::NoRight);
            }
            if !count_renewal(&begun, &certificate)? {
                return Ok(Succession::TooMany);
            }
            write_down(&begun, &certificate)?;
            begun.commit()?;
            Ok(Succession::Written)
        })
    }

    fn certificates(&self) -> BoxFuture<'_, Result<Vec<CertificateRecord>, RegisterFault>> {
        self.run("read", |connection| {
            let sorted = format!("{CERTIFICATE} ORDER BY tunnel, issued");
            let mut wanted = connection.prepare(&sorted)?;
            wanted.query_map([], certificate)?.collect()
        })
    }

    fn certificates_of(
        &self,
        tunnel: TunnelName,
    ) -> BoxFuture<'_, Result<Vec<CertificateRecord>, RegisterFault>> {
        self.run("read", move |connection| {
            let sorted = format!("{CERTIFICATE} WHERE tunnel = ?1 ORDER BY issued");
            let mut wanted = connection.prepare(&sorted)?;
            wanted.query_map([tunnel.as_str()], certificate)?.collect()
        })
    }

    fn certificate(
        &self,
        tunnel: TunnelName,
        fingerprint: Fingerprint,
    ) -> BoxFuture<'_, Result<Option<CertificateRecord>, RegisterFault>> {
        self.run("read", move |connection| {
            let one = format!("{CERTIFICATE} WHERE fingerprint = ?1 AND tunnel = ?2");
            let mut wanted = connection.prepare(&one)?;
            let which = params![fingerprint.as_bytes(), tunnel.as_str()];
            wanted.query_row(which, certificate).optional()
        })
    }

    fn last_end(&self) -> BoxFuture<'_, Result<Option<UnixTime>, RegisterFault>> {
        self.run("read", |connection| {
            let last = "SELECT max(not_after) FROM certificate";
            let last: Option<i64> = connection.query_row(last, [], |row| row.get(0))?;
            Ok(last.map(moment))
        })
    }

    fn revoke(
        &self,
        tunnel: TunnelName,
        now: UnixTime,
    ) -> BoxFuture<'_, Result<Revocation, RegisterFault>> {
        self.run("written", move |connection| {
            let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let certificates = begun.execute(
                "UPDATE certificate SET revoked = ?2 WHERE tunnel = ?1 AND revoked IS NULL",
                params![tunnel.as_str(), seconds(now)],
            )?;
            let tokens = begun.execute(
                "DELETE FROM token WHERE tunnel = ?1 AND used IS NULL",
                [tunnel.as_str()],
            )?;
            begun.execute("DELETE FROM renewal WHERE tunnel = ?1", [tunnel.as_str()])?;
            count_change(&begun)?;
            begun.commit()?;
            Ok(Revocation {
                certificates: Some(certificates),
                tokens: Some(tokens),
            })
        })
    }

    fn forget(&self, before: UnixTime) -> BoxFuture<'_, Result<(), RegisterFault>> {
        self.run("written", move |connection| {
            let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let end = seconds(before);
            begun.execute("DELETE FROM token WHERE expires < ?1", [end])?;
            begun.execute("DELETE FROM renewal WHERE not_after < ?1", [end])?;
            if begun.execute("DELETE FROM certificate WHERE not_after < ?1", [end])? > 0 {
                count_change(&begun)?;
            }
            begun.commit()
        })
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, RegisterFault>> {
        self.run("read", |connection| {
            let revoked = "SELECT fingerprint FROM certificate WHERE revoked IS NOT NULL";
            let mut revoked = connection.prepare(revoked)?;
            let names = "SELECT DISTINCT tunnel FROM certificate WHERE revoked IS NULL";
            let mut names = connection.prepare(names)?;
            Ok(Snapshot {
                revoked: revoked
                    .query_map([], |row| fingerprint(row, 0))?
                    .collect::<Result<_, _>>()?,
                names: names
                    .query_map([], |row| tunnel(row, 0))?
                    .collect::<Result<_, _>>()?,
            })
        })
    }

    fn follow(&self, known: Known, shutdown: CancellationToken) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (mut seen, mut heard) = (None, Instant::now());
            while shutdown.run_until_cancelled(sleep(LOOK)).await.is_some() {
                let looked = self.look(seen).await;
                if looked.is_ok() {
                    heard = Instant::now();
                }
                match looked {
                    Ok(None) => known.held(),
                    Ok(Some((revision, snapshot))) => {
                        seen = Some(revision);
                        known.learn(snapshot);
                    }
                    Err(fault) => known.lost(&fault, heard),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;

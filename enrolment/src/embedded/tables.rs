//! The tables of the register's file, and their rows as records.

use gangplank_pki::clock::at;
use gangplank_pki::{Fingerprint, TunnelName};
use rusqlite::types::Type;
use rusqlite::{Connection, Error, Result, Row, params};
use rustls_pki_types::UnixTime;

use crate::register::{CertificateRecord, MOST_RENEWALS, TokenRecord};

/// The version of the tables below, in the file itself.
pub(super) const VERSION: i64 = 1;

pub(super) const TABLES: &str = "
    CREATE TABLE token (
        id BLOB PRIMARY KEY, secret BLOB NOT NULL, tunnel TEXT NOT NULL,
        created INTEGER NOT NULL, expires INTEGER NOT NULL, used INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE certificate (
        fingerprint BLOB PRIMARY KEY, tunnel TEXT NOT NULL,
        issued INTEGER NOT NULL, not_after INTEGER NOT NULL, revoked INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX certificate_of_tunnel ON certificate (tunnel);
    CREATE TABLE revision (number INTEGER NOT NULL) STRICT;
    INSERT INTO revision VALUES (0);
    PRAGMA user_version = 1;
";

/// Of the renewals that are counted when each of them ends. A version of this program that does not know the table
/// writes nothing there, and is not told a later version of the others for it.
pub(super) const RENEWALS: &str = "
    CREATE TABLE IF NOT EXISTS renewal (tunnel TEXT NOT NULL, not_after INTEGER NOT NULL) STRICT;
    CREATE INDEX IF NOT EXISTS renewal_of_tunnel ON renewal (tunnel);
";

pub(super) const TOKEN: &str = "SELECT id, secret, tunnel, created, expires, used FROM token";
pub(super) const CERTIFICATE: &str =
    "SELECT fingerprint, tunnel, issued, not_after, revoked FROM certificate";

/// Whoever follows the file is to look again.
pub(super) fn count_change(connection: &Connection) -> Result<()> {
    connection.execute("UPDATE revision SET number = number + 1", [])?;
    Ok(())
}

pub(super) fn write_down(connection: &Connection, certificate: &CertificateRecord) -> Result<()> {
    let joined: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM certificate WHERE tunnel = ?1 AND revoked IS NULL)",
        [certificate.tunnel.as_str()],
        |row| row.get(0),
    )?;
    if !joined {
        count_change(connection)?;
    }
    connection.execute(
        "INSERT INTO certificate VALUES (?1, ?2, ?3, ?4, NULL)",
        params![
            certificate.fingerprint.as_bytes(),
            certificate.tunnel.as_str(),
            seconds(certificate.issued),
            seconds(certificate.not_after)
        ],
    )?;
    Ok(())
}

/// Counts a renewal; false when there are too many that are good.
pub(super) fn count_renewal(
    connection: &Connection,
    certificate: &CertificateRecord,
) -> Result<bool> {
    let tunnel = certificate.tunnel.as_str();
    connection.execute(
        "DELETE FROM renewal WHERE tunnel = ?1 AND not_after < ?2",
        params![tunnel, seconds(certificate.issued)],
    )?;
    let most = i64::try_from(MOST_RENEWALS).unwrap_or(i64::MAX);
    let counted = connection.execute(
        "INSERT INTO renewal SELECT ?1, ?2 WHERE (SELECT count(*) FROM renewal WHERE tunnel = ?1) < ?3",
        params![tunnel, seconds(certificate.not_after), most],
    )?;
    Ok(counted > 0)
}

pub(super) fn token(row: &Row<'_>) -> Result<TokenRecord> {
    Ok(TokenRecord {
        id: row.get(0)?,
        secret: fingerprint(row, 1)?,
        tunnel: tunnel(row, 2)?,
        created: moment(row.get(3)?),
        expires: moment(row.get(4)?),
        used: row.get::<_, Option<i64>>(5)?.map(moment),
    })
}

pub(super) fn certificate(row: &Row<'_>) -> Result<CertificateRecord> {
    Ok(CertificateRecord {
        fingerprint: fingerprint(row, 0)?,
        tunnel: tunnel(row, 1)?,
        issued: moment(row.get(2)?),
        not_after: moment(row.get(3)?),
        revoked: row.get::<_, Option<i64>>(4)?.map(moment),
    })
}

pub(super) fn fingerprint(row: &Row<'_>, column: usize) -> Result<Fingerprint> {
    row.get(column).map(Fingerprint::from_bytes)
}

pub(super) fn tunnel(row: &Row<'_>, column: usize) -> Result<TunnelName> {
    let text: String = row.get(column)?;
    TunnelName::parse(&text).map_err(|fault| {
        let text = Type::Text;
        Error::FromSqlConversionFailure(column, text, Box::new(fault))
    })
}

/// SQLite's integers have a sign; no moment here is beyond the year 9999.
pub(super) fn seconds(moment: UnixTime) -> i64 {
    i64::try_from(moment.as_secs()).unwrap_or(i64::MAX)
}

pub(super) fn moment(seconds: i64) -> UnixTime {
    at(u64::try_from(seconds).unwrap_or(0))
}

//! What must not be forgotten: tokens, the certificates that were issued, and which of them are revoked.

use std::error::Error;
use std::fmt;

use gangplank_pki::{Fingerprint, TunnelName};
use gangplank_tunnel::BoxFuture;
use gangplank_tunnel::wire::enrolment::TOKEN_ID;
use rustls_pki_types::UnixTime;
use tokio_util::sync::CancellationToken;

use crate::known::{Known, Snapshot};

/// The part of a token that is no secret.
pub type TokenId = [u8; TOKEN_ID];

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Which one it is.
    pub id: TokenId,
    /// SHA-256 of its secret. The secret is random and long, so nothing slower is needed.
    pub secret: Fingerprint,
    /// The cluster that it makes one.
    pub tunnel: TunnelName,
    /// When it was made.
    pub created: UnixTime,
    /// The first moment at which it is of no use any more.
    pub expires: UnixTime,
    /// When it was used, if it was.
    pub used: Option<UnixTime>,
}

/// A certificate that was issued to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRecord {
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
    /// Whose it is.
    pub tunnel: TunnelName,
    /// When it was issued.
    pub issued: UnixTime,
    /// Its last moment.
    pub not_after: UnixTime,
    /// When it was revoked, if it was.
    pub revoked: Option<UnixTime>,
}

/// Renewals of one name that are good at the same time, in all. Sixteen agents of one cluster have two each, since they renew at two thirds of a
/// life; and as many again may have been lost on their way. Whoever has an agent's key could otherwise have the register grow for ever. Joins
/// are not among them: a token is good for one.
pub(crate) const MOST_RENEWALS: usize = 64;

/// What came of writing a successor down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession {
    /// It is written.
    Written,
    /// Nothing was done: its predecessor was revoked or is not known.
    NoRight,
    /// Nothing was done: so many of its name were renewed and are good that no more are given.
    TooMany,
}

/// What a revocation concerned. A number is none where it could not be counted; it is revoked all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Certificates that were not revoked before.
    pub certificates: Option<usize>,
    /// Tokens that were not used.
    pub tokens: Option<usize>,
}

impl Revocation {
    /// Whether there was nothing to revoke.
    pub fn is_empty(&self) -> bool {
        (self.certificates, self.tokens) == (Some(0), Some(0))
    }
}

/// Where it is kept. Every change is whole or not at all, and on stable storage when it is reported. What holds
/// for one relay and the command line beside it holds for all that use the same register.
pub trait Register: fmt::Debug + Send + Sync {
    /// Keeps a new token.
    fn keep_token(&self, token: TokenRecord) -> BoxFuture<'_, Result<(), RegisterFault>>;

    /// A token.
    fn token(&self, id: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, RegisterFault>>;

    /// Every token, by the time when it was made.
    fn tokens(&self) -> BoxFuture<'_, Result<Vec<TokenRecord>, RegisterFault>>;

    /// Forgets a token; false when there is none.
    fn forget_token(&self, id: TokenId) -> BoxFuture<'_, Result<bool, RegisterFault>>;

    /// Uses a token up and writes the certificate down that was issued for it; false, and nothing of both,
    /// when the token was used before or is not there any more.
    fn redeem(
        &self,
        id: TokenId,
        certificate: CertificateRecord,
    ) -> BoxFuture<'_, Result<bool, RegisterFault>>;

    /// Writes a certificate down that was issued without a token; false, and nothing done, when the newest
    /// one of its name was revoked.
    fn admit(&self, certificate: CertificateRecord) -> BoxFuture<'_, Result<bool, RegisterFault>>;

    /// Writes the successor of a certificate of the same name down.
    fn succeed(
        &self,
        predecessor: Fingerprint,
        certificate: CertificateRecord,
    ) -> BoxFuture<'_, Result<Succession, RegisterFault>>;

    /// Every certificate, by name and by the time when it was issued.
    fn certificates(&self) -> BoxFuture<'_, Result<Vec<CertificateRecord>, RegisterFault>>;

    /// Those of one name.
    fn certificates_of(
        &self,
        tunnel: TunnelName,
    ) -> BoxFuture<'_, Result<Vec<CertificateRecord>, RegisterFault>>;

    /// A certificate of a name.
    fn certificate(
        &self,
        tunnel: TunnelName,
        fingerprint: Fingerprint,
    ) -> BoxFuture<'_, Result<Option<CertificateRecord>, RegisterFault>>;

    /// The last moment of the certificate that is good the longest, revoked or not, however many there are.
    fn last_end(&self) -> BoxFuture<'_, Result<Option<UnixTime>, RegisterFault>>;

    /// Revokes all certificates of a name, and forgets its unused tokens.
    fn revoke(
        &self,
        tunnel: TunnelName,
        now: UnixTime,
    ) -> BoxFuture<'_, Result<Revocation, RegisterFault>>;

    /// Forgets the tokens and certificates that `before` was the end of, whether revoked or not.
    fn forget(&self, before: UnixTime) -> BoxFuture<'_, Result<(), RegisterFault>>;

    /// What a relay has to know before the first agent comes.
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, RegisterFault>>;

    /// Keeps `known` up to date until `shutdown`; a change is known within a second.
    fn follow(&self, known: Known, shutdown: CancellationToken) -> BoxFuture<'_, ()>;
}

/// The register cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the register {place} cannot be {done}")]
pub struct RegisterFault {
    /// Where it is.
    pub place: String,
    /// What was tried, such as `read`.
    pub done: &'static str,
    /// Why not.
    #[source]
    pub cause: Box<dyn Error + Send + Sync>,
}

//! The relay's verifier of agents.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{VerifierFault, as_tls_error, read_anchors, tunnel_name};
use crate::anchor::TrustAnchor;
use crate::certificate::Certificate;
use crate::clock::{Clock, at};
use crate::crypto;
use crate::fingerprint::Fingerprint;
use crate::path::{self, Chain, Path, Trusted, Usage};
use crate::tunnel_name::TunnelName;

/// Lets in agents only: a certificate is mandatory, its chain ends at a given CA, it says clientAuth
/// and has exactly one DNS name, which is a tunnel's of an account that this CA may name. It is none of those
/// that were revoked.
#[derive(Debug)]
pub struct AgentVerifier {
    anchors: Vec<(TrustAnchor, Accounts)>,
    revoked: Arc<BTreeSet<Fingerprint>>,
    grace: Duration,
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
}

/// Which accounts an authority of agents may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accounts {
    /// Any: the relay's own.
    All,
    /// These: an account's own authority.
    Listed(Arc<BTreeSet<String>>),
}

impl Accounts {
    fn contain(&self, account: &str) -> bool {
        match self {
            Self::All => true,
            Self::Listed(accounts) => accounts.contains(account),
        }
    }
}

/// An authority signed for an account that is not its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "its authority may not name clusters of the account `{account}`; look at the relay's `tunnel.authorities`"
)]
pub struct ForeignAccount {
    /// The account of the name.
    pub account: String,
}

impl AgentVerifier {
    /// A verifier by these CAs. The time is the clock's, not that of the TLS configuration.
    ///
    /// # Errors
    /// When there is no CA or one that cannot be trusted.
    pub fn new(
        anchors: &[CertificateDer<'_>],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VerifierFault> {
        Ok(Self {
            anchors: scoped(anchors, &Accounts::All)?,
            revoked: Arc::default(),
            grace: Duration::ZERO,
            clock,
            provider: crypto::provider(),
        })
    }

    /// The same verifier, that believes these CAs too, for these accounts.
    ///
    /// # Errors
    /// When there is no CA or one that cannot be trusted.
    pub fn with_authorities(
        mut self,
        anchors: &[CertificateDer<'_>],
        accounts: &Accounts,
    ) -> Result<Self, VerifierFault> {
        self.anchors.extend(scoped(anchors, accounts)?);
        Ok(self)
    }

    /// The same verifier, by which certificates of these SHA-256 are revoked; and all of a name for which its
    /// [`Fingerprint::of_every_agent`] is among them.
    #[must_use]
    pub fn with_revoked(self, revoked: Arc<BTreeSet<Fingerprint>>) -> Self {
        Self { revoked, ..self }
    }

    /// The same verifier, that lets a certificate in whose time has been over for `grace` at most: for
    /// renewals, and nothing else.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Whether time alone can have changed nothing of what this verifier says of a chain that it, or one that
    /// differs in nothing, has accepted: every certificate and every CA is within its validity. Costs no
    /// signature.
    pub fn is_in_time(&self, chain: &[CertificateDer<'_>]) -> bool {
        let now = self.clock.now();
        let of_chain = chain.iter().all(|der| {
            let read = Certificate::parse(der);
            read.is_some_and(|read| read.not_before() <= now && now <= read.not_after())
        });
        let in_time =
            |anchor: &TrustAnchor| anchor.not_before() <= now && now <= anchor.not_after();
        of_chain && self.anchors.iter().all(|(anchor, _)| in_time(anchor))
    }

    /// The moment by which a certificate is judged: now, or within the grace its own last.
    fn moment(&self, end_entity: &CertificateDer<'_>) -> UnixTime {
        let now = self.clock.now();
        let last = Certificate::parse(end_entity).map(|certificate| certificate.not_after());
        match last {
            Some(last)
                if last < now && now <= at(last.as_secs().saturating_add(self.grace.as_secs())) =>
            {
                last
            }
            _ => now,
        }
    }
}

fn scoped(
    anchors: &[CertificateDer<'_>],
    accounts: &Accounts,
) -> Result<Vec<(TrustAnchor, Accounts)>, VerifierFault> {
    let read = read_anchors(anchors)?.into_iter();
    Ok(read.map(|anchor| (anchor, accounts.clone())).collect())
}

fn other(fault: OtherError) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(fault))
}

impl AgentVerifier {
    fn is_revoked(&self, leaf: &CertificateDer<'_>) -> bool {
        // A certificate without a name is refused for that, later.
        let name = TunnelName::from_agent_certificate(leaf).ok();
        let every = name.as_ref().map(Fingerprint::of_every_agent);
        self.revoked.contains(&Fingerprint::of(leaf))
            || every.is_some_and(|every| self.revoked.contains(&every))
    }
}

impl ClientCertVerifier for AgentVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let sent: Vec<_> = std::iter::once(end_entity)
            .chain(intermediates)
            .cloned()
            .collect();
        // Before its time is looked at: to have expired is the lesser fault, and is forgiven at times.
        if self.is_revoked(end_entity) {
            return Err(rustls::Error::InvalidCertificate(CertificateError::Revoked));
        }
        let chain = Chain::read(&sent).map_err(as_tls_error)?;
        let anchors = self.anchors.iter().map(|(anchor, _)| Trusted::from(anchor));
        let anchors: Vec<_> = anchors.collect();
        let moment = self.moment(end_entity);
        let paths =
            path::verify(&chain, &anchors, Usage::AgentAtRelay, moment).map_err(as_tls_error)?;
        let name = tunnel_name(&sent).map_err(|fault| other(OtherError(Arc::new(fault))))?;
        let account = name.account();
        let may_name = |path: &Path| {
            let scope = self.anchors.get(path.anchor);
            scope.is_some_and(|(_, accounts)| accounts.contain(account))
        };
        if !paths.iter().any(may_name) {
            let account = account.to_owned();
            return Err(other(OtherError(Arc::new(ForeignAccount { account }))));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
